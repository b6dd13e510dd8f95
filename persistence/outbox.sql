-- What waits to be sent.

-- name: due-conversations
-- Steps from channel to channel through the index of what is unsent, so that one
-- that doesn't send costs a look, however much it has. Of each that does, the
-- index gives the conversations in the order of the page.
WITH RECURSIVE waiting (channel_id) AS (
    (SELECT channel_id FROM messages WHERE send_state IS NOT NULL ORDER BY channel_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT m.channel_id FROM messages m
        WHERE m.channel_id > w.channel_id AND m.send_state IS NOT NULL
        ORDER BY m.channel_id
        LIMIT 1
    )
    FROM waiting w
    WHERE w.channel_id IS NOT NULL
)
SELECT due.conversation_id
FROM waiting w
JOIN channels ch ON ch.id = w.channel_id
CROSS JOIN LATERAL (
    SELECT DISTINCT m.conversation_id
    FROM messages m
    WHERE m.channel_id = ch.id AND m.send_state IS NOT NULL
        AND m.conversation_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
        AND CASE m.send_state
            WHEN 'queued' THEN coalesce(m.next_attempt_at, m.created_at)
            WHEN 'sending' THEN m.attempt_started_at
            ELSE m.next_attempt_at
        END < $1
    ORDER BY m.conversation_id
    LIMIT $3
) AS due
WHERE ch.status = 'ACTIVE'
ORDER BY due.conversation_id
LIMIT $3
