-- Logins: one row for each refresh token.

-- name: start-session
-- The first of its family, whose name it is.
INSERT INTO sessions (id, user_id, refresh_hash, family, expires_at, ip, user_agent)
VALUES ($1, $2, $3, $1, $4, nullif($5, ''), nullif($6, ''))
