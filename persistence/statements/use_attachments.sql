-- Uploads that are sent belong to their message; one that is sent a second time
-- stays the first one's. IS NULL instead of coalesce might be planned to go
-- through all uploads that nobody has used.
WITH u AS MATERIALIZED (
    SELECT u.*, c.organization_id
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[]) AS u (conversation, head, id, message)
    JOIN conversations c ON c.id = u.conversation AND c.change_id = u.head AND c.xmin = pg_current_xact_id()::xid
)
UPDATE attachments a SET message_id = u.message, updated_at = now()
FROM u
WHERE a.id = u.id AND a.organization_id = u.organization_id AND coalesce(a.message_id, u.message) = u.message
