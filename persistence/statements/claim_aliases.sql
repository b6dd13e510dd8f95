-- The fence has seen that each alias is free, ours already, or the former
-- owner's that the claim names. What somebody else did to one since, inserted
-- it or moved it away, violates the primary key here: the batch is repeated,
-- and the fence finds it.
WITH claim AS MATERIALIZED (
    SELECT DISTINCT ON (k.organization, k.provider, k.alias) k.*
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::uuid[])
        AS k (conversation, head, organization, provider, alias, kind, contact, move_from)
    JOIN conversations c ON c.id = k.conversation AND c.change_id = k.head AND c.xmin = pg_current_xact_id()::xid
    ORDER BY k.organization, k.provider, k.alias
), moved AS (
    UPDATE contact_aliases a SET contact_id = k.contact, updated_at = now()
    FROM claim k
    WHERE a.organization_id = k.organization AND a.provider = k.provider::provider AND a.alias = k.alias
        AND a.contact_id = k.move_from
    RETURNING k.organization, k.provider, k.alias
)
INSERT INTO contact_aliases (organization_id, provider, alias, kind, contact_id)
SELECT k.organization, k.provider::provider, k.alias, k.kind::alias_kind, k.contact
FROM claim k
WHERE (k.organization, k.provider, k.alias) NOT IN (SELECT m.organization, m.provider, m.alias FROM moved m)
    AND NOT EXISTS (SELECT FROM contact_aliases a WHERE a.organization_id = k.organization
        AND a.provider = k.provider::provider AND a.alias = k.alias AND a.contact_id = k.contact)
