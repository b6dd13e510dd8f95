package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// configurationChanges is what the log of changes says.
type configurationChanges struct {
	horizon  string
	seen     map[int64]struct{}
	users    [][16]byte
	channels [][16]byte
	sessions [][16]byte // that have ended
	tooMany  bool
}

// readChanges reads the changes that aren't known. It reads again those from
// the horizon on: a transaction that was under way may have committed since,
// with an id below others'.
func (r *Registry) readChanges(ctx context.Context, conn *pgx.Conn) (configurationChanges, error) {
	changed := configurationChanges{seen: make(map[int64]struct{})}
	rows, err := conn.Query(ctx, r.reads.queries.ConfigurationChanges, r.horizon, registryChanges+1)
	if err != nil {
		return changed, fmt.Errorf("read changes: %w", err)
	}
	var (
		id      *int64
		kind    *string
		subject domain.ID[struct{}] // of the kind that kind says
	)
	_, err = pgx.ForEachRow(rows, []any{&changed.horizon, &id, &kind, &subject}, func() error {
		if id == nil {
			return nil
		}
		changed.seen[*id] = struct{}{}
		if _, known := r.seen[*id]; known {
			return nil
		}
		switch *kind {
		case "user":
			changed.users = append(changed.users, subject)
		case "channel":
			changed.channels = append(changed.channels, subject)
		case "revocation":
			changed.sessions = append(changed.sessions, subject)
		}
		return nil
	})
	if err != nil {
		return changed, fmt.Errorf("read changes: %w", err)
	}
	changed.tooMany = len(changed.seen) > registryChanges
	return changed, nil
}

// readUsers brings the named users, nil for all, up to date in into.
func (r *Registry) readUsers(ctx context.Context, conn *pgx.Conn, into *configuration, ids [][16]byte) error {
	rows, err := conn.Query(ctx, r.reads.queries.ConfiguredUsers, ids)
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	var (
		u      domain.User
		avatar *string
		limit  *int
		found  = make(map[domain.UserID]struct{}, len(ids))
	)
	fields := []any{&u.ID, &u.Organization, &u.Email, &u.Name, &avatar, (*string)(&u.Role), (*string)(&u.Status), &limit}
	_, err = pgx.ForEachRow(rows, fields, func() error {
		u.AvatarURL, u.MaxConversations = orZero(avatar), orZero(limit)
		into.setUser(u)
		if ids != nil {
			found[u.ID] = struct{}{}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	for _, id := range ids {
		if _, exists := found[id]; !exists {
			into.dropUser(id)
		}
	}
	return nil
}

// readChannels brings the named channels, nil for all, up to date in into.
func (r *Registry) readChannels(ctx context.Context, conn *pgx.Conn, into *configuration, ids [][16]byte) error {
	rows, err := conn.Query(ctx, r.reads.queries.ConfiguredChannels, ids)
	if err != nil {
		return fmt.Errorf("read channels: %w", err)
	}
	var (
		c      domain.Channel
		sealed *string
		token  *string
		proved *time.Time
		found  = make(map[domain.ChannelID]struct{}, len(ids))
	)
	fields := []any{
		&c.ID, &c.Organization, (*string)(&c.Provider), &c.Name, &c.ExternalID, (*string)(&c.Status), &sealed, &proved, &c.SendRate, &token,
		(*string)(&c.Policy),
	}
	_, err = pgx.ForEachRow(rows, fields, func() error {
		secret, err := r.open(c.ID, sealed)
		if err != nil {
			r.logger.ErrorContext(ctx, "a channel receives nothing", "channel", c.ID, "error", err)
		}
		into.setChannel(&configuredChannel{
			Channel: c, secret: secret, mute: err != nil, provedAt: orZero(proved), sealedToken: orZero(token),
		})
		found[c.ID] = struct{}{}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read channels: %w", err)
	}
	for _, id := range ids {
		if _, exists := found[id]; !exists {
			into.dropChannel(id)
		}
	}
	return nil
}

// open is the webhook secret of a channel; nil when it has none of its own.
func (r *Registry) open(channel domain.ChannelID, sealed *string) ([]byte, error) {
	if sealed == nil {
		return nil, nil
	}
	secret, err := r.sealer.Open(channel, FieldWebhookSecret, *sealed)
	if err != nil {
		return nil, err
	}
	return []byte(secret), nil
}
