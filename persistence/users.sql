-- Users, who log in and who are colleagues.

-- name: users-by-email
-- A login names no organization, so this one query isn't scoped by one; 8 is
-- how many passwords a login may cost.
SELECT u.id, u.organization_id, u.email, u.name, u.avatar_url, u.role::text AS role, u.status::text AS status,
       u.max_conversations, u.password_hash, o.slug
FROM users u
JOIN organizations o ON o.id = u.organization_id
WHERE lower(u.email) = lower($1)
ORDER BY u.created_at, u.id
LIMIT 8

-- name: agents
SELECT u.id, u.name, u.avatar_url, u.assigned_count, u.max_conversations, s.last_seen_at
FROM users u
LEFT JOIN LATERAL (
    SELECT last_seen_at FROM agent_sessions WHERE agent_id = u.id ORDER BY created_at DESC LIMIT 1
) AS s ON true
WHERE u.organization_id = $1 AND u.status = 'ACTIVE'
ORDER BY u.name, u.id
LIMIT 10000
