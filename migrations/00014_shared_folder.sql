-- Which folder of files belongs to this database.

-- +goose Up
-- One row, once several nodes have to share the folder: its id is in the folder,
-- too, so that a node with another folder shows.
CREATE TABLE shared_folder (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id  text NOT NULL
);

-- +goose Down
DROP TABLE shared_folder;
