-- Numbers for operators.

-- name: backlog
-- The index conversations_list gives each organization's PENDING ones, those
-- first in which nothing has happened for the longest. The limit bounds what a
-- flood costs.
SELECT count(*)::float8, coalesce(extract(epoch FROM now() - min(waiting.pending_since)), 0)::float8
FROM organizations o
CROSS JOIN LATERAL (
    SELECT c.pending_since
    FROM conversations c
    WHERE c.organization_id = o.id AND c.status = 'PENDING'
    ORDER BY c.last_message_at, c.id
    LIMIT 10000
) AS waiting
