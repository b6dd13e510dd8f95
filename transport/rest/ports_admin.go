package rest

import (
	"context"

	"github.com/chatopshub/chatopshub/domain"
)

// This file is what the operations of administrators need. In all of it, what
// is absent or another organization's is domain.ErrNotFound, and a storage that
// is away domain.ErrUnavailable. Changes return when they are durable, and are
// written down with who made them.

// Accounts are the users as administrators see and change them; persistence is
// it.
type Accounts interface {
	List(ctx context.Context, org domain.OrganizationID, filter domain.UserFilter) ([]domain.UserView, domain.PageMeta, error)
	Get(ctx context.Context, org domain.OrganizationID, id domain.UserID) (domain.UserView, error)
	// Create fails with domain.ErrEmailTaken.
	Create(ctx context.Context, by domain.Caller, user domain.NewUser) (domain.UserID, error)
	// Update fails with domain.ErrLastAdmin.
	Update(ctx context.Context, by domain.Caller, id domain.UserID, patch domain.UserPatch) error
}

// Relief puts the conversations of a user who isn't ACTIVE back to PENDING; the
// actors are it. What it leaves is put back later without being asked again.
type Relief interface {
	Relieve(ctx context.Context, org domain.OrganizationID, user domain.UserID) error
}

// Channels are the channels as administrators see and change them; persistence
// is it.
type Channels interface {
	List(ctx context.Context, org domain.OrganizationID, page domain.Page) ([]domain.ChannelView, domain.PageMeta, error)
	Get(ctx context.Context, org domain.OrganizationID, id domain.ChannelID) (domain.ChannelView, error)
	Create(ctx context.Context, by domain.Caller, draft domain.ChannelDraft) (domain.ChannelID, error)
	// Update fails with domain.ErrChannelTaken, domain.ErrChannelUnproved and
	// domain.ErrChannelFailing.
	Update(ctx context.Context, by domain.Caller, id domain.ChannelID, patch domain.ChannelPatch) error
	// ToProve opens the credentials for a test; a *domain.CallError where they
	// can't be read.
	ToProve(ctx context.Context, org domain.OrganizationID, id domain.ChannelID) (domain.ChannelProof, error)
	// Prove notes what the test has found; domain.ErrChannelChanged.
	Prove(ctx context.Context, by domain.Caller, tested domain.ChannelProof, failure *domain.CallError) error
}

// Platforms asks a platform who an account is.
type Platforms interface {
	// Identify returns how the platform calls the number or page. Its errors are
	// *domain.CallError.
	Identify(ctx context.Context, account domain.ChannelProof) (string, error)
}

// Contacts reads customers; persistence is it.
type Contacts interface {
	List(ctx context.Context, org domain.OrganizationID, filter domain.ContactFilter) ([]domain.ContactView, domain.PageMeta, error)
	Get(ctx context.Context, org domain.OrganizationID, id domain.ContactID) (domain.ContactView, error)
}

// DeadLetters are what webhooks brought and nothing could take.
type DeadLetters interface {
	List(ctx context.Context, org domain.OrganizationID, page domain.Page) ([]domain.DeadLetterView, domain.PageMeta, error)
	Get(ctx context.Context, org domain.OrganizationID, id domain.DeadLetterID) (domain.DeadLetterView, error)
	// Replay is nil when the letter is taken, now or before; a
	// *domain.ReplayError when it still can't be.
	Replay(ctx context.Context, org domain.OrganizationID, id domain.DeadLetterID) error
}
