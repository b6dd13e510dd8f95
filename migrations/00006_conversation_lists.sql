-- The lists of a channel and of an agent pick by status too: with the status in
-- their indexes they are read in order and counted without visiting the table,
-- as the organization's is. A change of status or of last_message_at couldn't be
-- HOT before either, so nothing is lost.

-- +goose Up
DROP INDEX conversations_agent;
DROP INDEX conversations_channel;
-- What an agent holds: the list of "me", releases, reconciliation. Most rows have nobody.
CREATE INDEX conversations_agent ON conversations (assigned_agent_id, status, last_message_at DESC, id DESC)
    WHERE assigned_agent_id IS NOT NULL;
-- The list of one channel; the channel's foreign key.
CREATE INDEX conversations_channel ON conversations (channel_id, status, last_message_at DESC, id DESC);

-- +goose Down
DROP INDEX conversations_agent;
DROP INDEX conversations_channel;
CREATE INDEX conversations_agent ON conversations (assigned_agent_id, last_message_at DESC) WHERE assigned_agent_id IS NOT NULL;
CREATE INDEX conversations_channel ON conversations (channel_id, last_message_at DESC);
