-- The outbox by channel: the sweep steps over what belongs to a channel that
-- doesn't send, however much it is, and a conversation that is loaded asks for
-- its own rows in their order. It takes the place of an index that began with the
-- conversation.
--
-- Built beside the running writers, hence outside of a transaction, each
-- statement so that it can be repeated after a failure.

-- +goose NO TRANSACTION

-- +goose Up
DROP INDEX CONCURRENTLY IF EXISTS messages_outbox; -- what a broken-off try left
CREATE INDEX CONCURRENTLY messages_outbox ON messages (channel_id, conversation_id, id) WHERE send_state IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS messages_unsent;

-- +goose Down
DROP INDEX CONCURRENTLY IF EXISTS messages_unsent;
CREATE INDEX CONCURRENTLY messages_unsent ON messages (conversation_id, next_attempt_at) WHERE send_state IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS messages_outbox;
