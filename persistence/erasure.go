package persistence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// lettersRead is how many dead letters are looked through at a time; they may
// have a megabyte each, and have some kilobytes.
const lettersRead = 200

// Erasures removes everything of a person: contacts that were merged, aliases,
// conversations, messages, trails, files, and letters that name an alias.
// docs/decisions/0021-erasure.md says in which order and why.
type Erasures struct {
	reads *Reads
	blobs *Blobs
}

// NewErasures makes the eraser.
func NewErasures(reads *Reads, blobs *Blobs) *Erasures {
	return &Erasures{reads: reads, blobs: blobs}
}

// erasure is a row of erasures.
type erasure struct {
	id           uuid.UUID
	organization domain.OrganizationID
	contact      domain.ContactID
	actor        domain.UserID
}

// Erase removes the contact and whatever there is of the same person, and
// returns when that is durable. admin_audit tells that it was done, by whom, and
// no more. domain.ErrNotFound when the organization has no such contact. Once
// begun it is finished, also after an error or a crash: by Finish.
func (e *Erasures) Erase(ctx context.Context, org domain.OrganizationID, contact domain.ContactID, by domain.UserID) error {
	job := erasure{organization: org, contact: contact, actor: by}
	if err := e.reads.pool.QueryRow(ctx, e.reads.queries.RequestErasure, org, contact, by).Scan(&job.id); err != nil {
		return readError("erase a contact", err)
	}
	return readError("erase a contact", e.run(ctx, job))
}

// Finish does what was asked for at least that long ago and isn't done.
func (e *Erasures) Finish(ctx context.Context, age time.Duration) error {
	rows, err := e.reads.pool.Query(ctx, e.reads.queries.OpenErasures, age)
	if err != nil {
		return readError("look for erasures", err)
	}
	open, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (j erasure, err error) {
		return j, row.Scan(&j.id, &j.organization, &j.contact, &j.actor)
	})
	if err != nil {
		return readError("look for erasures", err)
	}
	var errs []error
	for _, job := range open {
		if err := e.run(ctx, job); err != nil {
			errs = append(errs, readError("finish an erasure", err))
		}
	}
	return errors.Join(errs...)
}

// run takes the bulk away in small batches, while the conversation lives on,
// then the rest in one transaction, then the files.
func (e *Erasures) run(ctx context.Context, job erasure) error {
	if err := e.bulk(ctx, job); err != nil {
		return err
	}
	if err := repeatedly(ctx, func() error { return e.final(ctx, job) }); err != nil {
		return err
	}
	_, err := inBatches(ctx, func(ctx context.Context) (int64, error) { return purgeFiles(ctx, e.reads, e.blobs) })
	return err
}

