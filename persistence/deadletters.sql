-- What webhooks brought and nothing could take.

-- name: keep-dead-letters
-- A letter's id is computed from what it says: posted again, it is there already.
INSERT INTO webhook_dead_letters (id, organization_id, provider, channel_external_id, reason, error, headers, payload, received_at, signed_by)
SELECT l.id, l.organization_id, l.provider::provider, nullif(l.account, ''), l.reason, nullif(l.detail, ''), l.headers::jsonb, l.payload, l.received_at, nullif(l.signed_by, '')
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::timestamptz[], $10::text[])
    AS l (id, organization_id, provider, account, reason, detail, headers, payload, received_at, signed_by)
ORDER BY l.id
ON CONFLICT (id) DO NOTHING

-- name: prune-dead-letters
-- The newest $1 stay, of the last 30 days.
DELETE FROM webhook_dead_letters
WHERE received_at < now() - interval '30 days'
    OR id IN (SELECT id FROM webhook_dead_letters ORDER BY received_at DESC OFFSET $1)

-- name: list-dead-letters
-- One organization's, or, with null, those of all and of none. What is shown of
-- a payload is its beginning.
SELECT t.total, p.*
FROM (
    SELECT count(*) AS total
    FROM (SELECT FROM webhook_dead_letters WHERE ($1::uuid IS NULL OR organization_id = $1) LIMIT 10001) AS counted
) AS t
LEFT JOIN (
    SELECT id, organization_id, provider::text AS provider, channel_external_id, reason, error,
           substr(payload, 1, 4096) AS payload, length(payload) AS size, attempts, received_at, replayed_at,
           replay_requested_at IS NOT NULL AS requested
    FROM webhook_dead_letters
    WHERE ($1::uuid IS NULL OR organization_id = $1)
    ORDER BY received_at DESC, id
    LIMIT $2 OFFSET $3
) AS p ON true
ORDER BY p.received_at DESC, p.id

-- name: dead-letter-by-id
SELECT id, organization_id, provider::text AS provider, channel_external_id, reason, error,
       payload, length(payload) AS size, attempts, received_at, replayed_at,
       replay_requested_at IS NOT NULL AS requested
FROM webhook_dead_letters
WHERE id = $2 AND ($1::uuid IS NULL OR organization_id = $1)

-- name: claim-dead-letter
-- One try at a time: another begins when the last must be over, whatever became
-- of it. A letter that was replayed stays so.
UPDATE webhook_dead_letters
SET attempts = attempts + 1, attempted_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE id = $2 AND ($1::uuid IS NULL OR organization_id = $1) AND replayed_at IS NULL
    AND (attempted_at IS NULL OR attempted_at < clock_timestamp() - $3::interval)
RETURNING id, organization_id, provider::text, coalesce(channel_external_id, ''), reason, coalesce(error, ''), headers, payload,
    received_at, coalesce(signed_by, '')

-- name: settle-dead-letter
-- $2 says why it still can't be taken; null: it was.
UPDATE webhook_dead_letters
SET replayed_at = CASE WHEN $2::text IS NULL THEN clock_timestamp() END, error = coalesce($2, error),
    attempted_at = NULL, replay_requested_at = NULL, updated_at = clock_timestamp()
WHERE id = $1

-- name: request-replays
UPDATE webhook_dead_letters SET replay_requested_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE id = ANY ($1::uuid[]) AND replayed_at IS NULL

-- name: requested-replay
-- The next one that nobody is at.
SELECT id FROM webhook_dead_letters
WHERE replay_requested_at IS NOT NULL AND (attempted_at IS NULL OR attempted_at < clock_timestamp() - $1::interval)
ORDER BY replay_requested_at, id
LIMIT 1
