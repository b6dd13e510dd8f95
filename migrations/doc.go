// Package migrations has the database's schema as numbered files and applies
// them with goose.
//
// A file is NNNNN_noun.sql with an Up and a Down part, or NNNNN_noun.go where
// another library brings its tables: River migrates its own. A file that was released
// is never changed: what it got wrong, the next one mends. Every index has its
// reason as a comment; docs/decisions/0002-foreign-keys-and-indexes.md says why
// some tables have no foreign keys.
//
// Up and Down run under an advisory lock of the database session, so that any
// number of nodes may start together. The connection must be PostgreSQL's own,
// or a pooler's in session mode.
//
// The package imports nothing of ours.
package migrations
