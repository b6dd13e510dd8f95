-- The audit trail.

-- name: audit-page
-- seq has no gaps, so it says how many there are and where a page begins:
-- nothing is counted or skipped.
SELECT c.event_seq AS total, e.id, e.seq, e.event_type::text AS event_type, e.actor_id, u.name AS actor_name, e.metadata, e.created_at
FROM conversations c
LEFT JOIN LATERAL (
    SELECT id, seq, event_type, actor_id, metadata, created_at
    FROM conversation_events
    WHERE conversation_id = c.id AND seq <= c.event_seq - $4::bigint
    ORDER BY seq DESC
    LIMIT $3
) AS e ON true
LEFT JOIN users u ON u.id = e.actor_id
WHERE c.id = $2 AND c.organization_id = $1
ORDER BY e.seq DESC
