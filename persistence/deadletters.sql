-- What webhooks brought and nothing could take.

-- name: keep-dead-letters
-- A letter's id is computed from what it says: posted again, it is there already.
INSERT INTO webhook_dead_letters (id, organization_id, provider, channel_external_id, reason, error, headers, payload, received_at)
SELECT l.id, l.organization_id, l.provider::provider, nullif(l.account, ''), l.reason, nullif(l.detail, ''), l.headers::jsonb, l.payload, l.received_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::timestamptz[])
    AS l (id, organization_id, provider, account, reason, detail, headers, payload, received_at)
ORDER BY l.id
ON CONFLICT (id) DO NOTHING

-- name: prune-dead-letters
-- The newest $1 stay, of the last 30 days.
DELETE FROM webhook_dead_letters
WHERE received_at < now() - interval '30 days'
    OR id IN (SELECT id FROM webhook_dead_letters ORDER BY received_at DESC OFFSET $1)
