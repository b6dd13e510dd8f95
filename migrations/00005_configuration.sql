-- Which channel a number's or page's webhooks belong to, and how followers of
-- change_log miss nothing.

-- +goose Up

-- When the channel's own token last proved that it can read its number or page;
-- null: never, so it receives nothing. A proved channel goes on receiving while
-- it is INACTIVE, until another one proves the same number and works.
ALTER TABLE channels ADD COLUMN proved_at timestamptz;
UPDATE channels SET proved_at = updated_at WHERE status IN ('ACTIVE', 'ERROR');

DROP TRIGGER channels_changed ON channels;
CREATE TRIGGER channels_changed
    AFTER INSERT OR DELETE OR UPDATE OF organization_id, name, config, external_id, webhook_secret, status, assignment_policy, send_rate, proved_at
    ON channels FOR EACH ROW EXECUTE FUNCTION change_log_record('channel');

-- Ids are given out before the commit, so a row may appear below the greatest
-- id already seen. The transaction tells: all rows below a snapshot's xmin are
-- in it.
ALTER TABLE change_log ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX change_log_xact ON change_log (xact);
-- What was changed long ago is pruned.
CREATE INDEX change_log_created_at ON change_log (created_at);

-- +goose Down
DROP TRIGGER channels_changed ON channels;
CREATE TRIGGER channels_changed
    AFTER INSERT OR DELETE OR UPDATE OF organization_id, name, config, external_id, webhook_secret, status, assignment_policy, send_rate
    ON channels FOR EACH ROW EXECUTE FUNCTION change_log_record('channel');
ALTER TABLE channels DROP COLUMN proved_at;
ALTER TABLE change_log DROP COLUMN xact;
DROP INDEX change_log_created_at;
