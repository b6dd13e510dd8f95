package domain

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func number(s string) Alias { return Alias{Kind: AliasNumber, Value: s} }
func userID(s string) Alias { return Alias{Kind: AliasUserID, Value: s} }

// aliasTable is what the storage knows: whose each alias is, and which
// contacts are merged.
type aliasTable struct {
	owner   map[Alias]ContactID
	contact map[ContactID]string // its provider id
	merged  map[ContactID]ContactID
}

func newAliasTable() *aliasTable {
	return &aliasTable{
		owner: map[Alias]ContactID{}, contact: map[ContactID]string{}, merged: map[ContactID]ContactID{},
	}
}

func (at *aliasTable) userIDs(contact ContactID) []string {
	var ids []string
	for a, c := range at.owner {
		if c == contact && a.Kind == AliasUserID {
			ids = append(ids, a.Value)
		}
	}
	slices.Sort(ids)
	return ids
}

func (at *aliasTable) known(aliases []Alias) []KnownAlias {
	var known []KnownAlias
	for _, a := range aliases {
		if c, ok := at.owner[a]; ok {
			known = append(known, KnownAlias{Alias: a, Contact: c, ProviderID: at.contact[c], UserIDs: at.userIDs(c)})
		}
	}
	return known
}

func (at *aliasTable) identify(aliases ...Alias) Person {
	return Identify(testOrg, WhatsApp, aliases, at.known(aliases))
}

// apply stores a person as the writer does: a claim on somebody else's alias
// is refused, unless the claim names that one.
func (at *aliasTable) apply(t tb, p Person) {
	for _, claim := range p.Claims {
		owner, stored := at.owner[claim.Alias]
		switch {
		case claim.Stored:
			require.Equal(t, p.Contact, owner, "what is called stored is")
			require.True(t, claim.MoveFrom.IsZero())
		case stored:
			require.Equal(t, owner, claim.MoveFrom, "foreign alias")
			require.NotEqual(t, p.Contact, owner)
		default:
			require.True(t, claim.MoveFrom.IsZero())
		}
		at.owner[claim.Alias] = p.Contact
	}
	at.contact[p.Contact] = p.ProviderID
	for _, m := range p.Merged {
		require.NotEqual(t, p.Contact, m)
		at.merged[m] = p.Contact
	}
}

// arrive is an element from somebody with these aliases.
func (at *aliasTable) arrive(t tb, aliases ...Alias) Person {
	p := at.identify(aliases...)
	at.apply(t, p)
	again := at.identify(aliases...)
	require.Equal(t, p.Contact, again.Contact, "never bounces")
	require.Empty(t, again.Merged)
	for _, claim := range again.Claims {
		require.True(t, claim.Stored, "no further moves: %+v", claim)
	}
	return p
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	byNumber, byUser := ContactIDFor(testOrg, WhatsApp, "1"), ContactIDFor(testOrg, WhatsApp, "U")
	second := ContactIDFor(testOrg, WhatsApp, "V")
	type step struct {
		aliases []Alias
		contact ContactID
		moved   ContactID // from whom a number moves
		merged  []ContactID
	}
	for name, steps := range map[string][]step{
		"number": {
			{aliases: []Alias{number("1")}, contact: byNumber},
			{aliases: []Alias{number("1")}, contact: byNumber},
		},
		"user id only": {
			{aliases: []Alias{userID("U")}, contact: byUser},
			{aliases: []Alias{userID("U")}, contact: byUser},
		},
		"number and user id, then either": {
			{aliases: []Alias{userID("U"), number("1")}, contact: byUser},
			{aliases: []Alias{number("1")}, contact: byUser},
			{aliases: []Alias{userID("U")}, contact: byUser},
		},
		"number first, then the user id shows up": {
			{aliases: []Alias{number("1")}, contact: byNumber},
			{aliases: []Alias{userID("U"), number("1")}, contact: byNumber},
			{aliases: []Alias{userID("U")}, contact: byNumber},
		},
		"recycled number": {
			{aliases: []Alias{userID("U"), number("1")}, contact: byUser},
			{aliases: []Alias{userID("V"), number("1")}, contact: second, moved: byUser},
			{aliases: []Alias{number("1")}, contact: second},
			{aliases: []Alias{userID("U")}, contact: byUser},
			{aliases: []Alias{userID("U"), number("2")}, contact: byUser},
		},
		"recycled number of a contact that began with it": {
			{aliases: []Alias{number("1")}, contact: byNumber},
			{aliases: []Alias{userID("U"), number("1")}, contact: byNumber},
			{aliases: []Alias{userID("V"), number("1")}, contact: second, moved: byNumber},
			{aliases: []Alias{userID("U")}, contact: byNumber},
			{aliases: []Alias{number("1")}, contact: second},
		},
		"two contacts turn out to be one": {
			{aliases: []Alias{number("1")}, contact: byNumber},
			{aliases: []Alias{userID("U")}, contact: byUser},
			{aliases: []Alias{userID("U"), number("1")}, contact: byUser, moved: byNumber, merged: []ContactID{byNumber}},
			{aliases: []Alias{number("1")}, contact: byUser},
		},
		"a number comes back to whom it was taken from": {
			{aliases: []Alias{userID("U"), number("1")}, contact: byUser},
			{aliases: []Alias{userID("V"), number("1")}, contact: second, moved: byUser},
			{aliases: []Alias{userID("U"), number("1")}, contact: byUser, moved: second},
		},
		"a changed number": {
			{aliases: []Alias{number("1")}, contact: byNumber},
			{aliases: []Alias{number("1"), number("2")}, contact: byNumber},
			{aliases: []Alias{number("2")}, contact: byNumber},
		},
		"a changed number, the new one named first": {
			{aliases: []Alias{number("1")}, contact: byNumber},
			{aliases: []Alias{number("2"), number("1")}, contact: byNumber},
		},
		"a changed user id, either order": {
			{aliases: []Alias{userID("U"), number("1")}, contact: byUser},
			{aliases: []Alias{userID("W"), userID("U"), number("2")}, contact: byUser},
			{aliases: []Alias{userID("W")}, contact: byUser},
			{aliases: []Alias{userID("W"), userID("X")}, contact: byUser},
			{aliases: []Alias{userID("X"), number("1")}, contact: byUser},
		},
		"user ids of two people never move": {
			{aliases: []Alias{userID("U")}, contact: byUser},
			{aliases: []Alias{userID("V")}, contact: second},
			{aliases: []Alias{userID("U"), userID("V")}, contact: byUser},
			{aliases: []Alias{userID("V")}, contact: second},
		},
		"both numbers of one contact": {
			{aliases: []Alias{number("1"), number("2")}, contact: byNumber},
			{aliases: []Alias{userID("U")}, contact: byUser},
			{
				aliases: []Alias{userID("U"), number("1"), number("2")},
				contact: byUser, moved: byNumber, merged: []ContactID{byNumber},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := newAliasTable()
			for i, s := range steps {
				p := table.arrive(t, s.aliases...)
				require.Equal(t, s.contact, p.Contact, "step %d", i)
				require.Equal(t, s.merged, p.Merged, "step %d", i)
				require.Equal(t, ContactIDFor(testOrg, WhatsApp, p.ProviderID), p.Contact, "the id is computed from the provider id")
				for _, claim := range p.Claims {
					require.False(t, claim.Kind != AliasNumber && !claim.MoveFrom.IsZero(), "only numbers move")
					if claim.Kind == AliasNumber && !claim.Stored {
						require.Equal(t, s.moved, claim.MoveFrom, "step %d", i)
					}
				}
			}
		})
	}
}

