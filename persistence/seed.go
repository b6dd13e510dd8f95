package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// The organization that a new installation starts with.
const (
	SeedOrganization = "Default Organization"
	SeedSlug         = "default"
)

// What development starts with beside: two agents, and a channel of each
// provider at the accounts that the simulator writes from.
const (
	SeedAgentPassword = "agent123"
	SeedPhoneNumberID = "100000000000001"
	SeedPageID        = "200000000000001"
	// The access tokens of the two: the simulator alone takes them, so they are no
	// secrets.
	SeedNumberToken = "simulator"
	SeedPageToken   = "simulator-page"
)

// SeedAgents are the e-mails of the agents in development.
func SeedAgents() []string {
	return []string{"agent1@chatopshub.local", "agent2@chatopshub.local"}
}

// SeedConfig says what a new installation gets.
type SeedConfig struct {
	AdminEmail    string
	AdminPassword string
	Development   bool // with agents and channels for the simulator
	// Hash turns a password into what is stored of it.
	Hash func(ctx context.Context, password string) (string, error)
}

// Seed makes what a new installation starts with, all of it or nothing. What
// exists stays as it is, also where it was changed since, so running it twice,
// or on several nodes at once, changes nothing.
func Seed(ctx context.Context, reads *Reads, sealer *Sealer, cfg SeedConfig) error {
	if cfg.AdminEmail == "" || cfg.AdminPassword == "" {
		return errors.New("seed: the first administrator needs an e-mail and a password")
	}
	err := pgx.BeginFunc(ctx, reads.pool, func(tx pgx.Tx) error {
		s := seeder{tx: tx, queries: reads.queries, hash: cfg.Hash}
		if err := s.organization(ctx); err != nil {
			return fmt.Errorf("organization: %w", err)
		}
		if err := s.user(ctx, cfg.AdminEmail, cfg.AdminPassword, "Administrator", domain.RoleAdmin); err != nil {
			return err
		}
		if !cfg.Development {
			return nil
		}
		return s.development(ctx, sealer)
	})
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	return nil
}

// seeder makes rows within one transaction.
type seeder struct {
	tx      pgx.Tx
	queries queries
	hash    func(context.Context, string) (string, error)
	org     domain.OrganizationID
}

func (s *seeder) organization(ctx context.Context) error {
	if _, err := s.tx.Exec(ctx, s.queries.SeedOrganization, SeedOrganization, SeedSlug); err != nil {
		return err
	}
	return s.tx.QueryRow(ctx, s.queries.OrganizationBySlug, SeedSlug).Scan(&s.org)
}

func (s *seeder) development(ctx context.Context, sealer *Sealer) error {
	for i, email := range SeedAgents() {
		if err := s.user(ctx, email, SeedAgentPassword, fmt.Sprintf("Agent %d", i+1), domain.RoleAgent); err != nil {
			return err
		}
	}
	channels := []struct {
		provider                            domain.Provider
		name, accountField, external, token string
	}{
		{domain.WhatsApp, "WhatsApp (simulator)", "phoneNumberId", SeedPhoneNumberID, SeedNumberToken},
		{domain.Messenger, "Messenger (simulator)", "pageId", SeedPageID, SeedPageToken},
	}
	for _, c := range channels {
		id := domain.ChannelID(uuid.New())
		config := map[string]string{
			c.accountField:   c.external,
			FieldAccessToken: sealer.Seal(id, FieldAccessToken, c.token),
		}
		_, err := s.tx.Exec(ctx, s.queries.SeedChannel, id, s.org, string(c.provider), c.name, config, c.external)
		if err != nil {
			return fmt.Errorf("channel %s: %w", c.name, err)
		}
	}
	return nil
}

// user makes a user who isn't there. Hashing takes long, so it looks first.
func (s *seeder) user(ctx context.Context, email, password, name string, role domain.Role) error {
	var exists bool
	if err := s.tx.QueryRow(ctx, s.queries.SeedUserExists, s.org, email).Scan(&exists); err != nil {
		return fmt.Errorf("user %s: %w", email, err)
	}
	if exists {
		return nil
	}
	hash, err := s.hash(ctx, password)
	if err != nil {
		return fmt.Errorf("hash the password of %s: %w", email, err)
	}
	if _, err := s.tx.Exec(ctx, s.queries.SeedUser, s.org, email, hash, name, string(role)); err != nil {
		return fmt.Errorf("user %s: %w", email, err)
	}
	return nil
}
