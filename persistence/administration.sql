-- What administrators do with users and organizations.

-- name: list-users
SELECT t.total, p.*
FROM (
    SELECT count(*) AS total
    FROM (
        SELECT FROM users
        WHERE organization_id = $1 AND ($2 = '' OR role = nullif($2, '')::user_role) AND ($3 = '' OR status = nullif($3, '')::user_status)
        LIMIT 10001
    ) AS counted
) AS t
LEFT JOIN (
    SELECT id, organization_id, email, name, avatar_url, role::text AS role, status::text AS status, max_conversations, assigned_count,
           created_at, updated_at
    FROM users
    WHERE organization_id = $1 AND ($2 = '' OR role = nullif($2, '')::user_role) AND ($3 = '' OR status = nullif($3, '')::user_status)
    ORDER BY name, id
    LIMIT $4 OFFSET $5
) AS p ON true
ORDER BY p.name, p.id

-- name: user-view
SELECT id, organization_id, email, name, avatar_url, role::text AS role, status::text AS status, max_conversations, assigned_count,
       created_at, updated_at
FROM users
WHERE id = $2 AND organization_id = $1

-- name: add-user
INSERT INTO users (organization_id, email, password_hash, name, role, max_conversations)
VALUES ($1, $2, $3, $4, $5::text::user_role, $6)
RETURNING id

-- name: lock-organization
-- Whoever changes who administers an organization comes one after another. The
-- lock stays out of the way of rows that refer to the organization.
SELECT id FROM organizations WHERE id = $1 FOR NO KEY UPDATE

-- name: lock-user
SELECT role::text, status::text FROM users WHERE id = $2 AND organization_id = $1 FOR NO KEY UPDATE

-- name: change-user
-- Triggers tell the nodes, and end the user's sessions where that is due.
UPDATE users
SET name = coalesce($3, name),
    role = coalesce($4::text::user_role, role),
    status = coalesce($5::text::user_status, status),
    password_hash = coalesce($6, password_hash),
    max_conversations = CASE WHEN $7::int IS NULL THEN max_conversations ELSE nullif($7::int, 0) END,
    updated_at = clock_timestamp()
WHERE id = $2 AND organization_id = $1

-- name: has-admin
SELECT EXISTS (SELECT FROM users WHERE organization_id = $1 AND role = 'ADMIN' AND status = 'ACTIVE')

-- name: audit
INSERT INTO admin_audit (organization_id, actor_id, action, subject, metadata) VALUES ($1, $2, $3, $4, $5)

-- name: add-organization
INSERT INTO organizations (name, slug) VALUES ($1, $2) RETURNING id
