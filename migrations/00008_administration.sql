-- What administrators do by the API: users, channels, dead letters.

-- +goose Up
-- GET /api/users, by name.
CREATE INDEX users_organization_name ON users (organization_id, name, id);
ALTER TABLE webhook_dead_letters
    -- Which secret signed the POST, by a fingerprint: a replay is believed about
    -- a channel that is bound to the same one. Null: kept before this was noted.
    ADD COLUMN signed_by text,
    -- Asked for by the command line; a server works it off.
    ADD COLUMN replay_requested_at timestamptz,
    -- The last try began; another one waits until it can't be at work any more.
    ADD COLUMN attempted_at timestamptz;
-- An organization's list, newest first.
CREATE INDEX webhook_dead_letters_organization ON webhook_dead_letters (organization_id, received_at DESC, id)
    WHERE organization_id IS NOT NULL;
-- What the command line has asked for: next to nothing.
CREATE INDEX webhook_dead_letters_requested ON webhook_dead_letters (replay_requested_at)
    WHERE replay_requested_at IS NOT NULL;

-- +goose Down
DROP INDEX webhook_dead_letters_requested, webhook_dead_letters_organization;
ALTER TABLE webhook_dead_letters DROP COLUMN attempted_at, DROP COLUMN replay_requested_at, DROP COLUMN signed_by;
DROP INDEX users_organization_name;
