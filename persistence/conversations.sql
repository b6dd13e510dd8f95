-- Conversations: their state for the actors, and the rows of the lists.

-- name: load-conversations
-- What is unsent has an index of its own: where nothing is, that is one look. The
-- arrays are in the order of the rows that they are made of; ORDER BY in each of
-- them would add a third to the whole query, also where nothing is.
SELECT c.id, c.organization_id, c.channel_id, c.contact_id, ch.provider::text, c.status::text,
       c.assigned_agent_id, c.assigned_at, c.assignment_seq,
       c.pending_since, c.last_message_at, c.last_inbound_at, c.first_response_at, c.window_expires_at, c.unread_count,
       c.change_id, c.version, c.event_seq, c.last_message_id, c.created_at, c.updated_at, c.metadata, c.early_statuses,
       ch.name, ct.display_name, ct.provider_id, u.name,
       coalesce(recipient.alias, ''), ct.merged_into IS NOT NULL,
       unsent.ids, unsent.types, unsent.states, unsent.claims, unsent.due
FROM conversations c
JOIN channels ch ON ch.id = c.channel_id
JOIN contacts ct ON ct.id = c.contact_id
LEFT JOIN users u ON u.id = c.assigned_agent_id
-- A user id stays with its owner; of numbers the one that was claimed last.
LEFT JOIN LATERAL (
    SELECT a.alias
    FROM contact_aliases a
    WHERE a.contact_id = coalesce(ct.merged_into, ct.id)
    ORDER BY a.kind = 'USER_ID' DESC, a.updated_at DESC, a.alias
    LIMIT 1
) AS recipient ON true
CROSS JOIN LATERAL (
    SELECT array_agg(m.id) AS ids, array_agg(m.type::text) AS types, array_agg(m.send_state::text) AS states,
           array_agg(m.attempt_started_at) AS claims, array_agg(m.next_attempt_at) AS due
    FROM (
        SELECT id, type, send_state, attempt_started_at, next_attempt_at
        FROM messages
        WHERE channel_id = c.channel_id AND conversation_id = c.id AND send_state IS NOT NULL
        ORDER BY id
        LIMIT $2
    ) AS m
) AS unsent
WHERE c.id = ANY ($1::uuid[])

-- The lists come in two steps: a page of ids with the total, counted up to
-- 10,000 by looking at one more, then the rows of those ids. A list is by status,
-- by channel or by agent, because each of these has its index; where the order is
-- reversed, every DESC becomes ASC. Of each status a stretch of the index is
-- read, and the stretches are merged.

-- name: list-conversations
SELECT t.total, p.id
FROM (
    SELECT count(*) AS total
    FROM (SELECT FROM conversations WHERE organization_id = $1 AND status = ANY ($2::text[]::conversation_status[]) LIMIT 10001) AS counted
) AS t
LEFT JOIN (
    SELECT c.id, c.last_message_at
    FROM unnest($2::text[]::conversation_status[]) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT id, last_message_at
        FROM conversations
        WHERE organization_id = $1 AND status = wanted.status
        ORDER BY last_message_at DESC, id DESC
        LIMIT $3::int + $4::int
    ) AS c
    ORDER BY c.last_message_at DESC, c.id DESC
    LIMIT $3::int OFFSET $4::int
) AS p ON true
ORDER BY p.last_message_at DESC, p.id DESC

-- name: list-conversations-of-channel
-- The channel is the organization's, so its conversations are.
WITH channel AS MATERIALIZED (
    SELECT id FROM channels WHERE id = $5 AND organization_id = $1
)
SELECT t.total, p.id
FROM (
    SELECT count(*) AS total
    FROM (
        SELECT FROM channel
        JOIN conversations c ON c.channel_id = channel.id AND c.status = ANY ($2::text[]::conversation_status[])
        LIMIT 10001
    ) AS counted
) AS t
LEFT JOIN (
    SELECT c.id, c.last_message_at
    FROM channel
    CROSS JOIN unnest($2::text[]::conversation_status[]) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT id, last_message_at
        FROM conversations
        WHERE channel_id = channel.id AND status = wanted.status
        ORDER BY last_message_at DESC, id DESC
        LIMIT $3::int + $4::int
    ) AS c
    ORDER BY c.last_message_at DESC, c.id DESC
    LIMIT $3::int OFFSET $4::int
) AS p ON true
ORDER BY p.last_message_at DESC, p.id DESC

