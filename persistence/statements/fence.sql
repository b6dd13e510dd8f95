-- The fence: of the chains of changes in this batch, the ones that pass are
-- those whose conversation still has the head that they build on. What else
-- refuses a chain (a message that is stored already, an alias that is somebody
-- else's, an agent without room) is found here too, before the row is touched.
-- The statements that follow take effect only for rows which this one wrote.
WITH chain AS MATERIALIZED (
    SELECT * FROM unnest($1::int4[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::timestamptz[],
        $8::int8[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
        $14::int4[], $15::int8[], $16::int8[], $17::uuid[], $18::timestamptz[], $19::text[], $20::text[],
        $21::uuid[], $22::uuid[], $23::uuid[], $24::timestamptz[])
    AS c (ix, id, base, head, status, holder, assigned_at, assignment, pending_since, last_message_at, last_inbound_at,
        first_response_at, window_expires_at, unread, version, event_seq, last_message, updated_at, metadata, early,
        organization, channel, contact, created_at)
), duplicate AS MATERIALIZED (
    SELECT d.ix, d.provider_message_id
    FROM unnest($25::int4[], $26::uuid[], $27::text[]) AS d (ix, channel, provider_message_id)
    -- LIMIT keeps this from becoming a join that goes through the index of all messages.
    CROSS JOIN LATERAL (SELECT FROM messages m WHERE m.channel_id = d.channel
        AND m.provider_message_id = d.provider_message_id AND m.provider_message_id IS NOT NULL LIMIT 1) AS m
), foreign_alias AS MATERIALIZED (
    -- One that was believed to be stored and isn't: its contact was erased.
    SELECT k.ix, k.n, coalesce(a.contact_id, '00000000-0000-0000-0000-000000000000') AS contact_id
    FROM unnest($28::int4[], $29::int4[], $30::uuid[], $31::text[], $32::text[], $33::uuid[], $34::uuid[], $35::int4[])
        AS k (ix, n, organization, provider, alias, contact, move_from, stored)
    LEFT JOIN contact_aliases a ON a.organization_id = k.organization AND a.provider = k.provider::provider AND a.alias = k.alias
    WHERE CASE WHEN a.contact_id IS NULL THEN k.stored = 1 ELSE a.contact_id <> k.contact AND a.contact_id IS DISTINCT FROM k.move_from END
), over_capacity AS MATERIALIZED (
    -- The claims of one agent are served in the order of the batch.
    SELECT t.ix, t.agent, CASE WHEN u.status = 'ACTIVE' THEN u.max_conversations - u.assigned_count ELSE 0 END AS room
    FROM (SELECT q.ix, q.agent, row_number() OVER (PARTITION BY q.agent ORDER BY q.ix) AS nth
          FROM unnest($36::int4[], $37::uuid[]) AS q (ix, agent)) AS t
    LEFT JOIN users u ON u.id = t.agent
    WHERE u.id IS NULL OR u.status <> 'ACTIVE' OR u.assigned_count + t.nth > u.max_conversations
), refused AS MATERIALIZED (
    SELECT ix FROM duplicate UNION SELECT ix FROM foreign_alias UNION SELECT ix FROM over_capacity
), updated AS (
    UPDATE conversations c
    SET change_id = n.head, status = n.status::conversation_status, assigned_agent_id = n.holder,
        assigned_at = n.assigned_at, assignment_seq = n.assignment, pending_since = n.pending_since,
        last_message_at = n.last_message_at, last_inbound_at = n.last_inbound_at,
        first_response_at = n.first_response_at, window_expires_at = n.window_expires_at, unread_count = n.unread,
        version = n.version, event_seq = n.event_seq, last_message_id = n.last_message, updated_at = n.updated_at,
        metadata = n.metadata::jsonb, early_statuses = n.early::jsonb
    FROM chain n
    WHERE c.id = n.id AND c.change_id = n.base AND n.ix NOT IN (SELECT ix FROM refused)
    RETURNING n.ix
), created AS (
    INSERT INTO conversations (id, change_id, status, assigned_agent_id, assigned_at, assignment_seq, pending_since,
        last_message_at, last_inbound_at, first_response_at, window_expires_at, unread_count, version, event_seq,
        last_message_id, updated_at, metadata, early_statuses, organization_id, channel_id, contact_id, created_at)
    SELECT n.id, n.head, n.status::conversation_status, n.holder, n.assigned_at, n.assignment, n.pending_since,
        n.last_message_at, n.last_inbound_at, n.first_response_at, n.window_expires_at, n.unread, n.version, n.event_seq,
        n.last_message, n.updated_at, n.metadata::jsonb, n.early::jsonb, n.organization, n.channel, n.contact, n.created_at
    FROM chain n
    WHERE n.base IS NULL AND n.ix NOT IN (SELECT ix FROM refused)
    ON CONFLICT DO NOTHING
    RETURNING id
), checked AS (
    SELECT q.ix
    FROM unnest($38::int4[], $39::uuid[], $40::uuid[]) AS q (ix, id, head)
    JOIN conversations c ON c.id = q.id AND c.change_id = q.head
)
SELECT 'passed' AS verdict, ix, 0 AS n, NULL::uuid AS id, NULL::text AS provider_message_id FROM updated
-- IS TRUE keeps IN from becoming a join: chains times chains.
UNION ALL SELECT 'passed', ix, 0, NULL, NULL FROM chain WHERE base IS NULL AND (id IN (SELECT id FROM created)) IS TRUE
UNION ALL SELECT 'passed', ix, 0, NULL, NULL FROM checked
UNION ALL SELECT 'duplicate', ix, 0, NULL, provider_message_id FROM duplicate
UNION ALL SELECT 'foreign', ix, n, contact_id, NULL FROM foreign_alias
UNION ALL SELECT 'full', ix, room, agent, NULL FROM over_capacity
