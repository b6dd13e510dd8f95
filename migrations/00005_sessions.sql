-- Refresh tokens that rotate, and logins that end before their time, which every
-- node has to hear of. In a family the first row is the login itself: whoever
-- uses one of its tokens locks it, and its expires_at and revoked_at count for
-- all. The others are the tokens that followed.

-- +goose Up
-- The tokens go with their login.
ALTER TABLE sessions ADD CONSTRAINT sessions_family_fkey FOREIGN KEY (family) REFERENCES sessions ON DELETE CASCADE;
-- A chain has one end: no use of tokens, however they race, makes two of them good.
CREATE UNIQUE INDEX sessions_unspent ON sessions (family) WHERE rotated_at IS NULL;
-- What a node that starts has to know.
CREATE INDEX sessions_revoked_at ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

-- Whatever ends a login tells the nodes, as the rest of the configuration does.
-- +goose StatementBegin
CREATE FUNCTION session_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO change_log (kind, organization_id, subject)
        SELECT 'revocation', organization_id, NEW.id FROM users WHERE id = NEW.user_id;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER sessions_revoked AFTER UPDATE OF revoked_at ON sessions
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION session_revoked();

-- Whoever changes what a user may do, or the password, ends the user's logins in
-- the same transaction; nobody can forget to.
-- +goose StatementBegin
CREATE FUNCTION user_sessions_revoke() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sessions SET revoked_at = clock_timestamp(), updated_at = clock_timestamp()
        WHERE user_id = NEW.id AND id = family AND revoked_at IS NULL;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER users_sessions_revoke AFTER UPDATE OF role, status, password_hash ON users
    FOR EACH ROW WHEN ((OLD.role, OLD.status, OLD.password_hash) IS DISTINCT FROM (NEW.role, NEW.status, NEW.password_hash))
    EXECUTE FUNCTION user_sessions_revoke();

-- +goose Down
DROP TRIGGER users_sessions_revoke ON users;
DROP TRIGGER sessions_revoked ON sessions;
DROP FUNCTION user_sessions_revoke(), session_revoked();
DROP INDEX sessions_revoked_at, sessions_unspent;
ALTER TABLE sessions DROP CONSTRAINT sessions_family_fkey;
