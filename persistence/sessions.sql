-- Logins: one row for each refresh token. The first of a family is the login.

-- name: start-session
-- Only for a user who still is as the password was checked against: the lock
-- waits for whoever suspends the user meanwhile.
INSERT INTO sessions (id, user_id, refresh_hash, family, expires_at, ip, user_agent)
SELECT $1::uuid, u.id, $3::bytea, $1::uuid, now() + $4::interval, nullif($5, ''), nullif($6, '')
FROM users u
WHERE u.id = $2 AND u.status = 'ACTIVE' AND u.role = $7::text::user_role AND u.password_hash = $8
FOR SHARE OF u

-- name: lock-session
-- The login is locked whichever of its tokens is used, so the uses of a family
-- come one after another. The clock is the database's, one for all nodes.
SELECT t.id, t.rotated_at, f.id, f.expires_at, f.revoked_at IS NOT NULL, clock_timestamp(),
       u.id, u.organization_id, u.role::text, u.status::text
FROM sessions t
JOIN sessions f ON f.id = t.family
JOIN users u ON u.id = f.user_id
WHERE t.refresh_hash = $1
FOR UPDATE OF f, t

-- name: spend-refresh-token
UPDATE sessions SET rotated_at = $2, updated_at = $2 WHERE id = $1

-- name: add-refresh-token
INSERT INTO sessions (user_id, refresh_hash, family, expires_at, ip, user_agent)
SELECT f.user_id, $2, f.id, f.expires_at, nullif($3, ''), nullif($4, '') FROM sessions f WHERE f.id = $1

-- name: extend-session
UPDATE sessions SET expires_at = $2, updated_at = clock_timestamp() WHERE id = $1 AND expires_at < $2

-- name: unspent-refresh-token
SELECT refresh_hash FROM sessions WHERE family = $1 AND rotated_at IS NULL

-- name: end-session
UPDATE sessions SET revoked_at = clock_timestamp(), updated_at = clock_timestamp() WHERE id = $1 AND revoked_at IS NULL

-- name: audit-token-reuse
INSERT INTO admin_audit (organization_id, actor_id, action, subject, metadata)
VALUES ($1, $2, 'session.token_reused', $3, jsonb_build_object('ip', $4::text, 'userAgent', $5::text))

-- name: end-sessions
-- The login itself, and that of the refresh token where it is the same user's.
UPDATE sessions SET revoked_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE user_id = $1 AND revoked_at IS NULL AND id = family
  AND id IN ($2, (SELECT t.family FROM sessions t WHERE t.refresh_hash = $3))

-- name: prune-sessions
-- Two days later than they ended: access tokens that were made in the last
-- moment live for a day at most, and until then a revocation must be known.
DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE id = family AND expires_at < now() - interval '2 days' ORDER BY expires_at LIMIT $1
)

-- name: revoked-sessions
-- Those that ended since, or the named ones.
SELECT s.id, u.organization_id
FROM sessions s
JOIN users u ON u.id = s.user_id
WHERE s.revoked_at > now() - $1::interval AND ($2::uuid[] IS NULL OR s.id = ANY ($2))
