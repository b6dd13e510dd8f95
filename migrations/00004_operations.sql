-- Presence, figures, logins, and what operators look into.

-- +goose Up
CREATE TYPE presence_status AS ENUM ('ONLINE', 'AWAY', 'OFFLINE');

-- One row for each socket of an agent; kept after its end for the figures.
CREATE TABLE agent_sessions (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    connection_id text NOT NULL UNIQUE,
    node_id       text NOT NULL,
    status        presence_status NOT NULL DEFAULT 'ONLINE',
    ip_address    text,
    user_agent    text,
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70); -- heartbeats move last_seen_at, which is in no index: HOT

-- An agent's sessions, also those of a day (online minutes).
CREATE INDEX agent_sessions_agent ON agent_sessions (agent_id, created_at);
-- Who is here: the ended ones, nearly all of the rows, are not in it.
CREATE INDEX agent_sessions_status ON agent_sessions (status) WHERE ended_at IS NULL;

CREATE TABLE performance_metrics (
    id                       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id          uuid NOT NULL REFERENCES organizations,
    agent_id                 uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    date                     date NOT NULL, -- UTC
    total_conversations      integer NOT NULL DEFAULT 0,
    conversations_accepted   integer NOT NULL DEFAULT 0,
    conversations_completed  integer NOT NULL DEFAULT 0,
    total_messages_sent      integer NOT NULL DEFAULT 0,
    total_messages_received  integer NOT NULL DEFAULT 0,
    -- null: nothing to average
    avg_message_length_chars double precision,
    avg_first_response_ms    double precision,
    avg_response_time_ms     double precision,
    min_response_time_ms     bigint,
    max_response_time_ms     bigint,
    concurrent_peak          integer NOT NULL DEFAULT 0,
    total_online_minutes     integer NOT NULL DEFAULT 0,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    UNIQUE (agent_id, date)
);

-- The organization's figures of a range of days.
CREATE INDEX performance_metrics_organization ON performance_metrics (organization_id, date);
-- A day of everyone: the nightly job asks which are done.
CREATE INDEX performance_metrics_date ON performance_metrics (date);

-- One row for each refresh token; the tokens that followed one login are a family.
CREATE TABLE sessions (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    refresh_hash bytea NOT NULL UNIQUE,
    family       uuid NOT NULL,
    expires_at   timestamptz NOT NULL,
    rotated_at   timestamptz,
    revoked_at   timestamptz,
    ip           text,
    user_agent   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- The end of a login.
CREATE INDEX sessions_family ON sessions (family);
-- The end of all logins of a user.
CREATE INDEX sessions_user ON sessions (user_id);
-- Clean-up.
CREATE INDEX sessions_expires_at ON sessions (expires_at);

-- What webhooks brought and nothing could take. No foreign key: it must be
-- possible to keep anything, and at a bounded number (DEAD_LETTERS_MAX).
CREATE TABLE webhook_dead_letters (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id     uuid, -- null: no known channel
    provider            provider NOT NULL,
    channel_external_id text,
    reason              text NOT NULL,
    error               text,
    headers             jsonb NOT NULL DEFAULT '{}',
    payload             bytea NOT NULL, -- raw: it may be what text can't hold
    attempts            integer NOT NULL DEFAULT 0,
    received_at         timestamptz NOT NULL DEFAULT now(),
    replayed_at         timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);

-- The list, newest first, and clean-up, oldest first.
CREATE INDEX webhook_dead_letters_received_at ON webhook_dead_letters (received_at);

CREATE TABLE admin_audit (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    actor_id        uuid REFERENCES users, -- null: the command line
    action          text NOT NULL,
    subject         text NOT NULL,
    metadata        jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- The organization's list, newest first.
CREATE INDEX admin_audit_organization ON admin_audit (organization_id, created_at);

-- +goose Down
DROP TABLE admin_audit, webhook_dead_letters, sessions, performance_metrics, agent_sessions;
DROP TYPE presence_status;
