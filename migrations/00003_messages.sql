-- The two tables that grow without end, and what hangs on messages. They carry
-- no foreign keys: each would cost a trigger and a row lock per row on the
-- hottest path, while the writer inserts only by joining the conversation that
-- it has just updated (docs/decisions/0002-foreign-keys-and-indexes.md).

-- +goose Up
CREATE TYPE message_direction AS ENUM ('INBOUND', 'OUTBOUND');
CREATE TYPE message_status AS ENUM ('PENDING', 'SENT', 'DELIVERED', 'READ', 'FAILED');
CREATE TYPE message_type AS ENUM ('text', 'image', 'video', 'audio', 'voice', 'document', 'sticker',
    'location', 'contacts', 'interactive', 'button', 'reaction', 'order', 'template', 'system', 'unsupported');
CREATE TYPE send_state AS ENUM ('queued', 'sending', 'uncertain');
CREATE TYPE event_type AS ENUM ('CREATED', 'ACCEPTED', 'RELEASED', 'REASSIGNED', 'COMPLETED', 'REOPENED',
    'AGENT_DISCONNECTED', 'MESSAGE_RECEIVED', 'MESSAGE_SENT', 'MESSAGE_DELIVERED', 'MESSAGE_READ', 'MESSAGE_FAILED');
CREATE TYPE attachment_state AS ENUM ('pending', 'stored', 'failed');

CREATE TABLE messages (
    id                  uuid PRIMARY KEY, -- UUIDv7: always at the right edge of the index, which is the cheap place
    organization_id     uuid NOT NULL,
    channel_id          uuid NOT NULL,
    conversation_id     uuid NOT NULL,
    direction           message_direction NOT NULL,
    agent_id            uuid, -- null: the customer, or the business outside of the inbox
    type                message_type NOT NULL,
    body                text,
    media_url           text,
    media_type          text,
    provider_message_id text,
    status              message_status NOT NULL,
    reply_to            uuid,
    metadata            jsonb NOT NULL DEFAULT '{}',
    error_code          text,
    error_message       text,
    provider_timestamp  timestamptz,
    send_state          send_state, -- of a PENDING outbound message; else null
    attempts            integer NOT NULL DEFAULT 0,
    attempt_started_at  timestamptz,
    next_attempt_at     timestamptz,
    idempotency_key     text,
    request_hash        bytea,
    edited_at           timestamptz,
    deleted_at          timestamptz,
    response_ms         bigint,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT messages_send_state CHECK (send_state IS NULL OR (direction = 'OUTBOUND' AND status = 'PENDING'))
) WITH (
    -- No index has status: SENT, DELIVERED, READ are HOT updates in the room left.
    fillfactor = 90,
    -- Rows arrive for ever: visit the new ones at a twentieth, not a fifth of the
    -- table, for index-only scans and so that no freeze comes as a wave.
    autovacuum_vacuum_insert_scale_factor = 0.05
);

-- The page of a conversation, and its cursor: the id is the order.
CREATE INDEX messages_conversation ON messages (conversation_id, id);
-- A delivery that is repeated; statuses find their message. Per channel: one
-- tenant's payload must not suppress another's message.
CREATE UNIQUE INDEX messages_provider_id ON messages (channel_id, provider_message_id) WHERE provider_message_id IS NOT NULL;
-- A request that is repeated. Few messages carry a key.
CREATE UNIQUE INDEX messages_idempotency ON messages (conversation_id, agent_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- The outbox: only what is unsent, thus tiny. A conversation that is loaded asks
-- for its own rows, the sweeper for what is due.
CREATE INDEX messages_unsent ON messages (conversation_id, next_attempt_at) WHERE send_state IS NOT NULL;
-- An agent's figures of a day. Customers' messages, the greater part, are not in it.
CREATE INDEX messages_agent ON messages (agent_id, created_at) WHERE agent_id IS NOT NULL;
-- Retention and the figures of a day: rows arrive in this order, so block ranges
-- do, at a thousandth of a b-tree's size and nothing per row.
CREATE INDEX messages_created_at ON messages USING brin (created_at) WITH (autosummarize = on);

-- The audit trail. Rows are never updated, hence no updated_at, and are asked
-- for by conversation, hence no index on id.
CREATE TABLE conversation_events (
    id              uuid NOT NULL,
    conversation_id uuid NOT NULL,
    seq             bigint NOT NULL, -- 1, 2, 3 … within the conversation, without gaps
    event_type      event_type NOT NULL,
    actor_id        uuid, -- null: the customer or the system
    metadata        jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation_id, seq)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

-- Who accepted, released, completed when. The MESSAGE_* events, nearly all of the
-- rows, are not in it: those are counted from messages.
CREATE INDEX conversation_events_type ON conversation_events (event_type, created_at)
    WHERE event_type NOT IN ('MESSAGE_RECEIVED', 'MESSAGE_SENT', 'MESSAGE_DELIVERED', 'MESSAGE_READ', 'MESSAGE_FAILED');
-- As of messages.
CREATE INDEX conversation_events_created_at ON conversation_events USING brin (created_at) WITH (autosummarize = on);

CREATE TABLE attachments (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    message_id      uuid, -- null until used; no foreign key, as above
    state           attachment_state NOT NULL DEFAULT 'pending',
    source          text, -- where it is to be had: the platform's media id or URL; null: uploaded here
    file_name       text,
    storage_path    text,
    mime_type       text,
    size_bytes      bigint CHECK (size_bytes >= 0),
    sha256          bytea,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- A message with its attachments.
CREATE INDEX attachments_message ON attachments (message_id) WHERE message_id IS NOT NULL;
-- What is still to be downloaded, oldest first: few rows.
CREATE INDEX attachments_pending ON attachments (created_at) WHERE state = 'pending';

-- +goose Down
DROP TABLE attachments, conversation_events, messages;
DROP TYPE attachment_state, event_type, send_state, message_type, message_status, message_direction;
