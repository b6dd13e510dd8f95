-- Whether channels can send. A trigger tells the nodes of each change.

-- name: fail-channel
WITH failed AS (
    UPDATE channels SET status = 'ERROR', last_error = $3, updated_at = now()
    WHERE id = $2 AND organization_id = $1 AND status = 'ACTIVE'
    RETURNING organization_id, id, last_error
)
INSERT INTO admin_audit (organization_id, action, subject, metadata)
SELECT organization_id, 'channel.failed', id::text, jsonb_build_object('error', last_error) FROM failed

-- name: recover-channel
WITH recovered AS (
    UPDATE channels SET status = 'ACTIVE', last_error = NULL, updated_at = now()
    WHERE id = $2 AND organization_id = $1 AND status = 'ERROR'
    RETURNING organization_id, id
)
INSERT INTO admin_audit (organization_id, action, subject)
SELECT organization_id, 'channel.recovered', id::text FROM recovered
