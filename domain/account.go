package domain

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// The bounds of a password, in characters and bytes.
const (
	MinPassword = 8
	MaxPassword = 1024
)

// CheckPassword is nil for what a user with the e-mail may have as password, or
// says what one takes.
func CheckPassword(email, password string) error {
	switch {
	case utf8.RuneCountInString(password) < MinPassword || len(password) > MaxPassword:
		return errors.New("takes 8 characters or more, at most 1,024 bytes")
	case strings.EqualFold(password, email):
		return errors.New("must not be the e-mail")
	}
	return nil
}

// UserView is a user as administrators see one. MaxConversations is null where
// there is no limit.
type UserView struct {
	ID               UserID         `json:"id"`
	Organization     OrganizationID `json:"organizationId"`
	Email            string         `json:"email"`
	Name             string         `json:"name"`
	AvatarURL        *string        `json:"avatarUrl"`
	Role             Role           `json:"role"`
	Status           UserStatus     `json:"status"`
	MaxConversations *int           `json:"maxConversations"`
	AssignedCount    int            `json:"assignedCount"`
	CreatedAt        Timestamp      `json:"createdAt"`
	UpdatedAt        Timestamp      `json:"updatedAt"`
}

// UserFilter picks the users of a list. Zero fields pick all.
type UserFilter struct {
	Role   Role
	Status UserStatus
	Page   Page
}

// NewUser is a user to be made.
type NewUser struct {
	Email            string
	Name             string
	Role             Role
	MaxConversations *int // nil: no limit
	Password         PasswordHash
}

// UserPatch is what changes of a user; nil leaves a field as it is.
type UserPatch struct {
	Name             *string
	Role             *Role
	Status           *UserStatus
	Password         *PasswordHash
	MaxConversations *int // nil: as it is; 0: no limit from now on
}

// What administrators are refused. Each is a conflict with what there is.
var (
	// ErrEmailTaken: another user of the organization has the e-mail.
	ErrEmailTaken = errors.New("another user of the organization has the e-mail")
	// ErrLastAdmin: nobody would be left who can administer the organization.
	ErrLastAdmin = errors.New("the organization's last ACTIVE ADMIN")
	// ErrChannelTaken: the number or page belongs to a channel that works.
	ErrChannelTaken = errors.New("another channel works with the number or page")
	// ErrChannelUnproved: the channel has never proved that it can read its
	// number or page.
	ErrChannelUnproved = errors.New("the channel hasn't proved its number or page")
	// ErrChannelFailing: the channel's credentials don't work at present.
	ErrChannelFailing = errors.New("the channel's credentials don't work")
	// ErrChannelChanged: the channel was changed while it was tested.
	ErrChannelChanged = errors.New("the channel was changed meanwhile")
)