-- name: list-conversations-of-agent
-- The agent is the organization's, so what the agent holds is.
WITH agent AS MATERIALIZED (
    SELECT id FROM users WHERE id = $6 AND organization_id = $1
)
SELECT t.total, p.id
FROM (
    SELECT count(*) AS total
    FROM (
        SELECT FROM agent
        JOIN conversations c ON c.assigned_agent_id = agent.id AND c.status = ANY ($2::text[]::conversation_status[])
            AND ($5::uuid IS NULL OR c.channel_id = $5)
        LIMIT 10001
    ) AS counted
) AS t
LEFT JOIN (
    SELECT c.id, c.last_message_at
    FROM agent
    CROSS JOIN unnest($2::text[]::conversation_status[]) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT id, last_message_at
        FROM conversations
        WHERE assigned_agent_id = agent.id AND status = wanted.status AND ($5::uuid IS NULL OR channel_id = $5)
        ORDER BY last_message_at DESC, id DESC
        LIMIT $3::int + $4::int
    ) AS c
    ORDER BY c.last_message_at DESC, c.id DESC
    LIMIT $3::int OFFSET $4::int
) AS p ON true
ORDER BY p.last_message_at DESC, p.id DESC

-- name: search-conversations
-- What the indexes have found ($9 contacts, $10 conversations), and, among the
-- candidates, the newest of the list, what has each of the words anywhere in the
-- contact's name or provider id; where $11 says that the index of messages
-- couldn't tell, also in one of its 20 newest messages.
WITH candidate AS MATERIALIZED (
    SELECT c.id, c.last_message_at, c.contact_id
    FROM conversations c
    WHERE c.organization_id = $1 AND c.id = ANY ($7::uuid[])
), found AS MATERIALIZED (
    SELECT c.id, c.last_message_at
    FROM candidate c
    JOIN contacts ct ON ct.id = c.contact_id
    WHERE ct.display_name ILIKE ALL ($8::text[]) OR ct.provider_id ILIKE ALL ($8::text[]) OR $11 AND EXISTS (
        SELECT FROM (
            SELECT body FROM messages WHERE conversation_id = c.id AND deleted_at IS NULL ORDER BY id DESC LIMIT 20
        ) AS newest
        WHERE newest.body ILIKE ALL ($8::text[])
    )
    UNION
    SELECT c.id, c.last_message_at
    FROM conversations c
    WHERE c.contact_id = ANY ($9::uuid[]) AND c.organization_id = $1 AND c.status = ANY ($2::text[]::conversation_status[])
        AND ($5::uuid IS NULL OR c.channel_id = $5) AND ($6::uuid IS NULL OR c.assigned_agent_id = $6)
    UNION
    SELECT c.id, c.last_message_at
    FROM conversations c
    WHERE c.id = ANY ($10::uuid[]) AND c.organization_id = $1 AND c.status = ANY ($2::text[]::conversation_status[])
        AND ($5::uuid IS NULL OR c.channel_id = $5) AND ($6::uuid IS NULL OR c.assigned_agent_id = $6)
)
SELECT t.total, p.id
FROM (SELECT count(*) AS total FROM found) AS t
LEFT JOIN (
    SELECT id, last_message_at FROM found ORDER BY last_message_at DESC, id DESC LIMIT $3::int OFFSET $4::int
) AS p ON true
ORDER BY p.last_message_at DESC, p.id DESC

-- name: conversation-rows
SELECT c.id, c.organization_id, c.channel_id, c.contact_id, c.status::text AS status, c.assigned_agent_id, c.assigned_at,
       c.pending_since, c.last_message_at, c.first_response_at, c.window_expires_at, c.unread_count, c.version,
       c.created_at, c.updated_at,
       ct.provider_id AS contact_provider_id, ct.display_name AS contact_name,
       ch.name AS channel_name, ch.provider::text AS provider, u.name AS holder_name,
       m.id AS message_id, m.direction::text AS message_direction, m.body AS message_body,
       m.media_type AS message_media_type, m.deleted_at AS message_deleted_at, m.created_at AS message_created_at,
       asked.position
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS asked (organization, id, position)
JOIN conversations c ON c.id = asked.id AND c.organization_id = asked.organization
JOIN contacts ct ON ct.id = c.contact_id
JOIN channels ch ON ch.id = c.channel_id
LEFT JOIN users u ON u.id = c.assigned_agent_id
LEFT JOIN messages m ON m.id = c.last_message_id AND m.conversation_id = c.id
ORDER BY asked.position

-- name: conversation-exists
SELECT EXISTS (SELECT FROM conversations WHERE id = $2 AND organization_id = $1)
