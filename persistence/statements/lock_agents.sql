-- Locks the agents whose load the batch changes, in the order of their ids, so
-- that batches of several lanes and nodes queue up instead of deadlocking, and
-- the fence reads counts that nobody else can move.
SELECT id FROM users WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE
