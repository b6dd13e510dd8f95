-- Which channels are to be asked whether they work.

-- name: claim-channel-checks
-- A node that claims a check is the one to make it: the others find it done. An
-- ACTIVE channel is due every five minutes, one in ERROR after a minute, and
-- after twice as long for each time that it came back in the last six hours, at
-- most an hour: some errors only a send finds, and each try costs one. A little
-- chance keeps channels that began together from staying together.
UPDATE channels SET checked_at = now()
WHERE id IN (
    SELECT c.id
    FROM channels c
    WHERE c.status IN ('ACTIVE', 'ERROR') AND (c.checked_at IS NULL OR c.checked_at < now() - (0.9 + 0.2 * random()) * CASE
        WHEN c.status = 'ACTIVE' THEN interval '5 minutes'
        ELSE interval '1 minute' * least(60, 2 ^ (
            SELECT least(count(*), 6)
            FROM admin_audit a
            WHERE a.organization_id = c.organization_id AND a.created_at > now() - interval '6 hours'
                AND a.action = 'channel.recovered' AND a.subject = c.id::text
        ))
    END)
    ORDER BY c.checked_at NULLS FIRST, c.id
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, organization_id, provider::text, name, external_id, status::text, coalesce(send_rate, 0),
    coalesce(config->>'businessAccountId', ''), webhook_secret IS NOT NULL

-- name: note-channel
UPDATE channels SET last_error = nullif($4, ''), updated_at = now()
WHERE id = $2 AND organization_id = $1 AND status = $3::text::channel_status AND last_error IS DISTINCT FROM nullif($4, '')
