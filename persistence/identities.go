package persistence

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	// identityCacheSize bounds the customers that are remembered, at some
	// 300 bytes each.
	identityCacheSize = 100_000
	// identityCacheTTL is how long a node may believe what another has changed.
	// A wrong belief costs a detour: the writer checks every alias.
	identityCacheTTL = 30 * time.Second
)

// Identities knows whose the aliases of customers are.
type Identities struct {
	reads   *Reads
	batches *batcher[identityKey, *domain.KnownAlias]
	cache   *lru.Cache[identityKey, cachedIdentity] // the library's own expiry runs a goroutine that nothing can stop
	forgets atomic.Uint64                           // counts calls of Forget
	now     func() time.Time
}

// identityKey is an alias and whose customer it names.
type identityKey struct {
	organization domain.OrganizationID
	provider     domain.Provider
	alias        domain.Alias
}

type cachedIdentity struct {
	known   domain.KnownAlias
	expires time.Time
}

// NewIdentities makes a resolver that tells the time by now; it answers while Run
// runs.
func NewIdentities(reads *Reads, now func() time.Time) (*Identities, error) {
	cache, err := lru.New[identityKey, cachedIdentity](identityCacheSize)
	if err != nil {
		return nil, fmt.Errorf("make the cache of identities: %w", err)
	}
	i := &Identities{reads: reads, cache: cache, now: now}
	i.batches = newBatcher("look up aliases", i.query)
	return i, nil
}

// Run answers look-ups until ctx ends; later ones fail with
// domain.ErrUnavailable.
func (i *Identities) Run(ctx context.Context) error {
	i.batches.run(ctx)
	return nil
}

// Known tells which of the aliases are known and whose they are: the contact
// that others were merged into counts, with the name it was first seen by and
// its user ids. Many calls at once become one query; what is known is
// remembered for 30 s. It fails with domain.ErrUnavailable,
// domain.ErrOverloaded, a *domain.ValueError or ctx's error.
func (i *Identities) Known(ctx context.Context, org domain.OrganizationID, provider domain.Provider, aliases []domain.Alias) ([]domain.KnownAlias, error) {
	type answer struct {
		known *domain.KnownAlias
		err   error
	}
	forgets := i.forgets.Load()
	var found []domain.KnownAlias
	answers := make(chan answer, len(aliases)) // room for all: who answers never blocks
	asked := 0
	for _, alias := range aliases {
		key := identityKey{org, provider, alias}
		if cached, ok := i.cache.Get(key); ok && i.now().Before(cached.expires) {
			found = append(found, cached.known)
			continue
		}
		asked++
		i.batches.ask(key, func(known *domain.KnownAlias, err error) { answers <- answer{known, err} })
	}
	for range asked {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("look up aliases: %w", ctx.Err())
		case a := <-answers:
			if a.err != nil {
				return nil, a.err
			}
			if a.known != nil {
				found = append(found, *a.known)
				i.remember(identityKey{org, provider, a.known.Alias}, *a.known, forgets)
			}
		}
	}
	return found, nil
}

// Forget makes the next look-ups of the aliases ask the database: they have
// moved, or proved to be somebody else's.
func (i *Identities) Forget(org domain.OrganizationID, provider domain.Provider, aliases ...domain.Alias) {
	i.forgets.Add(1)
	for _, alias := range aliases {
		i.cache.Remove(identityKey{org, provider, alias})
	}
}

// remember caches what a look-up found, unless something was forgotten since
// it began: it may have read what was forgotten.
func (i *Identities) remember(key identityKey, known domain.KnownAlias, forgets uint64) {
	i.cache.Add(key, cachedIdentity{known: known, expires: i.now().Add(identityCacheTTL)})
	if i.forgets.Load() != forgets {
		i.cache.Remove(key)
	}
}

// query answers a batch; nil for an alias that nobody has.
func (i *Identities) query(ctx context.Context, keys []identityKey) ([]*domain.KnownAlias, error) {
	var (
		numbers                    = make([]int32, len(keys))
		organizations              = make([][16]byte, len(keys))
		providers, kinds, spelling = make([]string, len(keys)), make([]string, len(keys)), make([]string, len(keys))
	)
	for n, key := range keys {
		numbers[n], organizations[n] = int32(n), key.organization
		providers[n], kinds[n], spelling[n] = string(key.provider), string(key.alias.Kind), key.alias.Value
	}
	rows, err := i.reads.pool.Query(ctx, i.reads.queries.KnownAliases, numbers, organizations, providers, kinds, spelling)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	answers := make([]*domain.KnownAlias, len(keys))
	for rows.Next() {
		var n int
		var known domain.KnownAlias
		if err := rows.Scan(&n, &known.Contact, &known.ProviderID, &known.UserIDs); err != nil {
			return nil, err
		}
		known.Alias = keys[n].alias
		answers[n] = &known
	}
	return answers, rows.Err()
}