func TestIdentifyPSID(t *testing.T) {
	t.Parallel()
	psid := Alias{Kind: AliasPSID, Value: "7412589630147852"}
	p := Identify(testOrg, Messenger, []Alias{psid}, nil)
	require.Equal(t, Person{
		Contact: ContactIDFor(testOrg, Messenger, psid.Value), ProviderID: psid.Value, Claims: []AliasClaim{{Alias: psid}},
	}, p)
	known := []KnownAlias{{Alias: psid, Contact: testID[contactKind](5), ProviderID: "other"}}
	p = Identify(testOrg, Messenger, []Alias{psid}, known)
	require.Equal(t, known[0].Contact, p.Contact)
	require.Equal(t, "other", p.ProviderID)
	require.Equal(t, []AliasClaim{{Alias: psid, Stored: true}}, p.Claims)
}

func TestIdentifyNobody(t *testing.T) {
	t.Parallel()
	require.Equal(t, Person{}, Identify(testOrg, WhatsApp, nil, nil))
}

func TestIdentifyIsScopedByOrganization(t *testing.T) {
	t.Parallel()
	a := Identify(testOrg, WhatsApp, []Alias{number("1")}, nil)
	b := Identify(foreignOrg, WhatsApp, []Alias{number("1")}, nil)
	require.NotEqual(t, a.Contact, b.Contact)
}

// person is a simulated customer: a user id that stays, a number that may go
// to somebody else.
type person struct {
	user   Alias
	number Alias
}

// Whatever people do with their numbers, a message that names its user id
// lands in the contact that first had that user id.
func TestIdentifyKeepsPeopleApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		table := newAliasTable()
		people := make([]person, rapid.IntRange(2, 5).Draw(t, "people"))
		for i := range people {
			people[i] = person{user: userID(fmt.Sprintf("US.%d", i)), number: number(fmt.Sprint(1000 + i))}
		}
		first := map[Alias]ContactID{}
		lastOf := map[Alias]ContactID{} // who was last seen with a number and a user id
		for range rapid.IntRange(1, 30).Draw(t, "elements") {
			who := &people[rapid.IntRange(0, len(people)-1).Draw(t, "who")]
			if rapid.IntRange(0, 4).Draw(t, "moves") == 0 { // the number changes hands
				from := &people[rapid.IntRange(0, len(people)-1).Draw(t, "from")]
				who.number, from.number = from.number, who.number
			}
			var aliases []Alias
			switch rapid.IntRange(0, 3).Draw(t, "named by") {
			case 0:
				aliases = []Alias{who.number}
			case 1:
				aliases = []Alias{who.user}
			default:
				aliases = []Alias{who.user, who.number}
			}
			p := table.arrive(t, aliases...)
			if aliases[0] == who.user {
				if _, seen := first[who.user]; !seen {
					first[who.user] = p.Contact
				}
				require.Equal(t, first[who.user], p.Contact, "a user id stays with its contact")
				if len(aliases) == 2 {
					lastOf[who.number] = p.Contact
				}
			} else if c, ok := lastOf[who.number]; ok {
				require.Equal(t, c, p.Contact, "a number alone means who was last seen with it")
			}
		}
		for user, contact := range first {
			require.Equal(t, contact, table.owner[user])
			require.NotContains(t, table.merged, contact, "a contact with a user id is never merged away")
		}
		require.Len(t, distinct(first), len(first), "no two people share a contact")
	})
}

func distinct(m map[Alias]ContactID) map[ContactID]bool {
	set := map[ContactID]bool{}
	for _, c := range m {
		set[c] = true
	}
	return set
}
