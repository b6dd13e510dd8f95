-- The figures of a day, by the definitions of docs/analytics.md.

-- name: day-figures
-- Of the organization $1, or of all if that is null; from $2 to before $3; open
-- sessions count until $4. What reaches back over the beginning is looked up for
-- the conversations that the day is about. OFFSET 0 keeps each LATERAL a look-up
-- for one conversation: as a join it might be planned to go through all messages.
WITH turn AS MATERIALIZED (
    -- All since the beginning: the first of a conversation tells who had it before.
    SELECT e.conversation_id, e.seq, e.event_type, e.created_at AS at,
           (e.metadata->>'agentId')::uuid AS taker, (e.metadata->>'previousAgentId')::uuid AS previous
    FROM conversation_events e
    JOIN conversations c ON c.id = e.conversation_id AND ($1::uuid IS NULL OR c.organization_id = $1)
    WHERE e.event_type IN ('CREATED', 'ACCEPTED', 'RELEASED', 'REASSIGNED', 'COMPLETED', 'REOPENED', 'AGENT_DISCONNECTED')
        AND e.created_at >= $2
), first_turn AS MATERIALIZED (
    SELECT f.*, before.at AS prior_at
    FROM (SELECT DISTINCT ON (conversation_id) * FROM turn ORDER BY conversation_id, seq) AS f
    LEFT JOIN LATERAL (
        SELECT e.created_at AS at
        FROM conversation_events e
        WHERE e.conversation_id = f.conversation_id AND e.seq < f.seq AND f.event_type <> 'CREATED'
            AND e.event_type NOT IN ('MESSAGE_RECEIVED', 'MESSAGE_SENT', 'MESSAGE_DELIVERED', 'MESSAGE_READ', 'MESSAGE_FAILED')
        ORDER BY e.seq DESC
        LIMIT 1
    ) AS before ON true
), moved AS MATERIALIZED (
    -- Changes of hands on the day, and since when it had been as it was.
    SELECT t.conversation_id, t.seq, t.event_type, t.at, t.taker, t.previous,
           coalesce(lag(t.at) OVER (PARTITION BY t.conversation_id ORDER BY t.seq), f.prior_at) AS prior_at
    FROM turn t
    JOIN first_turn f ON f.conversation_id = t.conversation_id
    WHERE t.at < $3
), opening AS (
    -- Who had what when the day began. What nothing has happened to since is
    -- still with whoever had it.
    SELECT conversation_id, previous AS agent, prior_at AS since
    FROM first_turn
    WHERE event_type IN ('RELEASED', 'REASSIGNED', 'COMPLETED', 'AGENT_DISCONNECTED') AND previous IS NOT NULL
    UNION ALL
    SELECT c.id, u.id, c.assigned_at
    FROM users u
    CROSS JOIN LATERAL (
        SELECT id, assigned_at FROM conversations
        WHERE assigned_agent_id = u.id AND status = 'ASSIGNED' AND assigned_at < $2
        OFFSET 0
    ) AS c
    WHERE ($1::uuid IS NULL OR u.organization_id = $1) AND u.assigned_count > 0
        AND NOT EXISTS (SELECT FROM first_turn f WHERE f.conversation_id = c.id)
), stint AS MATERIALIZED (
    -- seq is 0 for what the day found.
    SELECT *
    FROM (
        SELECT conversation_id, seq, agent, since, at AS began,
               lead(at) OVER (PARTITION BY conversation_id ORDER BY seq) AS ended
        FROM (
            SELECT conversation_id, 0::bigint AS seq, agent, since, $2::timestamptz AS at FROM opening
            UNION ALL
            SELECT conversation_id, seq, CASE WHEN event_type IN ('ACCEPTED', 'REASSIGNED') THEN taker END, at, at FROM moved
        ) AS hands
    ) AS all_hands
    WHERE agent IS NOT NULL
), had AS (
    SELECT agent, count(DISTINCT conversation_id) AS conversations FROM stint GROUP BY agent
), peak AS (
    SELECT agent, max(held) AS held
    FROM (
        SELECT agent, sum(step) OVER (PARTITION BY agent ORDER BY at, step ROWS UNBOUNDED PRECEDING) AS held
        FROM (
            SELECT agent, CASE WHEN seq = 0 THEN '-infinity' ELSE began END AS at, 1 AS step FROM stint
            UNION ALL
            SELECT agent, ended, -1 FROM stint WHERE ended IS NOT NULL
        ) AS steps
    ) AS running
    GROUP BY agent
), turned AS (
    SELECT agent,
           count(*) FILTER (WHERE took AND event_type = 'ACCEPTED') AS accepted,
           count(*) FILTER (WHERE took AND event_type = 'REASSIGNED') AS reassigned_in,
           count(*) FILTER (WHERE NOT took AND event_type = 'REASSIGNED') AS reassigned_out,
           count(*) FILTER (WHERE event_type = 'COMPLETED') AS completed,
           count(*) FILTER (WHERE event_type IN ('RELEASED', 'AGENT_DISCONNECTED')) AS released,
           count(*) FILTER (WHERE event_type = 'REOPENED') AS reopened,
           count(*) FILTER (WHERE waited) AS waits,
           sum(whole_ms(at - prior_at)) FILTER (WHERE waited) AS wait_ms,
           count(*) FILTER (WHERE NOT took AND event_type <> 'REOPENED') AS handled,
           sum(whole_ms(at - prior_at)) FILTER (WHERE NOT took AND event_type <> 'REOPENED') AS handle_ms
    FROM (
        SELECT taker AS agent, event_type, true AS took, previous IS NULL AS waited, at, prior_at
        FROM moved WHERE event_type IN ('ACCEPTED', 'REASSIGNED')
        UNION ALL
        SELECT previous, event_type, false, false, at, prior_at
        FROM moved WHERE previous IS NOT NULL AND event_type <> 'ACCEPTED'
    ) AS parts
    GROUP BY agent
), said AS MATERIALIZED (
    SELECT s.conversation_id, m.id, m.at, m.inbound, m.agent, m.chars
    FROM (SELECT DISTINCT conversation_id FROM stint) AS s
    CROSS JOIN LATERAL (
        SELECT id, created_at AS at, direction = 'INBOUND' AS inbound, agent_id AS agent, char_length(body) AS chars
        FROM messages
        WHERE conversation_id = s.conversation_id
            AND id >= message_id_floor($2::timestamptz - interval '1 minute') AND id < message_id_floor($3::timestamptz + interval '1 minute')
            AND created_at >= $2 AND created_at < $3
            AND (direction = 'OUTBOUND' OR type <> 'system' AND NOT metadata ? 'standby')
        OFFSET 0
    ) AS m
), sent AS (
    SELECT agent, count(*) AS messages, count(*) FILTER (WHERE chars > 0) AS texts, sum(chars) AS chars
    FROM said WHERE agent IS NOT NULL GROUP BY agent
), received AS (
    SELECT s.agent, count(*) AS messages
    FROM said m
    JOIN stint s ON s.conversation_id = m.conversation_id AND s.began <= m.at AND (s.ended IS NULL OR m.at < s.ended)
    WHERE m.inbound
    GROUP BY s.agent
), past AS MATERIALIZED (
    -- What was going on when the day began, where an agent wrote something then.
    SELECT a.conversation_id, episode.at AS episode_at, answered.by_agent, waiting.at AS waiting_at
    FROM (SELECT DISTINCT conversation_id FROM said WHERE agent IS NOT NULL) AS a
    CROSS JOIN LATERAL (
        SELECT created_at AS at
        FROM conversation_events
        WHERE conversation_id = a.conversation_id AND event_type IN ('CREATED', 'REOPENED') AND created_at < $2
            AND event_type NOT IN ('MESSAGE_RECEIVED', 'MESSAGE_SENT', 'MESSAGE_DELIVERED', 'MESSAGE_READ', 'MESSAGE_FAILED')
        ORDER BY seq DESC
        LIMIT 1
    ) AS episode
    LEFT JOIN LATERAL (
        SELECT id
        FROM messages
        WHERE conversation_id = a.conversation_id AND direction = 'OUTBOUND' AND created_at >= episode.at AND created_at < $2
            AND id >= message_id_floor(episode.at - interval '1 minute') AND id < message_id_floor($2::timestamptz + interval '1 minute')
        ORDER BY id DESC
        LIMIT 1
    ) AS out ON true
    LEFT JOIN LATERAL (
        SELECT true AS by_agent
        FROM messages
        WHERE conversation_id = a.conversation_id AND agent_id IS NOT NULL AND created_at >= episode.at
            AND id >= message_id_floor(episode.at - interval '1 minute') AND id <= out.id
        ORDER BY id DESC
        LIMIT 1
    ) AS answered ON true
    CROSS JOIN LATERAL (
        SELECT min(created_at) AS at
        FROM messages
        WHERE conversation_id = a.conversation_id AND direction = 'INBOUND' AND created_at >= episode.at AND created_at < $2
            AND id >= coalesce(out.id, message_id_floor(episode.at - interval '1 minute'))
            AND id < message_id_floor($2::timestamptz + interval '1 minute')
            AND type <> 'system' AND NOT metadata ? 'standby'
    ) AS waiting
), stream AS (
    -- Beginnings of episodes and messages, in order; an answer ends a run.
    SELECT *,
           count(*) FILTER (WHERE begins) OVER (so_far ROWS UNBOUNDED PRECEDING) AS episode,
           count(*) FILTER (WHERE begins OR NOT inbound) OVER (so_far ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS run
    FROM (
        SELECT conversation_id, at, id, false AS begins, inbound, agent FROM said
        WHERE conversation_id IN (SELECT conversation_id FROM said WHERE agent IS NOT NULL)
        UNION ALL
        SELECT conversation_id, at, NULL, true, false, NULL FROM moved WHERE event_type IN ('CREATED', 'REOPENED')
        UNION ALL
        SELECT conversation_id, waiting_at, NULL, false, true, NULL FROM past WHERE waiting_at IS NOT NULL
    ) AS things
    WINDOW so_far AS (PARTITION BY conversation_id ORDER BY at, begins DESC, id)
), answer AS (
    SELECT s.*,
           min(s.at) FILTER (WHERE s.inbound) OVER (PARTITION BY s.conversation_id, s.run) AS asked_at,
           max(s.at) FILTER (WHERE s.begins) OVER (PARTITION BY s.conversation_id, s.episode) AS begun_at,
           row_number() OVER (PARTITION BY s.conversation_id, s.episode, s.agent IS NULL ORDER BY s.at, s.id) AS nth
    FROM stream s
), responded AS (
    SELECT agent, count(*) AS responses, sum(whole_ms(at - asked_at)) AS ms,
           min(whole_ms(at - asked_at)) AS least, max(whole_ms(at - asked_at)) AS most
    FROM answer
    WHERE agent IS NOT NULL AND asked_at IS NOT NULL
    GROUP BY agent
), first_response AS (
    SELECT agent, count(*) AS responses, sum(whole_ms(at - begun_at)) AS ms, sum(whole_ms(at - taken_at)) AS from_assignment_ms
    FROM (
        SELECT a.id, a.agent, a.at, coalesce(a.begun_at, p.episode_at) AS begun_at, max(s.since) AS taken_at
        FROM answer a
        JOIN stint s ON s.conversation_id = a.conversation_id AND s.agent = a.agent AND s.began <= a.at
        LEFT JOIN past p ON p.conversation_id = a.conversation_id AND a.episode = 0
        WHERE a.nth = 1 AND p.by_agent IS NULL
        GROUP BY a.id, a.agent, a.at, a.begun_at, p.episode_at
    ) AS firsts
    WHERE begun_at IS NOT NULL
    GROUP BY agent
), online AS (
    SELECT agent, (extract(epoch FROM sum(upper(span) - lower(span))) / 60)::numeric AS minutes
    FROM (
        SELECT s.agent_id AS agent, unnest(range_agg(tstzrange(s.began, s.ended))) AS span
        FROM (
            SELECT agent_id, greatest(created_at, $2) AS began, least(ended_at, $4, $3) AS ended
            FROM agent_sessions
            WHERE (ended_at > $2 OR ended_at IS NULL) AND created_at < $3
        ) AS s
        WHERE s.began < s.ended
        GROUP BY s.agent_id
    ) AS spans
    GROUP BY agent
)
SELECT u.organization_id, u.id AS agent_id,
       coalesce(had.conversations, 0) AS conversations, coalesce(turned.accepted, 0) AS accepted,
       coalesce(turned.completed, 0) AS completed, coalesce(turned.released, 0) AS released,
       coalesce(turned.reassigned_in, 0) AS reassigned_in, coalesce(turned.reassigned_out, 0) AS reassigned_out,
       coalesce(turned.reopened, 0) AS reopened,
       coalesce(sent.messages, 0) AS messages_sent, coalesce(received.messages, 0) AS messages_received,
       coalesce(sent.chars, 0) AS text_sum, coalesce(sent.texts, 0) AS text_count,
       coalesce(first_response.ms, 0) AS first_response_sum, coalesce(first_response.responses, 0) AS first_response_count,
       coalesce(first_response.from_assignment_ms, 0) AS from_assignment_sum,
       coalesce(responded.ms, 0) AS response_sum, coalesce(responded.responses, 0) AS response_count,
       responded.least AS response_min, responded.most AS response_max,
       coalesce(turned.handle_ms, 0) AS handle_sum, coalesce(turned.handled, 0) AS handle_count,
       coalesce(turned.wait_ms, 0) AS wait_sum, coalesce(turned.waits, 0) AS wait_count,
       coalesce(peak.held, 0) AS peak, coalesce(floor(online.minutes), 0) AS online_minutes
FROM users u
LEFT JOIN had ON had.agent = u.id
LEFT JOIN peak ON peak.agent = u.id
LEFT JOIN turned ON turned.agent = u.id
LEFT JOIN sent ON sent.agent = u.id
LEFT JOIN received ON received.agent = u.id
LEFT JOIN responded ON responded.agent = u.id
LEFT JOIN first_response ON first_response.agent = u.id
LEFT JOIN online ON online.agent = u.id
WHERE ($1::uuid IS NULL OR u.organization_id = $1)
    AND (had.agent IS NOT NULL OR turned.agent IS NOT NULL OR floor(online.minutes) > 0)
ORDER BY u.id
