package persistence

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chatopshub/chatopshub/domain"
)

// readError says what a failed read means to its caller:
//
//   - no row: domain.ErrNotFound
//   - a value that PostgreSQL refuses: a *domain.ValueError
//   - another answer of PostgreSQL that tells of a mistake of ours, such as an
//     unknown column: itself
//   - everything else (no connection, no time, a server that is starting,
//     stopping or out of resources): domain.ErrUnavailable
//
// doing is what was being done. nil stays nil.
func readError(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", doing, domain.ErrNotFound)
	}
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return fmt.Errorf("%s: %w: %w", doing, domain.ErrUnavailable, err)
	}
	switch sqlClass(answer) {
	case classData:
		return fmt.Errorf("%s: %w", doing, &domain.ValueError{Reason: reason(err)})
	case "08", "28", "3D", "40", "53", "55", "57", "58":
		return fmt.Errorf("%s: %w: %w", doing, domain.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// classData is the SQLSTATE class "data exception": a value is to blame.
const classData = "22"

// sqlClass is the first two characters of the SQLSTATE (PostgreSQL, appendix
// A): 08 connection, 28 authorization, 3D no such database, 40 rollback, 53
// resources, 55 state, 57 intervention, among them time-outs and shutdown, 58
// system.
func sqlClass(answer *pgconn.PgError) string {
	return answer.Code[:min(2, len(answer.Code))]
}

// refusesValue reports whether err is PostgreSQL's refusal of a value.
func refusesValue(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && sqlClass(answer) == classData
}
