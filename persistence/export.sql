-- All rows of a person, as they are. $1 are the ids of the contacts, $2 is where
-- the page before ended.

-- name: export-contacts
SELECT to_jsonb(k) FROM contacts k WHERE id = ANY ($1::uuid[]) ORDER BY id

-- name: export-aliases
SELECT to_jsonb(a) FROM contact_aliases a WHERE contact_id = ANY ($1::uuid[]) ORDER BY alias

-- name: export-conversations
SELECT to_jsonb(c) FROM conversations c WHERE contact_id = ANY ($1::uuid[]) ORDER BY id

-- name: export-messages
SELECT id, to_jsonb(m) FROM messages m WHERE conversation_id = $1 AND id > $2 ORDER BY id LIMIT $3

-- name: export-events
SELECT seq, to_jsonb(e) FROM conversation_events e WHERE conversation_id = $1 AND seq > $2 ORDER BY seq LIMIT $3

-- name: export-attachments
SELECT a.id, a.state = 'stored', to_jsonb(a) - 'source' - 'storage_path'
FROM messages m
JOIN attachments a ON a.message_id = m.id
WHERE m.conversation_id = $1 AND m.id > $2 AND m.id <= $3
ORDER BY m.id, a.id

-- name: export-letters
SELECT to_jsonb(l) - 'payload' || jsonb_build_object('payload', encode(l.payload, 'base64')) FROM webhook_dead_letters l WHERE id = ANY ($1::uuid[])

-- name: export-message-ids
SELECT id FROM messages WHERE conversation_id = $1 AND id > $2 ORDER BY id LIMIT $3
