-- Customers.

-- name: list-contacts
SELECT t.total, p.id
FROM (
    SELECT count(*) AS total
    -- In the order of the index, so that the table is not looked at.
    FROM (SELECT FROM contacts WHERE organization_id = $1 AND merged_into IS NULL ORDER BY display_name, id LIMIT 10001) AS counted
) AS t
LEFT JOIN (
    SELECT id, display_name
    FROM contacts
    WHERE organization_id = $1 AND merged_into IS NULL
    ORDER BY display_name, id
    LIMIT $2 OFFSET $3
) AS p ON true
ORDER BY p.display_name, p.id

-- name: pick-contacts
-- A page of those that a search has found.
WITH found AS MATERIALIZED (
    SELECT id, display_name FROM contacts WHERE id = ANY ($4::uuid[]) AND organization_id = $1 AND merged_into IS NULL
)
SELECT t.total, p.id
FROM (SELECT count(*) AS total FROM found) AS t
LEFT JOIN (
    SELECT id, display_name FROM found ORDER BY display_name, id LIMIT $2 OFFSET $3
) AS p ON true
ORDER BY p.display_name, p.id

-- name: contact-view
SELECT c.id, c.provider::text AS provider, c.provider_id, c.display_name, c.merged_into, c.first_seen_at, c.last_seen_at,
       c.created_at, c.updated_at, asked.position
FROM unnest($2::uuid[]) WITH ORDINALITY AS asked (id, position)
JOIN contacts c ON c.id = asked.id AND c.organization_id = $1
ORDER BY asked.position

-- name: aliases-of-contacts
SELECT contact_id, kind::text AS kind, alias
FROM contact_aliases
WHERE contact_id = ANY ($2::uuid[]) AND organization_id = $1
ORDER BY contact_id, kind, alias

-- name: search-contacts
-- Up to $3 contacts that have the words in name or number, or in one alias.
SELECT DISTINCT id
FROM (
    (
        SELECT id FROM contacts
        WHERE organization_id = $1 AND search_terms(organization_id, display_name || ' ' || provider_id) @@ (SELECT search_query($1, $2))
        LIMIT $3
    )
    UNION ALL
    (
        SELECT contact_id FROM contact_aliases
        WHERE organization_id = $1 AND search_terms(organization_id, alias) @@ (SELECT search_query($1, $2))
        LIMIT $3
    )
) AS found
LIMIT $3

-- name: search-messages
-- The conversations of up to $3 messages that have the words.
SELECT conversation_id, count(*)
FROM (
    SELECT conversation_id FROM messages
    WHERE organization_id = $1 AND body IS NOT NULL AND deleted_at IS NULL
        AND search_terms(organization_id, body) @@ (SELECT search_query($1, $2))
    LIMIT $3
) AS found
GROUP BY conversation_id
