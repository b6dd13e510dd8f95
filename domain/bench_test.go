package domain

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkDecide is the rules' share of the way of one message: an inbound
// text for a conversation that an agent holds, decided on the newest state.
func BenchmarkDecide(b *testing.B) {
	th := inState(b, Assigned, alice)
	th.origin.Person.Claims[0].Stored = true
	var cmd Command = Receive{Origin: th.origin, Event: CustomerMessage{
		ProviderID: "wamid.bench", At: th.now, Type: TypeText, Body: "Is my order on its way?",
	}}
	state, known, at := th.c, th.known(cmd), th.moment()
	b.ReportAllocs()
	for b.Loop() {
		at.Now = at.Now.Add(time.Millisecond)
		next, change, err := Decide(state, cmd, known, at)
		if err != nil || len(change.Inserts) != 1 {
			b.Fatal("no message decided", err)
		}
		state = next
	}
}

// BenchmarkDecideRefusal is what each loser of a race for a conversation costs.
func BenchmarkDecideRefusal(b *testing.B) {
	th := inState(b, Assigned, alice)
	at := th.moment()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decide(th.c, Accept{By: by(bob)}, nil, at); err == nil {
			b.Fatal("accepted twice")
		}
	}
}

// BenchmarkIdentify is a customer known by user id and number.
func BenchmarkIdentify(b *testing.B) {
	table := newAliasTable()
	aliases := []Alias{userID("US.1"), number("15550100177")}
	table.apply(b, table.identify(aliases...))
	known := table.known(aliases)
	b.ReportAllocs()
	for b.Loop() {
		if p := Identify(testOrg, WhatsApp, aliases, known); len(p.Claims) != 2 {
			b.Fatal(fmt.Sprint(p))
		}
	}
}
