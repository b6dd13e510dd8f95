package domain

import (
	"slices"
	"time"
)

// AliasKind says what an alias is.
type AliasKind string

// The kinds of aliases a customer is known by. A user id (WhatsApp's
// business-scoped user id) beats a number: numbers change hands.
const (
	AliasUserID AliasKind = "USER_ID"
	AliasNumber AliasKind = "PHONE"
	AliasPSID   AliasKind = "PSID" // Messenger's page-scoped id
)

// Alias is one name under which a platform knows a customer.
type Alias struct {
	Kind  AliasKind `json:"kind"`
	Value string    `json:"value"`
}

// Customer is who an element of a webhook is about, as the platform says.
type Customer struct {
	Aliases []Alias // the strongest first; empty: only a message id tells
	Name    string  // the profile's name; empty: not told
	Profile Profile
}

// Profile is what else the platform told of a customer.
type Profile struct {
	Username     string `json:"username,omitempty"`
	ParentUserID string `json:"parentUserId,omitempty"` // WhatsApp's id over linked portfolios
	IdentityHash string `json:"identityHash,omitempty"`
}

// AliasClaim says that an alias belongs to the contact of the change that
// carries it. The writer refuses the change when the alias is somebody else's,
// unless it is MoveFrom's: then it moves, and the move is audited.
type AliasClaim struct {
	Alias
	MoveFrom ContactID
	Stored   bool // known to be this contact's already: only checked, not written
}

// Person is what identity resolution found: the contact of an element, the
// aliases to claim for it, and the contacts that turned out to be the same one.
type Person struct {
	Contact    ContactID
	ProviderID string // the alias that the contact's id was computed from
	Claims     []AliasClaim
	Merged     []ContactID // to be marked as merged into Contact
}

// KnownAlias is an alias as stored: whose it is, and the user ids of that
// contact. One that nobody has any more has no contact: its next owner is of the
// Generation after those who are still there, see ContactIDOf.
type KnownAlias struct {
	Alias
	Contact    ContactID
	ProviderID string
	UserIDs    []string
	Generation int
}

// Identify decides who a customer with these aliases is, given what is stored
// of them. It is pure: two nodes with the same knowledge decide the same. No
// aliases are nobody: the zero Person.
//
//   - Nothing known: a new contact, computed from the strongest alias.
//   - A user id or PSID that is known decides, and never moves. A number that is
//     known with another user id is another person's former number: it moves here.
//   - Only the number is known, to a contact without user id: the same person,
//     who gets the user id as a further alias. With a different user id: a new
//     person, and the number moves.
//   - User id and number known to two contacts, and the number's has no user
//     id: they are one. The user id's contact wins.
func Identify(organization OrganizationID, provider Provider, aliases []Alias, known []KnownAlias) Person {
	if len(aliases) == 0 {
		return Person{}
	}
	owner, found := ownerOf(aliases, known)
	person := Person{Contact: owner.Contact, ProviderID: owner.ProviderID}
	if !found {
		person.Contact = ContactIDOf(organization, provider, aliases[0].Value, generationOf(aliases[0], known))
		person.ProviderID = aliases[0].Value
	}
	for _, a := range aliases {
		claim := AliasClaim{Alias: a}
		k, ok := findAlias(known, a)
		claim.Stored = ok && k.Contact == person.Contact
		if ok && !claim.Stored {
			if a.Kind != AliasNumber {
				continue // two people, says the platform: each keeps the own thread
			}
			claim.MoveFrom = k.Contact
			if len(k.UserIDs) == 0 && !slices.Contains(person.Merged, k.Contact) {
				person.Merged = append(person.Merged, k.Contact)
			}
		}
		person.Claims = append(person.Claims, claim)
	}
	return person
}

// ownerOf finds the known contact that the aliases mean. Numbers count when no
// other kind is known; beside an unknown user id only those of a contact that
// has no user id yet: the one that shows up now is that contact's.
func ownerOf(aliases []Alias, known []KnownAlias) (KnownAlias, bool) {
	byNumber := true
	for _, a := range aliases {
		if a.Kind == AliasNumber {
			continue
		}
		if k, ok := findAlias(known, a); ok {
			return k, true
		}
		byNumber = false
	}
	for _, a := range aliases {
		if k, ok := findAlias(known, a); ok && (byNumber || len(k.UserIDs) == 0) {
			return k, true
		}
	}
	return KnownAlias{}, false
}

// generationOf is whose turn it is to be found by an alias that nobody has.
func generationOf(a Alias, known []KnownAlias) int {
	for _, k := range known {
		if k.Alias == a && k.Contact.IsZero() {
			return k.Generation
		}
	}
	return 0
}

func findAlias(known []KnownAlias, a Alias) (KnownAlias, bool) {
	for _, k := range known {
		if k.Alias == a && !k.Contact.IsZero() {
			return k, true
		}
	}
	return KnownAlias{}, false
}

// Contact is a customer of an organization.
type Contact struct {
	ID           ContactID
	Organization OrganizationID
	Provider     Provider
	ProviderID   string
	Name         string
	Profile      Profile
	SeenAt       time.Time
}
