package persistence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// letterOf is a letter with its computed id.
func letterOf(letter domain.DeadLetter) domain.DeadLetter {
	letter.Provider, letter.Reason = domain.WhatsApp, "unknown_channel"
	if letter.ReceivedAt.IsZero() {
		letter.ReceivedAt = time.Now()
	}
	letter.ID = domain.DeadLetterIDFor(letter)
	return letter
}

func TestLettersAreKeptWhateverIsInThem(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	org := newTenant(t, database, "one").org
	letters := persistence.NewDeadLetters(openReads(t, database), 100, discard())
	payload := []byte("{\"a\": \"\x00\xff\"}")
	known := letterOf(domain.DeadLetter{
		Organization: org, Account: "1\x002\xff", Detail: "at \x00", Payload: payload,
		Headers: map[string]string{"User-Agent": "a\x00b\xff", "\x00": "x"},
	})
	unknown := letterOf(domain.DeadLetter{})
	require.NoError(t, letters.Keep(t.Context(), nil))
	require.NoError(t, letters.Keep(t.Context(), []domain.DeadLetter{known, unknown, known}))

	var (
		owner                   domain.OrganizationID
		account, detail, reason string
		headers, stored         []byte
	)
	const one = `SELECT organization_id, channel_external_id, error, reason, headers, payload FROM webhook_dead_letters WHERE id = $1`
	require.NoError(t, database.SQL.QueryRow(one, known.ID).Scan(&owner, &account, &detail, &reason, &headers, &stored))
	require.Equal(t, org, owner)
	require.Equal(t, "1\uFFFD2\uFFFD", account)
	require.Equal(t, "at \uFFFD", detail)
	require.Equal(t, "unknown_channel", reason)
	require.Equal(t, payload, stored)
	var decoded map[string]string
	require.NoError(t, json.Unmarshal(headers, &decoded))
	require.Equal(t, map[string]string{"User-Agent": "a\uFFFDb\uFFFD", "\uFFFD": "x"}, decoded)

	var nobody bool
	require.NoError(t, database.SQL.QueryRow(`SELECT organization_id IS NULL AND channel_external_id IS NULL AND error IS NULL AND payload = ''
		FROM webhook_dead_letters WHERE id = $1`, unknown.ID).Scan(&nobody))
	require.True(t, nobody)
}

func countLetters(t *testing.T, database *persistencetest.Database) (n int) {
	t.Helper()
	require.NoError(t, database.SQL.QueryRow(`SELECT count(*) FROM webhook_dead_letters`).Scan(&n))
	return n
}

func TestALetterPostedAgainIsThatLetter(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	letters := persistence.NewDeadLetters(openReads(t, database), 100, discard())
	for range 3 {
		require.NoError(t, letters.Keep(t.Context(), []domain.DeadLetter{letterOf(domain.DeadLetter{Payload: []byte("a")})}))
	}
	require.Equal(t, 1, countLetters(t, database))
}

func TestALongLetterIsCutAndSaysSo(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	letters := persistence.NewDeadLetters(openReads(t, database), 100, discard())
	long := letterOf(domain.DeadLetter{Payload: bytes.Repeat([]byte("x"), 1<<20+1), Detail: "no such type"})
	require.NoError(t, letters.Keep(t.Context(), []domain.DeadLetter{long}))
	var size int
	var detail string
	require.NoError(t, database.SQL.QueryRow(`SELECT length(payload), error FROM webhook_dead_letters`).Scan(&size, &detail))
	require.Equal(t, 1<<20, size)
	require.Equal(t, "payload of 1048577 bytes cut off; no such type", detail)
}

func TestTheOldestLettersGo(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	letters := persistence.NewDeadLetters(openReads(t, database), 5, discard())
	now := time.Now()
	keep := func(count int, age time.Duration) {
		batch := make([]domain.DeadLetter, count)
		for i := range batch {
			batch[i] = letterOf(domain.DeadLetter{Payload: fmt.Append(nil, age, i), ReceivedAt: now.Add(-age)})
		}
		require.NoError(t, letters.Keep(t.Context(), batch))
	}
	keep(3, 31*24*time.Hour)
	keep(4, time.Hour)
	require.NoError(t, letters.Prune(t.Context()))
	require.Equal(t, 4, countLetters(t, database), "those older than 30 days went")
	keep(3, time.Minute)
	require.NoError(t, letters.Prune(t.Context()))
	require.Equal(t, 5, countLetters(t, database), "those beyond the maximum went")
	var newest int
	require.NoError(t, database.SQL.QueryRow(`SELECT count(*) FROM webhook_dead_letters WHERE received_at > $1`, now.Add(-2*time.Minute)).Scan(&newest))
	require.Equal(t, 3, newest, "the newest stayed")

	keep(1000, 0)
	require.Equal(t, 5, countLetters(t, database), "many letters prune by themselves")
}
