-- Channels, as their administrators see and change them.

-- name: list-channels
SELECT t.total, p.*
FROM (SELECT count(*) AS total FROM channels WHERE organization_id = $1) AS t
LEFT JOIN (
    SELECT id, provider::text AS provider, name, config, external_id, webhook_secret, status::text AS status, last_error,
           assignment_policy::text AS assignment_policy, send_rate, proved_at, created_at, updated_at
    FROM channels
    WHERE organization_id = $1
    ORDER BY name, id
    LIMIT $2 OFFSET $3
) AS p ON true
ORDER BY p.name, p.id

-- name: channel-view
SELECT id, provider::text AS provider, name, config, external_id, webhook_secret, status::text AS status, last_error,
       assignment_policy::text AS assignment_policy, send_rate, proved_at, created_at, updated_at
FROM channels
WHERE id = $2 AND organization_id = $1

-- name: lock-channel
SELECT id, provider::text AS provider, name, config, external_id, webhook_secret, status::text AS status, last_error,
       assignment_policy::text AS assignment_policy, send_rate, proved_at, created_at, updated_at
FROM channels
WHERE id = $2 AND organization_id = $1
FOR NO KEY UPDATE

-- name: add-channel
INSERT INTO channels (id, organization_id, provider, name, config, external_id, webhook_secret, assignment_policy, send_rate)
VALUES ($1, $2, $3::text::provider, $4, $5, $6, $7, $8::text::assignment_policy, $9)

-- name: change-channel
UPDATE channels
SET name = $3, config = $4, external_id = $5, webhook_secret = $6, status = $7::text::channel_status,
    assignment_policy = $8::text::assignment_policy, send_rate = $9, proved_at = $10, last_error = $11, updated_at = clock_timestamp()
WHERE id = $2 AND organization_id = $1

-- name: channel-proved
-- What failed works again. The proof is of these credentials alone.
UPDATE channels
SET proved_at = clock_timestamp(), last_error = NULL, updated_at = clock_timestamp(),
    status = CASE status WHEN 'ERROR' THEN 'ACTIVE' ELSE status END
WHERE id = $2 AND organization_id = $1 AND external_id = $3 AND coalesce(config->>'accessToken', '') = $4

-- name: channel-disproved
-- Nothing goes out of a channel whose credentials the platform refuses.
UPDATE channels
SET last_error = $5, updated_at = clock_timestamp(),
    status = CASE WHEN status = 'ACTIVE' AND $6 THEN 'ERROR' ELSE status END
WHERE id = $2 AND organization_id = $1 AND external_id = $3 AND coalesce(config->>'accessToken', '') = $4

-- name: sealed-channels
-- For whoever seals them anew; a few hundred of all organizations at a time.
SELECT id, config->>'accessToken', webhook_secret FROM channels WHERE id > $1 ORDER BY id LIMIT 500

-- name: reseal-channel
-- Only where nobody has set others meanwhile.
UPDATE channels
SET config = CASE WHEN $3::text IS NULL THEN config ELSE jsonb_set(config, '{accessToken}', to_jsonb($3::text)) END,
    webhook_secret = coalesce($5, webhook_secret)
WHERE id = $1 AND config->>'accessToken' IS NOT DISTINCT FROM $2 AND webhook_secret IS NOT DISTINCT FROM $4

-- name: working-channels
-- For the doctor: those that are to work, of all organizations.
SELECT c.id, o.slug, c.name, c.provider::text, c.external_id, c.status::text, c.config->>'accessToken', c.webhook_secret
FROM channels c
JOIN organizations o ON o.id = c.organization_id
WHERE c.status IN ('ACTIVE', 'ERROR')
ORDER BY o.slug, c.name, c.id
LIMIT $1
