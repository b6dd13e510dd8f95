-- Files: what is here, and what is still to be fetched from a platform.

-- name: stored-attachment
-- Of the organization $1, or of any if $3: the caller has proved by a signature
-- that it was given the id.
SELECT a.organization_id, a.message_id, coalesce(a.file_name, ''), a.mime_type, a.size_bytes, a.sha256
FROM attachments a
WHERE a.id = $2 AND ($3::boolean OR a.organization_id = $1) AND a.state = 'stored'
    AND NOT EXISTS (SELECT FROM messages m WHERE m.id = a.message_id AND m.deleted_at IS NOT NULL)

-- name: add-attachment
INSERT INTO attachments (id, organization_id, state, file_name, storage_path, mime_type, size_bytes, sha256)
VALUES ($1, $2, 'stored', nullif($3, ''), $2::uuid::text || '/' || $1::uuid::text, $4, $5, $6)

-- name: waiting-attachments
-- The oldest $1 files of each channel that are to be fetched, the very oldest of
-- every channel first, $2 in all. The index is hopped through from channel to
-- channel, so it costs as much as there are channels with something to fetch.
WITH RECURSIVE channel (id) AS (
    (SELECT channel_id FROM attachments WHERE state = 'pending' AND channel_id IS NOT NULL ORDER BY channel_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT a.channel_id FROM attachments a WHERE a.state = 'pending' AND a.channel_id > channel.id ORDER BY a.channel_id LIMIT 1
    )
    FROM channel WHERE channel.id IS NOT NULL
)
SELECT a.id
FROM channel
CROSS JOIN LATERAL (
    SELECT id, created_at, row_number() OVER (ORDER BY created_at) AS turn
    FROM (
        SELECT id, created_at FROM attachments
        WHERE channel_id = channel.id AND state = 'pending' ORDER BY created_at LIMIT $1
    ) AS oldest
) AS a
ORDER BY a.turn, a.created_at
LIMIT $2

-- name: pending-attachment
SELECT a.organization_id, a.channel_id, m.conversation_id, m.id, m.type::text, a.source, coalesce(a.file_name, ''),
       coalesce(a.mime_type, ''), a.created_at
FROM attachments a
LEFT JOIN messages m ON m.id = a.message_id
WHERE a.id = $1 AND a.state = 'pending' AND a.channel_id IS NOT NULL

-- name: forget-attachment
-- What is to be fetched for a message that isn't there any more.
DELETE FROM attachments WHERE id = $1 AND state = 'pending'
