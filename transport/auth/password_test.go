package auth

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHasherVerifiesWhatItHashed(t *testing.T) {
	t.Parallel()
	h := NewHasher(2)
	for name, password := range map[string]string{
		"plain":   "correct horse battery staple",
		"unicode": "пароль 🔑",
		"empty":   "",
		"long":    strings.Repeat("x", 10_000),
		"NUL":     "before\x00after",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hash, err := h.Hash(t.Context(), password)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$"), "the parameters in use: %s", hash)

			ok, err := h.Verify(t.Context(), password, hash)
			require.NoError(t, err)
			require.True(t, ok)
			ok, err = h.Verify(t.Context(), password+"x", hash)
			require.NoError(t, err)
			require.False(t, ok)
		})
	}
}

func TestHashesOfOnePasswordDiffer(t *testing.T) {
	t.Parallel()
	h := NewHasher(1)
	first, err := h.Hash(t.Context(), "same")
	require.NoError(t, err)
	second, err := h.Hash(t.Context(), "same")
	require.NoError(t, err)
	require.NotEqual(t, first, second, "each hash has a salt of its own")
}

// The reference implementation's own command line made this hash:
// printf password | argon2 somesalt -id -t 2 -k 65536 -p 1 -e
func TestVerifyAgreesWithTheReferenceImplementation(t *testing.T) {
	t.Parallel()
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	ok, err := NewHasher(1).Verify(t.Context(), "password", hash)
	require.NoError(t, err)
	require.True(t, ok)
}

// A login with an unknown e-mail must cost what a wrong password costs, or the
// clock tells who has an account.
func TestDummyHashCostsTheSameAndFitsNothing(t *testing.T) {
	t.Parallel()
	dummy, err := parsePHC(DummyHash)
	require.NoError(t, err)
	require.Equal(t, [3]uint32{argonMemory, argonTime, argonThreads},
		[3]uint32{dummy.memory, dummy.time, uint32(dummy.threads)})
	require.Len(t, dummy.salt, argonSaltLen)
	require.Len(t, dummy.key, argonKeyLen)

	ok, err := NewHasher(1).Verify(t.Context(), "", DummyHash)
	require.NoError(t, err)
	require.False(t, ok)
}

func TestVerifyRefusesAHashThatAsksForTooMuch(t *testing.T) {
	t.Parallel()
	const salt, key = "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, hash := range map[string]string{
		"empty":               "",
		"plain text":          "admin123",
		"bcrypt":              "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2i":             "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + key,
		"older version":       "$argon2id$v=16$m=19456,t=2,p=1$" + salt + "$" + key,
		"no version":          "$argon2id$m=19456,t=2,p=1$" + salt + "$" + key,
		"too much memory":     "$argon2id$v=19$m=65537,t=2,p=1$" + salt + "$" + key,
		"memory over 32 bits": "$argon2id$v=19$m=99999999999,t=2,p=1$" + salt + "$" + key,
		"too little memory":   "$argon2id$v=19$m=7,t=2,p=1$" + salt + "$" + key,
		"too many passes":     "$argon2id$v=19$m=19456,t=9,p=1$" + salt + "$" + key,
		"no pass":             "$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + key,
		"too many lanes":      "$argon2id$v=19$m=19456,t=2,p=5$" + salt + "$" + key,
		"no lane":             "$argon2id$v=19$m=19456,t=2,p=0$" + salt + "$" + key,
		"negative":            "$argon2id$v=19$m=-1,t=2,p=1$" + salt + "$" + key,
		"leading zero":        "$argon2id$v=19$m=019456,t=2,p=1$" + salt + "$" + key,
		"trailing parameter":  "$argon2id$v=19$m=19456,t=2,p=1,x=1$" + salt + "$" + key,
		"other order":         "$argon2id$v=19$t=2,m=19456,p=1$" + salt + "$" + key,
		"short salt":          "$argon2id$v=19$m=19456,t=2,p=1$AAAA$" + key,
		"short key":           "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$AAAA",
		"empty key":           "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$",
		"padded":              "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "==$" + key,
		"not base64":          "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + strings.Repeat("!", 43),
		"long key":            "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + strings.Repeat("A", 88),
		"very long":           "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + strings.Repeat("A", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ok, err := NewHasher(1).Verify(t.Context(), "admin123", hash)
			require.ErrorIs(t, err, ErrHash)
			require.False(t, ok)
			if len(hash) > 0 {
				require.NotContains(t, err.Error(), hash)
			}
		})
	}
}

func TestHasherWorksOnSoManyAtATime(t *testing.T) {
	t.Parallel()
	h := NewHasher(1)
	require.NoError(t, h.slots.Acquire(t.Context(), 1)) // somebody is hashing

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := h.Hash(ctx, "next")
		done <- err
	}()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled, "whoever waits can give up")

	h.slots.Release(1)
	_, err := h.Hash(t.Context(), "next")
	require.NoError(t, err, "the one that gave up holds no slot")
}

func TestHasherRefusesWhenTooManyWait(t *testing.T) {
	t.Parallel()
	h := NewHasher(1)
	require.True(t, h.waiting.TryAcquire(1+maxWaiting))
	_, err := h.Verify(t.Context(), "late", DummyHash)
	require.ErrorIs(t, err, ErrBusy)

	h.waiting.Release(1)
	_, err = h.Verify(t.Context(), "in time", DummyHash)
	require.NoError(t, err)
}

func TestHasherHasAtLeastOneSlot(t *testing.T) {
	t.Parallel()
	_, err := NewHasher(0).Verify(t.Context(), "x", DummyHash)
	require.NoError(t, err)
}
