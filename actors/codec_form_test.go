package actors

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// compound has what needs a form in everything that can hold it, and what needs
// none beside it.
type compound struct {
	domain.AgentPresence
	domain.Patience `cbor:"1,keyasint"`
	Present         map[domain.UserID]domain.AgentPresence    `cbor:"2,keyasint"`
	Failures        []map[string]*domain.CallError            `cbor:"3,keyasint"`
	Plain           map[domain.UserID][]domain.RecoveryRecord `cbor:"4,keyasint"`
	Twice           ***domain.Timestamp                       `cbor:"5,keyasint"`
}

var timestamps = as(
	func(t domain.Timestamp) (time.Time, error) { return time.Time(t), nil },
	func(t time.Time) (domain.Timestamp, error) { return domain.Timestamp(t), nil },
)

func TestForms(t *testing.T) {
	t.Parallel()
	forms := newTable([]form{timestamps}, message[compound](1), message[error](2))
	present := domain.AgentPresence{Agent: domain.UserID{1}, Status: domain.Away, LastSeenAt: domain.Timestamp(time.Unix(1, 2).UTC())}
	at := &present.LastSeenAt
	twice := &at
	for _, msg := range []compound{
		{},
		{
			AgentPresence: present, Patience: domain.Patience{Uncertain: time.Hour},
			Present:  map[domain.UserID]domain.AgentPresence{{1}: present, {2}: {}},
			Failures: []map[string]*domain.CallError{nil, {"a": nil, "b": {Code: "1", Cause: domain.ErrFailed}}, {}},
			Plain:    map[domain.UserID][]domain.RecoveryRecord{{3}: {{SID: "s", Rooms: []domain.RoomSince{{Room: "r", Since: 5}}}}},
			Twice:    &twice,
		},
	} {
		m, err := forms.pack(msg)
		require.NoError(t, err)
		data, err := encoding.Marshal(m.Value)
		require.NoError(t, err)
		back, err := forms.unpack(1, data)
		require.NoError(t, err)
		require.Equal(t, msg, back)
	}
}

// TestFormsRefuse: what would arrive without a part of it isn't let in.
func TestFormsRefuse(t *testing.T) {
	t.Parallel()
	for name, kinds := range map[string][]kind{
		"unexported field":   {message[struct{ inner int }](1)},
		"field out of JSON":  {message[domain.MessageCreated](1)},
		"channel":            {message[struct{ C chan int }](1)},
		"function":           {message[[]func()](1)},
		"array of addresses": {message[[2]error](1)},
		"number twice":       {message[int](1), message[bool](1)},
		"type twice":         {message[int](1), message[int](2)},
	} {
		require.Panics(t, func() { newTable([]form{timestamps}, kinds...) }, name)
	}
}

// TestNoSecretsCross: what lets its bearer act for a channel stays where it was
// read.
func TestNoSecretsCross(t *testing.T) {
	t.Parallel()
	for typ := range wireKinds.forms {
		require.NotEqual(t, reflect.TypeFor[domain.AccessToken](), typ)
		require.NotEqual(t, reflect.TypeFor[domain.RecoveryKey](), typ)
	}
	require.Contains(t, wireKinds.forms, reflect.TypeFor[domain.Slot](), "single fields are looked at, too")
}
