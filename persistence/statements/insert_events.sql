INSERT INTO conversation_events (id, conversation_id, seq, event_type, actor_id, metadata, created_at)
SELECT e.id, c.id, e.seq, e.type::event_type, e.actor, e.facts::jsonb, e.at
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::text[], $6::uuid[], $7::text[], $8::timestamptz[])
    AS e (conversation, head, id, seq, type, actor, facts, at)
JOIN conversations c ON c.id = e.conversation AND c.change_id = e.head AND c.xmin = pg_current_xact_id()::xid
