-- Messages. The columns of load-messages and message-page are those of
-- messageRow.

-- name: load-messages
-- What question n of a batch means: by the platform's id, by ours, by the key of
-- the request that made it, and the outbound ones that aren't read up to a time. The last reads from the newest
-- backwards and stops at 5,000 rows: a thread's length must not hold up the
-- others in the batch.
WITH wanted (n, id) AS (
    SELECT q.n, m.id
    FROM unnest($1::int[], $2::uuid[], $3::uuid[], $4::text[]) AS q (n, conversation_id, channel_id, provider_id)
    JOIN messages m ON m.channel_id = q.channel_id AND m.provider_message_id = q.provider_id
    WHERE m.conversation_id = q.conversation_id
    UNION
    SELECT q.n, m.id
    FROM unnest($5::int[], $6::uuid[], $7::uuid[]) AS q (n, conversation_id, id)
    JOIN messages m ON m.id = q.id
    WHERE m.conversation_id = q.conversation_id
    UNION
    SELECT q.n, m.id
    FROM unnest($11::int[], $12::uuid[], $13::uuid[], $14::text[]) AS q (n, conversation_id, agent_id, idempotency_key)
    JOIN messages m ON m.conversation_id = q.conversation_id AND m.agent_id = q.agent_id
        AND m.idempotency_key = q.idempotency_key AND m.idempotency_key IS NOT NULL
    UNION
    SELECT q.n, m.id
    FROM unnest($8::int[], $9::uuid[], $10::timestamptz[]) AS q (n, conversation_id, up_to)
    CROSS JOIN LATERAL (
        SELECT newest.id
        FROM (
            SELECT id, direction, status, provider_timestamp, created_at
            FROM messages
            WHERE conversation_id = q.conversation_id
            ORDER BY id DESC
            LIMIT 5000
        ) newest
        WHERE newest.direction = 'OUTBOUND' AND newest.status <> 'READ'
            AND coalesce(newest.provider_timestamp, newest.created_at) <= q.up_to
        ORDER BY newest.id DESC
        LIMIT 1000
    ) m
)
SELECT w.n,
       m.id, m.conversation_id, m.direction::text, m.agent_id, m.type::text, m.body, m.media_url, m.media_type, m.provider_message_id,
       m.status::text, m.send_state::text, m.attempts, m.attempt_started_at, m.next_attempt_at, m.reply_to, m.metadata,
       m.error_code, m.error_message, m.idempotency_key, m.request_hash,
       m.provider_timestamp, m.edited_at, m.deleted_at, m.created_at, m.updated_at, m.attachment_id
FROM wanted w
JOIN messages m ON m.id = w.id
ORDER BY w.n, m.id

-- name: message-page
-- The greatest UUID stands for "from the newest on", so that the cursor is a
-- bound of the index in every plan.
SELECT m.id, m.conversation_id, m.direction::text AS direction, m.agent_id, m.type::text AS type, m.body, m.media_url,
       m.media_type, m.provider_message_id, m.status::text AS status, m.send_state::text AS send_state, m.attempts,
       m.attempt_started_at, m.next_attempt_at, m.reply_to, m.metadata, m.error_code, m.error_message, m.idempotency_key,
       m.request_hash, m.provider_timestamp, m.edited_at, m.deleted_at, m.created_at, m.updated_at, m.attachment_id
FROM messages m
WHERE m.conversation_id = $2 AND m.organization_id = $1
    AND m.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
ORDER BY m.id DESC
LIMIT $4

-- name: newest-inbound
-- Among the newest 1,000 messages of the thread.
SELECT newest.provider_message_id
FROM (
    SELECT id, direction, provider_message_id
    FROM messages
    WHERE conversation_id = $2 AND organization_id = $1
    ORDER BY id DESC
    LIMIT 1000
) AS newest
WHERE newest.direction = 'INBOUND' AND newest.provider_message_id IS NOT NULL
ORDER BY newest.id DESC
LIMIT 1

-- name: attachments-of-messages
SELECT id, message_id, state::text AS state, file_name, mime_type, size_bytes
FROM attachments
WHERE message_id = ANY ($2::uuid[]) AND organization_id = $1
ORDER BY message_id, created_at, id
