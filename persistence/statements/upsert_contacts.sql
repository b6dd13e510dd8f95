-- A contact that two chains of the batch bring along (one customer on two
-- channels) is written once.
INSERT INTO contacts (id, organization_id, provider, provider_id, display_name, metadata, first_seen_at, last_seen_at)
SELECT DISTINCT ON (k.id) k.id, k.organization, k.provider::provider, k.provider_id, k.name, k.profile::jsonb, k.seen_at, k.seen_at
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[])
    AS k (conversation, head, id, organization, provider, provider_id, name, profile, seen_at)
JOIN conversations c ON c.id = k.conversation AND c.change_id = k.head AND c.xmin = pg_current_xact_id()::xid
ORDER BY k.id, k.seen_at DESC
ON CONFLICT (id) DO UPDATE
SET display_name = CASE WHEN excluded.display_name = '' THEN contacts.display_name ELSE excluded.display_name END,
    metadata = contacts.metadata || excluded.metadata,
    last_seen_at = greatest(contacts.last_seen_at, excluded.last_seen_at), updated_at = now()
