-- After a commit of unknown outcome: the chains that are stored. A chain is
-- recognized by its own ids, never by a number that another owner's change may
-- have too: its head, the line that it added to the audit trail, or its message.
-- EXISTS or a plain join might be planned to go through all messages.
WITH q AS MATERIALIZED (
    SELECT * FROM unnest($1::int4[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int8[], $6::uuid[])
        AS q (ix, conversation, head, event, seq, message)
)
SELECT q.ix FROM q JOIN conversations c ON c.id = q.conversation AND c.change_id = q.head
UNION SELECT q.ix FROM q JOIN conversation_events e ON e.conversation_id = q.conversation AND e.seq = q.seq AND e.id = q.event
UNION SELECT q.ix FROM q CROSS JOIN LATERAL (SELECT FROM messages m WHERE m.id = q.message LIMIT 1) AS m
