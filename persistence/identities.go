package persistence

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

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

// Identities knows whose the aliases of customers are, and the conversations of
// messages.
type Identities struct {
	reads   *Reads
	aliases *batcher[identityKey, *domain.KnownAlias]
	places  *batcher[messageName, domain.ConversationID]
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

// messageName is a message as the platform names it. Its ids are unique on a
// channel; not beyond, where a stranger could make them up.
type messageName struct {
	channel    domain.ChannelID
	providerID string
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
	i.aliases = newBatcher("look up aliases", i.queryAliases)
	i.places = newBatcher("look up the conversation of a message", i.queryPlaces)
	return i, nil
}

// Run answers look-ups until ctx ends; later ones fail with
// domain.ErrUnavailable.
func (i *Identities) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { i.aliases.run(ctx); return nil })
	group.Go(func() error { i.places.run(ctx); return nil })
	return group.Wait()
}

// ConversationOf is the conversation on the channel that has the message with
// the platform's id; the zero id when none has. It fails as Known does.
func (i *Identities) ConversationOf(ctx context.Context, channel domain.ChannelID, providerMessageID string) (domain.ConversationID, error) {
	return i.places.await(ctx, messageName{channel, providerMessageID})
}

// Known tells which of the aliases are known and whose they are: the contact
// that others were merged into counts, with the name it was first seen by and
// its user ids. Many calls at once become one query; what is known is
// remembered for 30 s. It fails with domain.ErrUnavailable,
// domain.ErrOverloaded, a *domain.ValueError or ctx's error.
func (i *Identities) Known(ctx context.Context, org domain.OrganizationID, provider domain.Provider, aliases []domain.Alias) ([]domain.KnownAlias, error) {
	forgets := i.forgets.Load()
	var found []domain.KnownAlias
	answers := make(chan answered[*domain.KnownAlias], len(aliases)) // room for all: who answers never blocks
	asked := 0
	for _, alias := range aliases {
		key := identityKey{org, provider, alias}
		if cached, ok := i.cache.Get(key); ok && i.now().Before(cached.expires) {
			found = append(found, cached.known)
			continue
		}
		asked++
		i.aliases.ask(key, func(known *domain.KnownAlias, err error) {
			answers <- answered[*domain.KnownAlias]{known, err}
		})
	}
	for range asked {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("look up aliases: %w", ctx.Err())
		case a := <-answers:
			if a.err != nil {
				return nil, a.err
			}
			if a.value == nil {
				continue
			}
			if a.value.Contact.IsZero() {
				if err := i.nextGeneration(ctx, org, provider, a.value); err != nil {
					return nil, err
				}
			}
			found = append(found, *a.value)
			if !a.value.Contact.IsZero() {
				i.remember(identityKey{org, provider, a.value.Alias}, *a.value, forgets)
			}
		}
	}
	return found, nil
}

// maxGenerations is how many former owners of one number may be there at once.
const maxGenerations = 100

// nextGeneration finds the first generation of the alias that isn't there. It
// takes a number that moved on from somebody and whose next owner was erased.
func (i *Identities) nextGeneration(ctx context.Context, org domain.OrganizationID, provider domain.Provider, k *domain.KnownAlias) error {
	for k.Generation = 1; k.Generation < maxGenerations; k.Generation++ {
		var exists bool
		id := domain.ContactIDOf(org, provider, k.Value, k.Generation)
		if err := i.reads.pool.QueryRow(ctx, i.reads.queries.ContactExists, id).Scan(&exists); err != nil {
			return readError("look for former owners of an alias", err)
		}
		if !exists {
			return nil
		}
	}
	return fmt.Errorf("an alias had %d owners: %w", maxGenerations, domain.ErrOverloaded)
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

// queryAliases answers a batch; nil for an alias that nobody has, and one without
// contact when its former owner is still there.
func (i *Identities) queryAliases(ctx context.Context, keys []identityKey) ([]*domain.KnownAlias, error) {
	var (
		numbers                    = make([]int32, len(keys))
		organizations              = make([][16]byte, len(keys))
		providers, kinds, spelling = make([]string, len(keys)), make([]string, len(keys)), make([]string, len(keys))
		computed                   = make([][16]byte, len(keys))
	)
	for n, key := range keys {
		numbers[n], organizations[n] = int32(n), key.organization
		providers[n], kinds[n], spelling[n] = string(key.provider), string(key.alias.Kind), key.alias.Value
		computed[n] = domain.ContactIDFor(key.organization, key.provider, key.alias.Value)
	}
	rows, err := i.reads.pool.Query(ctx, i.reads.queries.KnownAliases, numbers, organizations, providers, kinds, spelling, computed)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	answers := make([]*domain.KnownAlias, len(keys))
	for rows.Next() {
		var n int
		var known domain.KnownAlias
		var providerID *string
		if err := rows.Scan(&n, &known.Contact, &providerID, &known.UserIDs); err != nil {
			return nil, err
		}
		known.Alias, known.ProviderID = keys[n].alias, orZero(providerID)
		answers[n] = &known
	}
	return answers, rows.Err()
}

// queryPlaces answers a batch; the zero id for a message that isn't there.
func (i *Identities) queryPlaces(ctx context.Context, names []messageName) ([]domain.ConversationID, error) {
	numbers, channels, ids := make([]int32, len(names)), make([][16]byte, len(names)), make([]string, len(names))
	for n, name := range names {
		numbers[n], channels[n], ids[n] = int32(n), name.channel, name.providerID
	}
	rows, err := i.reads.pool.Query(ctx, i.reads.queries.ConversationOf, numbers, channels, ids)
	if err != nil {
		return nil, err
	}
	answers := make([]domain.ConversationID, len(names))
	var n int
	var id domain.ConversationID
	_, err = pgx.ForEachRow(rows, []any{&n, &id}, func() error {
		answers[n] = id
		return nil
	})
	return answers, err
}
