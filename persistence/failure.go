package persistence

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// fate is what an error says about a transaction.
type fate int

const (
	stored   fate = iota // it committed
	lost                 // the connection broke: it may have committed
	aborted              // it certainly didn't commit, and may the next time
	collided             // a unique key was taken meanwhile
	refused              // it certainly didn't commit, and never will: a value is at fault
)

// classify sorts the errors of a batch by SQLSTATE class (PostgreSQL,
// appendix A).
func classify(err error) fate {
	if err == nil {
		return stored
	}
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		var encoding *encodeError
		if errors.As(err, &encoding) {
			return refused
		}
		return lost
	}
	switch {
	case isFatal(pgErr):
		return lost
	case pgErr.Code == "23505":
		return collided
	case slices.Contains(valueClasses, pgErr.Code[:2]):
		return refused
	}
	return aborted
}

// valueClasses are the SQLSTATE classes that blame a value: cardinality, data,
// integrity, raised by a trigger, and limits such as the size of an index row.
var valueClasses = []string{"21", "22", "23", "P0", "54"}

// isFatal reports whether the server ended the session with this error.
func isFatal(err *pgconn.PgError) bool {
	severity := err.SeverityUnlocalized
	if severity == "" {
		severity = err.Severity
	}
	return severity == "FATAL" || severity == "PANIC"
}

// encodeError is a value of ours that has no form in the database.
type encodeError struct{ err error }

func (e *encodeError) Error() string { return "encode column: " + e.err.Error() }
func (e *encodeError) Unwrap() error { return e.err }

// reason is what may be said of a refused value: never the value.
func reason(err error) string {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return "it can't be encoded"
	}
	text := "SQLSTATE " + pgErr.Code
	if pgErr.ConstraintName != "" {
		text += ", constraint " + pgErr.ConstraintName
	} else if pgErr.ColumnName != "" {
		text += ", column " + pgErr.ColumnName
	}
	return text
}

func asParseError(err error, target **pgconn.ParseConfigError) bool { return errors.As(err, target) }

// redactConnect is a connect error without the address: it may hold a password.
func redactConnect(err error) string {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		if cause := errors.Unwrap(connect); cause != nil {
			return cause.Error()
		}
	}
	return err.Error()
}
