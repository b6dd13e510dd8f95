package domain

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// ID is the identifier of a thing of kind K: a UUID whose kind the compiler
// checks, so that a contact can't be passed where a conversation is meant.
// The zero ID means "none"; it is NULL in SQL.
type ID[K any] uuid.UUID

// The kinds that parameterize ID. They have no values.
type (
	organizationKind struct{}
	userKind         struct{}
	channelKind      struct{}
	contactKind      struct{}
	conversationKind struct{}
	messageKind      struct{}
	attachmentKind   struct{}
	changeKind       struct{}
	eventKind        struct{}
	sessionKind      struct{}
	deadLetterKind   struct{}
)

// The identifiers of the model. A ChangeID names one link in the chain of
// changes of a conversation; an EventID one line of its audit trail; a
// SessionID one login.
type (
	OrganizationID = ID[organizationKind]
	UserID         = ID[userKind]
	ChannelID      = ID[channelKind]
	ContactID      = ID[contactKind]
	ConversationID = ID[conversationKind]
	MessageID      = ID[messageKind]
	AttachmentID   = ID[attachmentKind]
	ChangeID       = ID[changeKind]
	EventID        = ID[eventKind]
	SessionID      = ID[sessionKind]
	DeadLetterID   = ID[deadLetterKind]
)

// ParseID reads the canonical form of a UUID, 36 characters with hyphens.
// Other spellings that UUID libraries accept (braces, urn:, no hyphens) are
// refused: one thing has one name.
func ParseID[K any](s string) (ID[K], error) {
	if len(s) != 36 {
		return ID[K]{}, fmt.Errorf("parse id: %d characters, want a UUID of 36", len(s))
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID[K]{}, fmt.Errorf("parse id: %w", err)
	}
	return ID[K](u), nil
}

// IsZero reports whether id is "none".
func (id ID[K]) IsZero() bool { return id == ID[K]{} }

// String is the canonical form; of the zero ID too (the nil UUID).
func (id ID[K]) String() string { return uuid.UUID(id).String() }

// MarshalText makes JSON and logs show the canonical form.
func (id ID[K]) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads what MarshalText writes.
func (id *ID[K]) UnmarshalText(text []byte) error {
	parsed, err := ParseID[K](string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Value is the id for database/sql; the zero ID is NULL.
func (id ID[K]) Value() (driver.Value, error) {
	if id.IsZero() {
		return nil, nil
	}
	return id.String(), nil
}

// Scan reads a uuid column; NULL becomes the zero ID.
func (id *ID[K]) Scan(src any) error {
	var u uuid.UUID
	if err := u.Scan(src); err != nil {
		return fmt.Errorf("scan id: %w", err)
	}
	*id = ID[K](u)
	return nil
}

// idSpace is the name space of every computed identity. It must never change:
// it decides which rows belong together.
var idSpace = uuid.MustParse("6f1d3f0a-6a3e-5c1e-9d55-0c6f0f8f7b11")

// ContactIDFor computes the id of the contact that is first seen under alias.
// Two nodes that meet a new customer at the same time compute the same id, so
// find-or-create needs no lock.
func ContactIDFor(organization OrganizationID, provider Provider, alias string) ContactID {
	name := make([]byte, 0, 64+len(alias))
	name = append(name, "contact\x00"...)
	name = append(name, organization[:]...)
	name = append(name, provider...)
	name = append(name, 0)
	name = append(name, alias...)
	return ContactID(uuid.NewSHA1(idSpace, name))
}

// ContactIDOf is ContactIDFor for the owner of an alias in a later generation:
// the contacts first seen under it before have lost it to somebody who was
// erased since, and are still there. Generation 0 is the first owner.
func ContactIDOf(organization OrganizationID, provider Provider, alias string, generation int) ContactID {
	if generation > 0 {
		alias += "\x00" + strconv.Itoa(generation)
	}
	return ContactIDFor(organization, provider, alias)
}

// ConversationIDFor computes the id of the one conversation that a contact has
// on a channel.
func ConversationIDFor(channel ChannelID, contact ContactID) ConversationID {
	name := make([]byte, 0, 48)
	name = append(name, "conversation\x00"...)
	name = append(name, channel[:]...)
	name = append(name, contact[:]...)
	return ConversationID(uuid.NewSHA1(idSpace, name))
}

// Shards is how many parts the conversations are divided into for placement
// on nodes. It is fixed: nodes of different releases must agree on it.
const Shards = 1024

// Shard is the part of the cluster's work that id belongs to, 0 to Shards-1.
func Shard[K any](id ID[K]) int {
	return int(binary.BigEndian.Uint16(id[14:16])) % Shards
}
