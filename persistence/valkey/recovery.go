package valkey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/chatopshub/chatopshub/domain"
)

// recoveryTimeout is how long Valkey may take for a record: to wait for it is
// cheaper than to load everything again, which a client does without.
const recoveryTimeout = time.Second

// Recoveries keeps the records of lost sockets for as long as their clients may
// come back. While Valkey is away nothing is kept and nothing found: clients
// start afresh.
type Recoveries struct {
	client   *redis.Client
	logger   *slog.Logger
	outage   outage
	patience time.Duration // for one answer
}

// NewRecoveries makes one that tells the time by now. The client must honour the
// deadlines of contexts (ContextTimeoutEnabled).
func NewRecoveries(client *redis.Client, logger *slog.Logger, now func() time.Time) *Recoveries {
	return &Recoveries{client: client, logger: logger, outage: outage{now: now}, patience: recoveryTimeout}
}

// recoveryName is a hash of the whole key: who shows another's pid asks for
// something that isn't there, and who looks into Valkey finds no pid to use.
func recoveryName(k domain.RecoveryKey) string {
	hash := sha256.New()
	for _, id := range [][16]byte{k.Organization, k.User, k.Session} {
		hash.Write(id[:])
	}
	hash.Write([]byte(k.PID)) // last, as its length varies
	return "chatopshub:recovery:" + base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
}

// Save keeps the record for window, if Valkey answers.
func (r *Recoveries) Save(ctx context.Context, key domain.RecoveryKey, record domain.RecoveryRecord, window time.Duration) {
	text, err := json.Marshal(record)
	if err != nil {
		r.logger.ErrorContext(ctx, "encode the record of a lost socket", "error", err)
		return
	}
	if !r.outage.over() {
		return
	}
	asked, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	if err := r.client.Set(asked, recoveryName(key), text, window).Err(); err != nil {
		r.away(ctx, err)
	}
}

// Take removes the record and returns it: one loss can be recovered once, by
// whoever of all nodes asks first. It is false when there is none.
func (r *Recoveries) Take(ctx context.Context, key domain.RecoveryKey) (domain.RecoveryRecord, bool) {
	record, err := r.take(ctx, key)
	if err != nil && !errors.Is(err, redis.Nil) {
		r.away(ctx, err)
	}
	return record, err == nil
}

func (r *Recoveries) take(ctx context.Context, key domain.RecoveryKey) (record domain.RecoveryRecord, err error) {
	if !r.outage.over() {
		return record, redis.Nil
	}
	asked, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	text, err := r.client.GetDel(asked, recoveryName(key)).Bytes()
	if err != nil {
		return record, fmt.Errorf("take the record of a lost socket: %w", err)
	}
	if err := json.Unmarshal(text, &record); err != nil {
		return record, fmt.Errorf("read the record of a lost socket: %w", err)
	}
	return record, nil
}

func (r *Recoveries) away(ctx context.Context, err error) {
	if r.outage.begins(ctx) {
		r.logger.WarnContext(ctx, "Valkey doesn't answer; clients that come back start afresh", "error", err)
	}
}
