-- The message replied to is looked up by its whole key, and compared after that.
-- As a plain join it might be planned to go through all messages of a channel.
WITH m AS MATERIALIZED (
    SELECT m.*, c.organization_id, c.channel_id
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::uuid[], $13::text[], $14::text[], $15::text[], $16::text[], $17::timestamptz[],
        $18::text[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[],
        $23::int4[], $24::timestamptz[], $25::timestamptz[], $26::text[], $27::bytea[], $28::uuid[])
        AS m (conversation, head, id, direction, agent, type, body, media_url, media_type,
            provider_message_id, status, reply_to, reply_to_provider, metadata, error_code, error_message, provider_at,
            send_state, edited_at, deleted_at, created_at, updated_at,
            attempts, attempt_started_at, next_attempt_at, idempotency_key, request_hash, attachment)
    JOIN conversations c ON c.id = m.conversation AND c.change_id = m.head AND c.xmin = pg_current_xact_id()::xid
)
INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, agent_id, type, body, media_url, media_type,
    provider_message_id, status, reply_to, metadata, error_code, error_message, provider_timestamp, send_state,
    edited_at, deleted_at, created_at, updated_at,
    attempts, attempt_started_at, next_attempt_at, idempotency_key, request_hash, attachment_id)
SELECT m.id, m.organization_id, m.channel_id, m.conversation, m.direction::message_direction, m.agent, m.type::message_type, m.body,
    m.media_url, m.media_type, m.provider_message_id, m.status::message_status,
    coalesce(m.reply_to, CASE WHEN r.conversation_id = m.conversation THEN r.id END), m.metadata::jsonb,
    m.error_code, m.error_message, m.provider_at, m.send_state::send_state, m.edited_at, m.deleted_at, m.created_at, m.updated_at,
    m.attempts, m.attempt_started_at, m.next_attempt_at, m.idempotency_key, m.request_hash, m.attachment
FROM m
LEFT JOIN LATERAL (SELECT r.id, r.conversation_id FROM messages r WHERE r.channel_id = m.channel_id
    AND r.provider_message_id = m.reply_to_provider AND r.provider_message_id IS NOT NULL LIMIT 1) AS r ON true
