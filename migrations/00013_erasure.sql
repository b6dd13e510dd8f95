-- The erasure of people, and what is needed to find all of one.

-- +goose Up
-- Who is to be erased: written first, removed with the last row of the contact.
CREATE TABLE erasures (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations,
    contact_id      uuid NOT NULL UNIQUE, -- no foreign key: it goes first
    actor_id        uuid REFERENCES users, -- null: the command line
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- Trails of others that tell from whom a number moved: few.
CREATE INDEX conversation_events_moves ON conversation_events USING gin ((metadata->'movedAliases') jsonb_path_ops)
    WHERE metadata ? 'movedAliases';

-- +goose Down
DROP INDEX conversation_events_moves;
DROP TABLE erasures;
