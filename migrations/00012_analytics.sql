-- Figures: what an average is of, so that days and agents can be added up, and
-- how conversations change hands. docs/analytics.md says what each one means.

-- +goose Up
ALTER TABLE performance_metrics
    ADD COLUMN conversations_released       integer NOT NULL DEFAULT 0,
    ADD COLUMN conversations_reassigned_in  integer NOT NULL DEFAULT 0,
    ADD COLUMN conversations_reassigned_out integer NOT NULL DEFAULT 0,
    ADD COLUMN conversations_reopened       integer NOT NULL DEFAULT 0,
    ADD COLUMN texts_sent                   integer NOT NULL DEFAULT 0,
    ADD COLUMN first_responses              integer NOT NULL DEFAULT 0,
    ADD COLUMN avg_first_response_from_assignment_ms double precision,
    ADD COLUMN responses                    integer NOT NULL DEFAULT 0,
    ADD COLUMN handled                      integer NOT NULL DEFAULT 0,
    ADD COLUMN avg_handle_time_ms           double precision,
    ADD COLUMN waits                        integer NOT NULL DEFAULT 0,
    ADD COLUMN avg_wait_ms                  double precision;

-- The days whose figures are complete; they are done one after another, without
-- gaps. A day on which nobody did anything has no rows to tell by.
CREATE TABLE aggregated_days (
    date          date PRIMARY KEY, -- UTC
    aggregated_at timestamptz NOT NULL DEFAULT now()
);

-- How a conversation came to be where it is: the change of hands before another
-- one, with however many messages in between. Those, nearly all of the rows, are
-- not in it.
CREATE INDEX conversation_events_turns ON conversation_events (conversation_id, seq)
    WHERE event_type NOT IN ('MESSAGE_RECEIVED', 'MESSAGE_SENT', 'MESSAGE_DELIVERED', 'MESSAGE_READ', 'MESSAGE_FAILED');

-- Sessions that reach into a day; clean-up, oldest first.
CREATE INDEX agent_sessions_ended_at ON agent_sessions (ended_at);

-- The least id that a message of that millisecond may have (RFC 9562, 5.7): ids
-- are in the order of time.
CREATE FUNCTION message_id_floor(at timestamptz) RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (lpad(to_hex(floor(1000 * extract(epoch FROM at))::bigint), 12, '0') || '00000000000000000000')::uuid;

-- Whole milliseconds, rounded down.
CREATE FUNCTION whole_ms(took interval) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN floor(1000 * extract(epoch FROM took))::bigint;

-- +goose Down
DROP FUNCTION whole_ms(interval), message_id_floor(timestamptz);
DROP INDEX agent_sessions_ended_at, conversation_events_turns;
DROP TABLE aggregated_days;
ALTER TABLE performance_metrics
    DROP COLUMN conversations_released, DROP COLUMN conversations_reassigned_in, DROP COLUMN conversations_reassigned_out,
    DROP COLUMN conversations_reopened, DROP COLUMN texts_sent, DROP COLUMN first_responses,
    DROP COLUMN avg_first_response_from_assignment_ms, DROP COLUMN responses, DROP COLUMN handled,
    DROP COLUMN avg_handle_time_ms, DROP COLUMN waits, DROP COLUMN avg_wait_ms;
