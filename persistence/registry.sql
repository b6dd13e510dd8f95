-- The configuration that nodes hold in memory. Which sessions have ended is in sessions.sql.

-- name: configuration-horizon
-- Every transaction below it has ended: what it did is in the next snapshot.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text

-- name: configuration-changes
-- What changed in transactions from $1 on, and the horizon to ask from the next
-- time; one row with only that when nothing did.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, l.id, l.kind, l.subject
FROM (SELECT) AS always
LEFT JOIN (
    SELECT id, kind, subject FROM change_log WHERE xact >= $1::text::xid8 ORDER BY id LIMIT $2
) AS l ON true
ORDER BY l.id

-- name: prune-configuration-changes
DELETE FROM change_log WHERE created_at < now() - $1::interval

-- name: configured-users
SELECT id, organization_id, email, name, avatar_url, role::text, status::text, max_conversations FROM users
WHERE $1::uuid[] IS NULL OR id = ANY ($1)

-- name: configured-channels
SELECT id, organization_id, provider::text, name, external_id, status::text, webhook_secret, proved_at,
       coalesce(send_rate, 0), config->>'accessToken', assignment_policy::text
FROM channels
WHERE $1::uuid[] IS NULL OR id = ANY ($1)
