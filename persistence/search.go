package persistence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// searchHits is how many contacts, and how many messages, a search takes from
	// their indexes. A list of more is nobody's answer.
	searchHits = 2000
	// searchTime bounds each look into an index: a word that many millions of
	// messages have takes longer. It isn't looked for there, then.
	searchTime = 250 * time.Millisecond
)

// searchScope is where a search looks.
type searchScope int

const (
	contactsAlone searchScope = iota
	contactsAndMessages
)

// searchResult is what the indexes have of a text.
type searchResult struct {
	contacts      [][16]byte
	conversations [][16]byte // with a message that has it
	contactsCut   bool       // there may be more
	messagesCut   bool
}

// search looks for the words of a text in the indexes of one organization.
func (r *Reads) search(ctx context.Context, org domain.OrganizationID, text string, scope searchScope) (result searchResult, err error) {
	err = pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, searchSettings()); err != nil {
			return err
		}
		if err := result.searchContacts(ctx, tx, r.queries, org, text); err != nil || scope == contactsAlone {
			return err
		}
		return result.searchMessages(ctx, tx, r.queries, org, text)
	})
	if tookTooLong(err) {
		// What was found before stays found. Messages come last.
		result.messagesCut, err = true, nil
		result.contactsCut = result.contactsCut || result.contacts == nil
	}
	return result, err
}

// searchSettings are those of a transaction that looks into the indexes.
// Statistics know nothing of how often a word is used, and a table of any size
// looks cheap to read when few rows of it are asked for.
func searchSettings() string {
	return fmt.Sprintf("SET LOCAL enable_seqscan = off; SET LOCAL statement_timeout = %d", searchTime.Milliseconds())
}

func (s *searchResult) searchContacts(ctx context.Context, tx pgx.Tx, q queries, org domain.OrganizationID, text string) error {
	rows, err := tx.Query(ctx, q.SearchContacts, org, asNumber(text), searchHits+1)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return err
	}
	s.contacts, s.contactsCut = found, len(found) > searchHits
	return nil
}

func (s *searchResult) searchMessages(ctx context.Context, tx pgx.Tx, q queries, org domain.OrganizationID, text string) error {
	rows, err := tx.Query(ctx, q.SearchMessages, org, text, searchHits+1)
	if err != nil {
		return err
	}
	var (
		id          [16]byte
		hits, total int
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &hits}, func() error {
		s.conversations = append(s.conversations, id)
		total += hits
		return nil
	})
	s.messagesCut = total > searchHits
	return err
}

// tookTooLong reports whether PostgreSQL ended a statement by its time.
func tookTooLong(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "57014" // query_canceled
}

// asNumber is a telephone number without the signs that people write it with;
// any other text as it is.
func asNumber(text string) string {
	const least = 5 // digits; fewer are a part of many things
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune("+-/() .", r) {
			return -1
		}
		return r
	}, text)
	if len(digits) < least || strings.Trim(digits, "0123456789") != "" {
		return text
	}
	return digits
}

// containingWords are the ILIKE patterns of what has each word of the text in
// it, whatever signs it is made of.
func containingWords(text string) []string {
	var patterns []string
	for _, word := range strings.Fields(text) {
		patterns = append(patterns, containing(word))
	}
	return patterns
}
