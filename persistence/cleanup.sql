-- What has had its time, in small batches.

-- name: prune-agent-sessions
DELETE FROM agent_sessions WHERE id IN (
    SELECT id FROM agent_sessions WHERE ended_at < now() - interval '90 days' ORDER BY ended_at LIMIT $1
)

-- name: prune-replayed-letters
-- Those that were replayed, and those that are too old.
DELETE FROM webhook_dead_letters WHERE id IN (
    SELECT id FROM webhook_dead_letters WHERE replayed_at IS NOT NULL OR received_at < now() - interval '30 days' LIMIT $1
)

-- name: retire-messages
-- The next $3 messages after $1 from before $2, and what was attached to them:
-- those files belong to nobody then, and can't be had or used any more. What
-- waits to be sent stays. Ids are in the order of time, so nothing is searched.
WITH old AS MATERIALIZED (
    SELECT id FROM messages
    WHERE id > coalesce($1::uuid, '00000000-0000-0000-0000-000000000000') AND id < message_id_floor($2::timestamptz)
        AND created_at < $2 AND send_state IS NULL
    ORDER BY id
    LIMIT $3
), doomed AS (
    UPDATE attachments SET message_id = NULL, state = 'failed', updated_at = now() WHERE message_id IN (SELECT id FROM old)
), gone AS (
    DELETE FROM messages WHERE id IN (SELECT id FROM old)
)
SELECT count(*), (SELECT id FROM old ORDER BY id DESC LIMIT 1) FROM old

-- name: doom-uploads
-- Uploads that nobody has used within a day.
UPDATE attachments SET state = 'failed', updated_at = now()
WHERE message_id IS NULL AND id IN (
    SELECT id FROM attachments
    WHERE message_id IS NULL AND state <> 'failed' AND created_at < now() - interval '24 hours'
    ORDER BY created_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)

-- name: doomed-files
SELECT id, organization_id FROM attachments WHERE message_id IS NULL AND state = 'failed' ORDER BY created_at LIMIT $1

-- name: drop-doomed
DELETE FROM attachments WHERE id = ANY ($1::uuid[]) AND message_id IS NULL AND state = 'failed'
