-- What a new installation starts with. Rows that exist are never touched.

-- name: seed-organization
INSERT INTO organizations (name, slug) VALUES ($1, $2) ON CONFLICT (slug) DO NOTHING

-- name: organization-by-slug
-- A statement of its own: it sees what another node has just committed.
SELECT id FROM organizations WHERE slug = $1

-- name: seed-user-exists
SELECT EXISTS (SELECT FROM users WHERE organization_id = $1 AND lower(email) = lower($2))

-- name: seed-user
INSERT INTO users (organization_id, email, password_hash, name, role) VALUES ($1, $2, $3, $4, $5::text::user_role)
ON CONFLICT (organization_id, lower(email)) DO NOTHING

-- name: seed-channel
INSERT INTO channels (id, organization_id, provider, name, config, external_id, status, proved_at)
SELECT $1, $2, $3::text::provider, $4, $5, $6, 'ACTIVE', now()
WHERE NOT EXISTS (SELECT FROM channels WHERE organization_id = $2 AND provider = $3::text::provider AND external_id = $6)
ON CONFLICT DO NOTHING
