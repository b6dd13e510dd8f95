-- A request's hash goes with its key; neither ever changes into another.
WITH m AS MATERIALIZED (
    SELECT m.*
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::timestamptz[], $13::text[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[],
        $17::int4[], $18::timestamptz[], $19::timestamptz[], $20::text[], $21::uuid[])
        AS m (conversation, head, id, status, body, media_url, media_type, provider_message_id, metadata, error_code,
            error_message, provider_at, send_state, edited_at, deleted_at, updated_at,
            attempts, attempt_started_at, next_attempt_at, idempotency_key, attachment)
    JOIN conversations c ON c.id = m.conversation AND c.change_id = m.head AND c.xmin = pg_current_xact_id()::xid
)
UPDATE messages t
SET status = m.status::message_status, body = m.body, media_url = m.media_url, media_type = m.media_type,
    provider_message_id = m.provider_message_id, metadata = m.metadata::jsonb, error_code = m.error_code,
    error_message = m.error_message, provider_timestamp = m.provider_at, send_state = m.send_state::send_state,
    edited_at = m.edited_at, deleted_at = m.deleted_at, updated_at = m.updated_at,
    attempts = m.attempts, attempt_started_at = m.attempt_started_at, next_attempt_at = m.next_attempt_at,
    idempotency_key = m.idempotency_key, request_hash = CASE WHEN m.idempotency_key IS NOT NULL THEN t.request_hash END,
    attachment_id = m.attachment
FROM m
WHERE t.id = m.id AND t.conversation_id = m.conversation
