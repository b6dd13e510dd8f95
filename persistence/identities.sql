-- Who customers are.

-- name: known-aliases
-- Question n of a batch is an alias. Its contact may have been merged into
-- another, and that one again; UNION ends a circle that must not be, depth a
-- chain.
WITH RECURSIVE asked AS (
    SELECT q.n, a.contact_id
    FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[], $5::text[]) AS q (n, organization_id, provider, kind, alias)
    JOIN contact_aliases a ON a.organization_id = q.organization_id
        AND a.provider = q.provider::provider AND a.alias = q.alias AND a.kind = q.kind::alias_kind
), follow (n, contact_id, depth) AS (
    SELECT n, contact_id, 0 FROM asked
    UNION
    SELECT f.n, c.merged_into, f.depth + 1
    FROM follow f
    JOIN contacts c ON c.id = f.contact_id
    WHERE c.merged_into IS NOT NULL AND f.depth < 8
), owner AS (
    SELECT DISTINCT ON (n) n, contact_id FROM follow ORDER BY n, depth DESC
)
SELECT o.n, c.id, c.provider_id,
       ARRAY (SELECT a.alias FROM contact_aliases a WHERE a.contact_id = c.id AND a.kind = 'USER_ID' ORDER BY a.alias)
FROM owner o
JOIN contacts c ON c.id = o.contact_id
UNION ALL
-- Nobody has the alias, but the contact that would be computed from it is there:
-- it lost the alias to somebody who was erased.
SELECT q.n, NULL, NULL, NULL
FROM unnest($1::int[], $5::text[], $6::uuid[]) AS q (n, alias, computed)
JOIN contacts c ON c.id = q.computed
WHERE NOT EXISTS (
    SELECT FROM contact_aliases a
    WHERE a.organization_id = c.organization_id AND a.provider = c.provider AND a.alias = q.alias
)

-- name: contact-exists
SELECT EXISTS (SELECT FROM contacts WHERE id = $1)

-- name: conversation-of-message
SELECT q.n, m.conversation_id
FROM unnest($1::int[], $2::uuid[], $3::text[]) AS q (n, channel_id, provider_id)
JOIN messages m ON m.channel_id = q.channel_id AND m.provider_message_id = q.provider_id
