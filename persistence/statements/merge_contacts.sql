-- The merged contact's other aliases come along: whoever is known by one of
-- them is the same person. One that this batch has just moved is there already.
WITH merged AS (
    UPDATE contacts t SET merged_into = k.contact, updated_at = now()
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[]) AS k (conversation, head, merged, contact)
    JOIN conversations c ON c.id = k.conversation AND c.change_id = k.head AND c.xmin = pg_current_xact_id()::xid
    WHERE t.id = k.merged AND t.id <> k.contact AND t.organization_id = c.organization_id AND t.merged_into IS NULL
    RETURNING t.id, k.contact
)
UPDATE contact_aliases a SET contact_id = merged.contact, updated_at = now()
FROM merged
WHERE a.contact_id = merged.id
