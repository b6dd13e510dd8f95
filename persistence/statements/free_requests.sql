-- Takes idempotency keys from messages that have had them long enough, before
-- the next statement gives them to others. The rows are among those updated later.
UPDATE messages t SET idempotency_key = NULL, request_hash = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS m (conversation, head, id)
JOIN conversations c ON c.id = m.conversation AND c.change_id = m.head AND c.xmin = pg_current_xact_id()::xid
WHERE t.id = m.id AND t.conversation_id = m.conversation
