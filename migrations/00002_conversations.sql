-- Customers, the names they are known by, and their conversations. Ids of
-- contacts and conversations are computed, so these tables make none.

-- +goose Up
CREATE TYPE alias_kind AS ENUM ('PHONE', 'USER_ID', 'PSID');
CREATE TYPE conversation_status AS ENUM ('PENDING', 'ASSIGNED', 'COMPLETED');

CREATE TABLE contacts (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    provider        provider NOT NULL,
    provider_id     text NOT NULL,
    display_name    text NOT NULL DEFAULT '',
    metadata        jsonb NOT NULL DEFAULT '{}',
    merged_into     uuid REFERENCES contacts, -- proved to be that contact; it has the aliases now
    first_seen_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at    timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organization_id, provider, provider_id)
) WITH (fillfactor = 85); -- last_seen_at is in no index: room for HOT updates

-- A search by number or page-scoped id.
CREATE INDEX contacts_provider_id ON contacts (provider_id);
-- Few rows are merged; their foreign key is checked when the winner is erased.
CREATE INDEX contacts_merged_into ON contacts (merged_into) WHERE merged_into IS NOT NULL;

-- The row is its name: no id of its own.
CREATE TABLE contact_aliases (
    organization_id uuid NOT NULL REFERENCES organizations,
    provider        provider NOT NULL,
    alias           text NOT NULL,
    kind            alias_kind NOT NULL,
    -- Deferred, as below: a batch inserts contacts and aliases in any order.
    contact_id      uuid NOT NULL REFERENCES contacts ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, provider, alias)
);

-- A contact with its aliases; the cascade.
CREATE INDEX contact_aliases_contact ON contact_aliases (contact_id);

CREATE TABLE conversations (
    id                uuid PRIMARY KEY,
    organization_id   uuid NOT NULL REFERENCES organizations,
    channel_id        uuid NOT NULL REFERENCES channels,
    contact_id        uuid NOT NULL REFERENCES contacts DEFERRABLE INITIALLY DEFERRED,
    status            conversation_status NOT NULL DEFAULT 'PENDING',
    assigned_agent_id uuid REFERENCES users,
    assigned_at       timestamptz,
    pending_since     timestamptz,
    last_message_id   uuid,
    last_message_at   timestamptz NOT NULL DEFAULT now(),
    last_inbound_at   timestamptz,
    first_response_at timestamptz,
    window_expires_at timestamptz,
    unread_count      integer NOT NULL DEFAULT 0 CHECK (unread_count >= 0),
    metadata          jsonb NOT NULL DEFAULT '{}',
    -- Statuses that overtook the answer to our own send, until it is known.
    early_statuses    jsonb NOT NULL DEFAULT '[]',
    change_id         uuid NOT NULL,             -- the head of the chain of changes: the fence
    version           bigint NOT NULL DEFAULT 1, -- for clients; never a fence
    event_seq         bigint NOT NULL DEFAULT 0, -- the last seq in conversation_events
    assignment_seq    bigint NOT NULL DEFAULT 0, -- names one assignment, so that a late release can't hit the next
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    -- A completed conversation remembers who completed it.
    CONSTRAINT conversations_holder CHECK (
        CASE status
            WHEN 'PENDING' THEN assigned_agent_id IS NULL
            WHEN 'ASSIGNED' THEN assigned_agent_id IS NOT NULL AND assigned_at IS NOT NULL
            ELSE true
        END),
    -- One conversation for a customer and channel. The contact leads: this
    -- index also finds a person's conversations (merge, export, erase).
    UNIQUE (contact_id, channel_id)
) WITH (
    -- The most updated table. Each message moves last_message_at, which the
    -- list is sorted by, so the update can't be HOT; the room keeps the new
    -- version on the page, where it is pruned and the indexes' dead entries
    -- are deleted bottom-up. Hence few indexes, and vacuum early.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.05
);

-- The list: one status (or several, merged), newest activity first; id breaks ties between pages.
CREATE INDEX conversations_list ON conversations (organization_id, status, last_message_at DESC, id DESC);
-- What an agent holds: the list of "me", releases, reconciliation. Most rows have nobody.
CREATE INDEX conversations_agent ON conversations (assigned_agent_id, status, last_message_at DESC, id DESC)
    WHERE assigned_agent_id IS NOT NULL;
-- The list of one channel; the channel's foreign key.
CREATE INDEX conversations_channel ON conversations (channel_id, status, last_message_at DESC, id DESC);

-- +goose Down
DROP TABLE conversations, contact_aliases, contacts;
DROP TYPE conversation_status, alias_kind;
