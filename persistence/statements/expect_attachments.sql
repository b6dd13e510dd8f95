-- The files of messages that were just inserted: jobs fetch what is pending.
INSERT INTO attachments (id, organization_id, channel_id, message_id, source, file_name, mime_type)
SELECT a.id, c.organization_id, c.channel_id, a.message, a.source, a.file_name, a.mime_type
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[])
    AS a (conversation, head, id, message, source, file_name, mime_type)
JOIN conversations c ON c.id = a.conversation AND c.change_id = a.head AND c.xmin = pg_current_xact_id()::xid
