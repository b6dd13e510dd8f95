-- When a channel was last asked whether it works, by whichever node: the check
-- belongs to the node that moved it. Not among the columns that nodes keep in
-- memory, so no node is told.

-- +goose Up
ALTER TABLE channels ADD COLUMN checked_at timestamptz;

-- +goose Down
ALTER TABLE channels DROP COLUMN checked_at;
