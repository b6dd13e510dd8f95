-- Who is here, after those who knew it have died; what waits to be assigned.

-- +goose Up
-- One row for each run of the program, renewed every two seconds. Sessions of
-- a run that stopped renewing have ended with it.
CREATE TABLE nodes (
    id         text PRIMARY KEY, -- unique for each run
    seen_at    timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50); -- seen_at is in no index: HOT

-- Whether an agent is here, and since when not: the newest end, with the open
-- ones, which have none, before it.
CREATE INDEX agent_sessions_ended ON agent_sessions (agent_id, ended_at);

-- What waits in a channel, oldest first.
CREATE INDEX conversations_waiting ON conversations (channel_id, pending_since, id) WHERE status = 'PENDING';

-- +goose Down
DROP INDEX conversations_waiting, agent_sessions_ended;
DROP TABLE nodes;
