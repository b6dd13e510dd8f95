package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"
)

// What we hash with: argon2id at the first setting that OWASP's password
// storage recommendations name, in the fewest bytes of memory that still
// deny a graphics card its parallelism.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2         // passes
	argonThreads = 1         // lanes
	argonKeyLen  = 32        // bytes
	argonSaltLen = 16        // bytes, what RFC 9106 recommends
)

// maxWaiting is how many calls may wait for a slot of a Hasher. At 20 to 40 ms
// a hash, the last one waits for a few seconds; whoever comes after it would
// be gone before its turn, so it gets ErrBusy at once.
const maxWaiting = 256

// DummyHash is a well-formed hash that no password fits. Verify a login
// against it where the account does not exist, so that the answer takes as
// long as a wrong password's and doesn't tell who has an account.
const DummyHash = "$argon2id$v=19$m=19456,t=2,p=1" +
	"$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// ErrBusy says that too many passwords wait to be hashed. Nothing was
// checked; trying again later is safe.
var ErrBusy = errors.New("too many passwords wait to be hashed")

// Hasher hashes and verifies passwords, only so many at a time: each takes
// 19 MiB and a whole core, so a crowd at the login page would otherwise take
// the machine from everybody who is at work.
type Hasher struct {
	slots   *semaphore.Weighted // calls that hash
	waiting *semaphore.Weighted // calls that hash or wait
}

// NewHasher returns a Hasher that works on up to parallel passwords at once,
// at least on one. Further calls wait; beyond a bound they get ErrBusy.
func NewHasher(parallel int) *Hasher {
	n := int64(max(parallel, 1))
	return &Hasher{
		slots:   semaphore.NewWeighted(n),
		waiting: semaphore.NewWeighted(n + maxWaiting),
	}
}

// Hash returns the PHC string of password with a new random salt. It fails
// with ErrBusy, or with ctx's error when ctx ends before its turn comes.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, argonSaltLen)
	rand.Read(salt) // crypto/rand never fails: it ends the process instead
	hash := phc{memory: argonMemory, time: argonTime, threads: argonThreads, salt: salt}
	key, err := h.key(ctx, password, hash, argonKeyLen)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	hash.key = key
	return hash.String(), nil
}

// Verify reports whether password fits hash, a PHC string. The comparison
// takes the same time wherever the two differ. It fails with ErrHash when
// hash is malformed or asks for more than we are ready to spend, with ErrBusy,
// or with ctx's error when ctx ends before its turn comes.
func (h *Hasher) Verify(ctx context.Context, password, hash string) (bool, error) {
	want, err := parsePHC(hash)
	if err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	got, err := h.key(ctx, password, want, uint32(len(want.key)))
	if err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	return subtle.ConstantTimeCompare(got, want.key) == 1, nil
}

// key computes argon2id when a slot is free.
func (h *Hasher) key(ctx context.Context, password string, p phc, length uint32) ([]byte, error) {
	if !h.waiting.TryAcquire(1) {
		return nil, ErrBusy
	}
	defer h.waiting.Release(1)
	if err := h.slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer h.slots.Release(1)
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, length), nil
}