func (e *Erasures) bulk(ctx context.Context, job erasure) error {
	q := e.reads.queries
	family, err := idsOf[domain.ContactID](ctx, e.reads.pool, q.Family, job.organization, job.contact)
	if err != nil {
		return err
	}
	if err := e.letters(ctx, job, family); err != nil {
		return err
	}
	conversations, err := idsOf[domain.ConversationID](ctx, e.reads.pool, q.ConversationsOfContacts, uuidsOf(family))
	if err != nil {
		return err
	}
	for _, id := range conversations {
		for _, statement := range []string{q.EraseMessages, q.EraseEvents} {
			if _, err := inBatches(ctx, func(ctx context.Context) (int64, error) {
				tag, err := e.reads.pool.Exec(ctx, statement, id, cleanupBatch)
				return tag.RowsAffected(), err
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// letters removes dead letters whose payload names an alias of the person.
func (e *Erasures) letters(ctx context.Context, job erasure, family []domain.ContactID) error {
	return e.eachLetter(ctx, job.organization, family, func(named []uuid.UUID) error {
		_, err := e.reads.pool.Exec(ctx, e.reads.queries.EraseLetters, named)
		return err
	})
}

// eachLetter finds the organization's dead letters whose payload names an alias
// of the person, some at a time.
func (e *Erasures) eachLetter(ctx context.Context, org domain.OrganizationID, family []domain.ContactID, found func([]uuid.UUID) error) error {
	aliases, err := idsOf[string](ctx, e.reads.pool, e.reads.queries.AliasesOfContactsAlone, uuidsOf(family))
	if err != nil || len(aliases) == 0 {
		return err
	}
	var after uuid.UUID
	for {
		page, named := 0, []uuid.UUID{}
		rows, err := e.reads.pool.Query(ctx, e.reads.queries.LettersOfOrganization, org, after, lettersRead)
		if err != nil {
			return err
		}
		var payload []byte
		if _, err := pgx.ForEachRow(rows, []any{&after, &payload}, func() error {
			page++
			if slices.ContainsFunc(aliases, func(alias string) bool { return names(payload, alias) }) {
				named = append(named, after)
			}
			return nil
		}); err != nil {
			return err
		}
		if len(named) > 0 {
			if err := found(named); err != nil {
				return err
			}
		}
		if page < lettersRead {
			return nil
		}
	}
}

// names reports whether the payload has the alias, and not as a part of a longer
// one.
func names(payload []byte, alias string) bool {
	for rest := payload; ; {
		i := bytes.Index(rest, []byte(alias))
		if i < 0 || alias == "" {
			return false
		}
		end := i + len(alias)
		if (i == 0 || !alphanumeric(rest[i-1])) && (end == len(rest) || !alphanumeric(rest[end])) {
			return true
		}
		rest = rest[i+1:]
	}
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// final removes what is left. Rows are locked in the order in which everybody
// locks them: agents, conversations, contacts. What the conversations' actors
// decide meanwhile fails at the fence, since the row that they build on is gone.
func (e *Erasures) final(ctx context.Context, job erasure) error {
	return pgx.BeginFunc(ctx, e.reads.pool, func(tx pgx.Tx) error {
		q := e.reads.queries
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '30s'"); err != nil {
			return err
		}
		family, conversations, err := e.lock(ctx, tx, job)
		if err != nil {
			return err
		}
		contacts := uuidsOf(family)
		batch := &pgx.Batch{}
		for _, id := range conversations {
			batch.Queue(q.EraseMessages, id, nil) // LIMIT NULL: all
			batch.Queue(q.EraseEvents, id, nil)
		}
		batch.Queue(q.GiveBackPlaces, contacts)
		batch.Queue(q.EraseConversations, contacts)
		batch.Queue(q.RenameFormerOwners, contacts)
		for _, id := range family {
			batch.Queue(q.ForgetMoves, id)
		}
		batch.Queue(q.EraseContacts, contacts)
		batch.Queue(q.AuditErasure, job.id)
		return tx.SendBatch(ctx, batch).Close()
	})
}

// lock locks all that is to go. errChanged when it became more meanwhile.
func (e *Erasures) lock(ctx context.Context, tx pgx.Tx, job erasure) ([]domain.ContactID, []domain.ConversationID, error) {
	q := e.reads.queries
	family, err := idsOf[domain.ContactID](ctx, tx, q.Family, job.organization, job.contact)
	if err != nil {
		return nil, nil, err
	}
	contacts := uuidsOf(family)
	holders, err := idsOf[domain.UserID](ctx, tx, q.HoldersOfContacts, contacts)
	if err != nil {
		return nil, nil, err
	}
	if _, err := idsOf[domain.UserID](ctx, tx, q.LockUsers, uuidsOf(holders)); err != nil {
		return nil, nil, err
	}
	conversations, err := idsOf[domain.ConversationID](ctx, tx, q.LockConversationsOfContacts, contacts)
	if err != nil {
		return nil, nil, err
	}
	if _, err := idsOf[domain.ContactID](ctx, tx, q.LockContacts, contacts); err != nil {
		return nil, nil, err
	}
	// Each statement sees what has committed until then. Whoever wants to add a
	// conversation or to merge a contact from now on waits for the contact's lock.
	familyNow, err1 := idsOf[domain.ContactID](ctx, tx, q.Family, job.organization, job.contact)
	conversationsNow, err2 := idsOf[domain.ConversationID](ctx, tx, q.ConversationsOfContacts, contacts)
	holdersNow, err3 := idsOf[domain.UserID](ctx, tx, q.HoldersOfContacts, contacts)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, err
	}
	if !slices.Equal(family, familyNow) || !slices.Equal(conversations, conversationsNow) || !slices.Equal(holders, holdersNow) {
		return nil, nil, fmt.Errorf("lock a contact: %w", errChanged)
	}
	return family, conversations, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func idsOf[T any](ctx context.Context, from querier, statement string, args ...any) ([]T, error) {
	rows, err := from.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}
