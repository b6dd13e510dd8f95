-- After a commit of unknown outcome: the chains that are stored. A chain is
-- recognized by its own ids, never by a number that another owner's change may
-- have too: its head, the line that it added to the audit trail, or its message.
SELECT q.ix
FROM unnest($1::int4[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int8[], $6::uuid[])
    AS q (ix, conversation, head, event, seq, message)
WHERE EXISTS (SELECT FROM conversations c WHERE c.id = q.conversation AND c.change_id = q.head)
    OR EXISTS (SELECT FROM conversation_events e WHERE e.conversation_id = q.conversation AND e.seq = q.seq AND e.id = q.event)
    OR EXISTS (SELECT FROM messages m WHERE m.id = q.message)
