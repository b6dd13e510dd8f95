-- What reports need beside the figures of days.

-- name: report-subject
-- An organization by slug, or one of its users by e-mail.
SELECT o.id, u.id, coalesce(u.name, o.name)
FROM organizations o
LEFT JOIN users u ON u.organization_id = o.id AND lower(u.email) = lower($2) AND $2 <> ''
WHERE o.slug = $1 AND (u.id IS NOT NULL OR $2 = '')

-- name: user-names
SELECT id, name FROM users WHERE organization_id = $1

-- name: responses-by-hour
-- Response times by the hour (UTC) of the answer, from $3 to before $4, of the
-- agent $2 or of all; defined as in day-figures, and found answer by answer.
SELECT extract(hour FROM m.created_at AT TIME ZONE 'UTC')::int, count(*), sum(whole_ms(m.created_at - asked.at))::bigint
FROM users u
JOIN messages m ON m.agent_id = u.id AND m.created_at >= $3 AND m.created_at < $4
CROSS JOIN LATERAL (
    SELECT created_at AS at
    FROM conversation_events
    WHERE conversation_id = m.conversation_id AND event_type IN ('CREATED', 'REOPENED') AND created_at <= m.created_at
        AND event_type NOT IN ('MESSAGE_RECEIVED', 'MESSAGE_SENT', 'MESSAGE_DELIVERED', 'MESSAGE_READ', 'MESSAGE_FAILED')
    ORDER BY seq DESC
    LIMIT 1
) AS episode
LEFT JOIN LATERAL (
    SELECT id
    FROM messages
    WHERE conversation_id = m.conversation_id AND direction = 'OUTBOUND' AND created_at >= episode.at
        AND id < m.id AND id >= message_id_floor(episode.at - interval '1 minute')
    ORDER BY id DESC
    LIMIT 1
) AS answered ON true
CROSS JOIN LATERAL (
    SELECT min(created_at) AS at
    FROM messages
    WHERE conversation_id = m.conversation_id AND direction = 'INBOUND' AND created_at >= episode.at
        AND id < m.id AND id >= coalesce(answered.id, message_id_floor(episode.at - interval '1 minute'))
        AND type <> 'system' AND NOT metadata ? 'standby'
) AS asked
WHERE u.organization_id = $1 AND ($2::uuid IS NULL OR u.id = $2) AND asked.at IS NOT NULL
GROUP BY 1
