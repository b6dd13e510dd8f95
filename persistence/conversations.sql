-- Conversations: their state for the actors, and the rows of the lists.

-- name: load-conversations
SELECT c.id, c.organization_id, c.channel_id, c.contact_id, ch.provider::text, c.status::text,
       c.assigned_agent_id, c.assigned_at, c.assignment_seq,
       c.pending_since, c.last_message_at, c.last_inbound_at, c.first_response_at, c.window_expires_at, c.unread_count,
       c.change_id, c.version, c.event_seq, c.last_message_id, c.created_at, c.updated_at, c.metadata, c.early_statuses,
       ch.name, ct.display_name, ct.provider_id, u.name
FROM conversations c
JOIN channels ch ON ch.id = c.channel_id
JOIN contacts ct ON ct.id = c.contact_id
LEFT JOIN users u ON u.id = c.assigned_agent_id
WHERE c.id = ANY ($1::uuid[])
