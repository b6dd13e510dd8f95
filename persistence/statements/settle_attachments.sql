-- What has become of files that were to be fetched. Of one that couldn't be had
-- stays what the platform said of it.
WITH f AS MATERIALIZED (
    SELECT f.*, c.organization_id
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::int8[], $9::text[])
        AS f (conversation, head, id, message, state, file_name, mime_type, size, sha256)
    JOIN conversations c ON c.id = f.conversation AND c.change_id = f.head AND c.xmin = pg_current_xact_id()::xid
)
UPDATE attachments a
SET state = f.state::attachment_state, file_name = coalesce(f.file_name, a.file_name),
    mime_type = coalesce(f.mime_type, a.mime_type), updated_at = now(),
    storage_path = CASE f.state WHEN 'stored' THEN f.organization_id::text || '/' || f.id::text END,
    size_bytes = CASE f.state WHEN 'stored' THEN f.size END,
    sha256 = CASE f.state WHEN 'stored' THEN decode(f.sha256, 'hex') END
FROM f
WHERE a.id = f.id AND a.organization_id = f.organization_id AND a.message_id = f.message
