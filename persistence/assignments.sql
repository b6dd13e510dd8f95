-- Who holds what, and what waits for somebody.

-- name: held-conversations
-- What is spared where the agent may only be gone from here: all of it, when
-- another node that runs has a socket of the agent, as stored and not known
-- better ($7).
-- What was assigned by policy counts whenever it was taken: it was given to a
-- socket, never to somebody who works without.
SELECT c.id, c.assignment_seq
FROM conversations c
WHERE c.assigned_agent_id = $2 AND c.organization_id = $1 AND c.status = 'ASSIGNED'
    AND ($4::uuid IS NULL OR c.id > $4)
    AND ($3::timestamptz IS NULL OR c.assigned_at <= $3 OR EXISTS (
        SELECT FROM conversation_events e
        WHERE e.conversation_id = c.id AND e.seq = c.assignment_seq AND e.metadata->>'reason' = 'auto'))
    AND ($3::timestamptz IS NULL OR NOT EXISTS (
        SELECT FROM agent_sessions s
        JOIN nodes n ON n.id = s.node_id
        WHERE s.agent_id = $2 AND s.ended_at IS NULL AND s.node_id <> $5 AND n.seen_at > now() - $6::interval
            AND s.connection_id <> ALL (coalesce($7::text[], '{}'))))
ORDER BY c.id
LIMIT 200

-- name: seats
SELECT id, name, assigned_count, max_conversations
FROM users
WHERE organization_id = $1 AND id = ANY ($2::uuid[]) AND status = 'ACTIVE' AND role = 'AGENT'
ORDER BY id

-- name: waiting-conversations
-- A release ends the wait of nobody and begins one: the event has the time at
-- which the conversation began to wait.
SELECT w.id, w.pending_since, r.previous
FROM channels ch
CROSS JOIN LATERAL (
    SELECT id, pending_since
    FROM conversations
    WHERE channel_id = ch.id AND status = 'PENDING' AND (pending_since, id) > ($2::timestamptz, $3::uuid)
    ORDER BY pending_since, id
    LIMIT $4
) AS w
LEFT JOIN LATERAL (
    SELECT (e.metadata->>'previousAgentId')::uuid AS previous
    FROM conversation_events e
    WHERE w.pending_since > now() - $5::interval
        AND e.event_type = 'RELEASED' AND e.created_at = w.pending_since AND e.conversation_id = w.id
    LIMIT 1
) AS r ON true
WHERE ch.organization_id = $1 AND ch.assignment_policy = 'AUTO'
ORDER BY w.pending_since, w.id
LIMIT $4

-- name: waiting-organizations
SELECT DISTINCT ch.organization_id
FROM channels ch
WHERE ch.assignment_policy = 'AUTO'
    AND EXISTS (SELECT FROM conversations c WHERE c.channel_id = ch.id AND c.status = 'PENDING')
