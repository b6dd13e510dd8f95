-- Which folder of files belongs to the database.

-- name: shared-folder
SELECT coalesce((SELECT id FROM shared_folder), '')

-- name: claim-shared-folder
-- The first node's folder is the one; the others' claims change nothing.
INSERT INTO shared_folder (id) VALUES ($1) ON CONFLICT DO NOTHING
