-- Everything of one person. $1 is an organization, or the ids of the person's
-- contacts: those that were merged are one person.

-- name: request-erasure
INSERT INTO erasures (organization_id, contact_id, actor_id)
SELECT organization_id, id, $3 FROM contacts WHERE id = $2 AND organization_id = $1
ON CONFLICT (contact_id) DO UPDATE SET updated_at = now()
RETURNING id

-- name: open-erasures
-- Those that nobody is at work on: a request does its own within a minute.
SELECT id, organization_id, contact_id, actor_id FROM erasures WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT 10

-- name: family
-- The contact, whom it was merged into, and all that were merged into that one.
WITH RECURSIVE up AS (
    SELECT id, merged_into FROM contacts WHERE id = $2 AND organization_id = $1
    UNION
    SELECT c.id, c.merged_into FROM up JOIN contacts c ON c.id = up.merged_into
), family AS (
    SELECT id FROM up
    UNION
    SELECT c.id FROM family JOIN contacts c ON c.merged_into = family.id
)
SELECT id FROM family ORDER BY id

-- name: conversations-of-contacts
SELECT id FROM conversations WHERE contact_id = ANY ($1::uuid[]) ORDER BY id

-- name: aliases-of-contacts-alone
SELECT alias FROM contact_aliases WHERE contact_id = ANY ($1::uuid[])
UNION
SELECT provider_id FROM contacts k WHERE id = ANY ($1::uuid[]) AND NOT EXISTS (
    -- What they were first seen by may be somebody else's now.
    SELECT FROM contact_aliases a
    WHERE a.organization_id = k.organization_id AND a.provider = k.provider AND a.alias = k.provider_id AND a.contact_id <> ALL ($1::uuid[])
)

-- name: erase-messages
WITH old AS MATERIALIZED (
    SELECT id FROM messages WHERE conversation_id = $1 ORDER BY id LIMIT $2
), doomed AS (
    UPDATE attachments SET message_id = NULL, state = 'failed', updated_at = now() WHERE message_id IN (SELECT id FROM old)
)
DELETE FROM messages WHERE id IN (SELECT id FROM old)

-- name: erase-events
DELETE FROM conversation_events WHERE conversation_id = $1 AND seq IN (
    SELECT seq FROM conversation_events WHERE conversation_id = $1 ORDER BY seq LIMIT $2
)

-- name: holders-of-contacts
SELECT DISTINCT assigned_agent_id FROM conversations WHERE contact_id = ANY ($1::uuid[]) AND status = 'ASSIGNED' ORDER BY 1

-- name: lock-users
SELECT id FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE

-- name: lock-conversations-of-contacts
SELECT id FROM conversations WHERE contact_id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE

-- name: lock-contacts
SELECT id FROM contacts WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE

-- name: give-back-places
UPDATE users u SET assigned_count = greatest(0, u.assigned_count - held.n)
FROM (
    SELECT assigned_agent_id AS agent, count(*) AS n FROM conversations
    WHERE contact_id = ANY ($1::uuid[]) AND status = 'ASSIGNED' GROUP BY assigned_agent_id
) AS held
WHERE u.id = held.agent

-- name: erase-conversations
DELETE FROM conversations WHERE contact_id = ANY ($1::uuid[])

-- name: rename-former-owners
-- Contacts that were first seen by a number which became this person's: they
-- are called by a name that they still have.
UPDATE contacts x
SET provider_id = coalesce((
        SELECT a.alias FROM contact_aliases a
        WHERE a.contact_id = x.id AND NOT EXISTS (
            SELECT FROM contacts other
            WHERE other.organization_id = x.organization_id AND other.provider = x.provider AND other.provider_id = a.alias
        )
        ORDER BY a.kind = 'USER_ID' DESC, a.alias
        LIMIT 1
    ), x.id::text), updated_at = now()
FROM contact_aliases mine
WHERE mine.contact_id = ANY ($1::uuid[]) AND x.organization_id = mine.organization_id AND x.provider = mine.provider
    AND x.provider_id = mine.alias AND x.id <> ALL ($1::uuid[])

-- name: forget-moves
-- The trails of those whom a number of this person moved to.
UPDATE conversation_events e
SET metadata = e.metadata - 'movedAliases' || coalesce((
        SELECT jsonb_build_object('movedAliases', jsonb_agg(m))
        FROM jsonb_array_elements(e.metadata->'movedAliases') AS m
        WHERE (m->>'from')::uuid <> $1
        HAVING count(*) > 0
    ), '{}')
WHERE e.metadata ? 'movedAliases' AND e.metadata->'movedAliases' @> jsonb_build_array(jsonb_build_object('from', $1::uuid))

-- name: erase-contacts
-- Their aliases go with them.
DELETE FROM contacts WHERE id = ANY ($1::uuid[])

-- name: audit-erasure
WITH done AS (
    DELETE FROM erasures WHERE id = $1 RETURNING id, organization_id, actor_id
)
INSERT INTO admin_audit (organization_id, actor_id, action, subject)
SELECT organization_id, actor_id, 'contact.erased', id::text FROM done

-- name: letters-of-organization
-- In order of their ids, after $2. Letters of no known channel are the
-- organization's whose proved channel they name.
SELECT l.id, l.payload
FROM webhook_dead_letters l
WHERE l.id > $2 AND (l.organization_id = $1 OR l.organization_id IS NULL AND EXISTS (
    SELECT FROM channels c
    WHERE c.organization_id = $1 AND c.provider = l.provider AND c.external_id = l.channel_external_id AND c.proved_at IS NOT NULL
))
ORDER BY l.id
LIMIT $3

-- name: erase-letters
DELETE FROM webhook_dead_letters WHERE id = ANY ($1::uuid[])
