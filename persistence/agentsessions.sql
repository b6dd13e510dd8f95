-- Who is connected, for those who weren't there to see it.

-- name: record-agent-sessions
-- The whole row each time, so that what is lost is made good by the next one,
-- and a session that was thought dead with its node lives again. A user who is
-- no more has no sessions.
INSERT INTO agent_sessions (agent_id, connection_id, node_id, status, ip_address, user_agent, created_at, last_seen_at, ended_at)
SELECT s.agent, s.connection, s.node, s.status::presence_status, nullif(s.ip, ''), nullif(s.agent_name, ''), s.opened, s.seen, s.ended
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[],
    $9::timestamptz[]) AS s (agent, connection, node, status, ip, agent_name, opened, seen, ended)
JOIN users u ON u.id = s.agent
ORDER BY s.connection
ON CONFLICT (connection_id) DO UPDATE
SET status = excluded.status, node_id = excluded.node_id, last_seen_at = greatest(agent_sessions.last_seen_at, excluded.last_seen_at),
    ended_at = excluded.ended_at, updated_at = now()

-- name: renew-node
INSERT INTO nodes (id) VALUES ($1)
ON CONFLICT (id) DO UPDATE SET seen_at = now()

-- name: leave-node
DELETE FROM nodes WHERE id = $1

-- name: end-orphaned-sessions
-- Sessions end with the run of the program that held their sockets: as late as
-- it may have lived, since what was taken before that was taken with a socket.
UPDATE agent_sessions s
SET ended_at = greatest(s.last_seen_at, n.seen_at) + $1::interval, updated_at = now()
FROM agent_sessions o
LEFT JOIN nodes n ON n.id = o.node_id
WHERE o.ended_at IS NULL AND o.node_id <> $2 AND (n.id IS NULL OR n.seen_at < now() - $1::interval)
    AND s.id = o.id AND s.ended_at IS NULL

-- name: forget-nodes
DELETE FROM nodes WHERE seen_at < now() - interval '1 day'

-- name: absent-agents
-- Agents of whom no session is open, or who may not work, and who hold
-- conversations all the same. What was taken after the last session had ended
-- was taken by REST alone and isn't meant, unless it was given by policy.
SELECT u.organization_id, u.id, u.status <> 'ACTIVE', s.status::text, s.last_seen_at, s.ended_at
FROM users u
LEFT JOIN LATERAL (
    -- Open ones come first: NULL is the greatest.
    SELECT status, last_seen_at, ended_at FROM agent_sessions WHERE agent_id = u.id ORDER BY ended_at DESC LIMIT 1
) AS s ON true
WHERE u.assigned_count > 0 AND u.id > $1 AND (u.status <> 'ACTIVE' OR (s.ended_at IS NOT NULL AND EXISTS (
    SELECT FROM conversations c
    WHERE c.assigned_agent_id = u.id AND c.status = 'ASSIGNED' AND (c.assigned_at <= s.ended_at OR EXISTS (
        SELECT FROM conversation_events e
        WHERE e.conversation_id = c.id AND e.seq = c.assignment_seq AND e.metadata->>'reason' = 'auto')))))
ORDER BY u.id
LIMIT $2
