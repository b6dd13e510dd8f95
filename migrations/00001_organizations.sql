-- Who works here, through which channels, and how configuration in memory
-- learns that it is out of date. Low-write tables: all have foreign keys.

-- +goose Up
CREATE TYPE provider AS ENUM ('WHATSAPP', 'MESSENGER');
CREATE TYPE user_role AS ENUM ('ADMIN', 'AGENT');
CREATE TYPE user_status AS ENUM ('ACTIVE', 'INACTIVE', 'SUSPENDED');
CREATE TYPE channel_status AS ENUM ('ACTIVE', 'INACTIVE', 'ERROR');
CREATE TYPE assignment_policy AS ENUM ('MANUAL', 'AUTO');

CREATE TABLE organizations (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL,
    slug       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id   uuid NOT NULL REFERENCES organizations,
    email             text NOT NULL,
    password_hash     text NOT NULL,
    name              text NOT NULL,
    avatar_url        text,
    role              user_role NOT NULL DEFAULT 'AGENT',
    status            user_status NOT NULL DEFAULT 'ACTIVE',
    max_conversations integer CHECK (max_conversations > 0), -- null: no limit
    -- Counted by the batch that assigns or releases, under
    -- assigned_count < max_conversations: capacity can't be raced.
    assigned_count    integer NOT NULL DEFAULT 0 CHECK (assigned_count >= 0),
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50); -- assigned_count changes with each assignment: room for HOT updates

-- One login for each spelling of an e-mail; the organization's users.
CREATE UNIQUE INDEX users_organization_email ON users (organization_id, lower(email));
-- A login names no organization.
CREATE INDEX users_email ON users (lower(email));
-- GET /api/users?status, reassign targets; leads with the organization that every query names.
CREATE INDEX users_organization_status ON users (organization_id, status);

CREATE TABLE channels (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id   uuid NOT NULL REFERENCES organizations,
    provider          provider NOT NULL,
    name              text NOT NULL,
    config            jsonb NOT NULL DEFAULT '{}', -- its secrets are sealed by the application
    external_id       text NOT NULL, -- WhatsApp: phone number id; Messenger: page id
    webhook_secret    text,          -- sealed; null: the environment's secret
    status            channel_status NOT NULL DEFAULT 'INACTIVE',
    last_error        text,
    assignment_policy assignment_policy NOT NULL DEFAULT 'MANUAL',
    send_rate         integer CHECK (send_rate > 0), -- messages per second; null: the platform's
    -- When the channel's own token last proved that it can read its number or
    -- page; null: never, so it receives nothing. A proved channel goes on
    -- receiving while it is INACTIVE, until another one proves the same number
    -- and works.
    proved_at         timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now()
);

-- A number or page belongs to one working channel; a new channel is INACTIVE
-- and reserves nothing, so that nobody can squat on another's number.
CREATE UNIQUE INDEX channels_provider_external_id ON channels (provider, external_id)
    WHERE status IN ('ACTIVE', 'ERROR');
-- The organization's channels, also by provider.
CREATE INDEX channels_organization ON channels (organization_id, provider);

-- What configuration changed. Nodes keep users and channels in memory, LISTEN
-- on chatopshub_config and poll this table as the safety net. The newest rows
-- are found by id; it is pruned.
CREATE TABLE change_log (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL, -- 'user', 'channel', or what a writer of other configuration names
    organization_id uuid,
    subject         uuid,          -- the id of the user, channel, …
    -- Ids are given out before the commit, so a row may appear below the greatest
    -- id already seen. The transaction tells: all rows below a snapshot's xmin
    -- are in it.
    xact            xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX change_log_xact ON change_log (xact);
CREATE INDEX change_log_created_at ON change_log (created_at); -- what was changed long ago is pruned

-- +goose StatementBegin
CREATE FUNCTION change_log_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- No payload: PostgreSQL then sends one notification for a transaction,
    -- and the listener reads the rows it has not seen.
    PERFORM pg_notify('chatopshub_config', '');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER change_log_notify AFTER INSERT ON change_log
    FOR EACH STATEMENT EXECUTE FUNCTION change_log_notify();

-- +goose StatementBegin
CREATE FUNCTION change_log_record() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed record;
BEGIN
    IF TG_OP = 'DELETE' THEN changed := OLD; ELSE changed := NEW; END IF;
    INSERT INTO change_log (kind, organization_id, subject)
        VALUES (TG_ARGV[0], changed.organization_id, changed.id);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- The columns that nodes keep in memory. assigned_count is not among them: it
-- changes with every assignment, and NOTIFY takes a lock that is global to the
-- server while its transaction commits.
CREATE TRIGGER users_changed
    AFTER INSERT OR DELETE OR UPDATE OF organization_id, email, name, avatar_url, role, status, max_conversations
    ON users FOR EACH ROW EXECUTE FUNCTION change_log_record('user');
CREATE TRIGGER channels_changed
    AFTER INSERT OR DELETE OR UPDATE OF organization_id, name, config, external_id, webhook_secret, status, assignment_policy, send_rate, proved_at
    ON channels FOR EACH ROW EXECUTE FUNCTION change_log_record('channel');

-- +goose Down
DROP TABLE channels, users, organizations, change_log;
DROP FUNCTION change_log_record(), change_log_notify();
DROP TYPE assignment_policy, channel_status, user_status, user_role, provider;
