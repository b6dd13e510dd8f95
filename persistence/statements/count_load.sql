UPDATE users u SET assigned_count = greatest(0, u.assigned_count + s.delta)
FROM (SELECT l.agent, sum(l.delta) AS delta
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int4[]) AS l (conversation, head, agent, delta)
      JOIN conversations c ON c.id = l.conversation AND c.change_id = l.head AND c.xmin = pg_current_xact_id()::xid
      GROUP BY l.agent) AS s
WHERE u.id = s.agent AND s.delta <> 0
