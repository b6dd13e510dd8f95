package actors

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// The messages that nodes exchange most.
func requestToReceive() Request {
	organization, channel := domain.OrganizationID{1, 2, 3}, domain.ChannelID{4, 5, 6}
	at := time.Date(2026, 7, 1, 12, 30, 15, 0, time.UTC)
	aliases := []domain.Alias{{Kind: domain.AliasUserID, Value: "US.13491208655302741918"}, {Kind: domain.AliasNumber, Value: "16505551234"}}
	return Request{
		Commands: []domain.Command{domain.Receive{
			Origin: domain.Origin{
				Channel: domain.Channel{
					ID: channel, Organization: organization, Provider: domain.WhatsApp, Name: "Support",
					ExternalID: "106540352242922", Status: domain.ChannelActive, SendRate: 80,
				},
				Person: domain.Person{
					Contact: domain.ContactID{7, 8}, ProviderID: "US.13491208655302741918",
					Claims: []domain.AliasClaim{{Alias: aliases[0], Stored: true}, {Alias: aliases[1], Stored: true}},
				},
				Customer: domain.Customer{Aliases: aliases, Name: "Sheena Nelson"},
			},
			Event: domain.CustomerMessage{
				ProviderID: "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=", At: at, Type: domain.TypeText,
				Body: "Does it come in another color?", Metadata: domain.MessageMetadata{Platform: json.RawMessage(`{"type":"text"}`)},
			},
		}},
		Replies: actor.NewPID("10.0.0.12:7946", "ask/c9p4x2l1qd3k"),
	}
}

func resultsOfReceive() Results {
	return Results{{}, {Message: domain.MessageID{1, 2, 3}}, {Err: &domain.Refusal{
		Code: domain.CodeAlreadyAssigned, Status: domain.Assigned, Holder: domain.UserID{9}, HolderName: "Ada Lovelace",
		AssignedAt: time.Date(2026, 7, 1, 12, 30, 15, 123456000, time.UTC),
	}}}
}

func publishOfMessage() publish {
	body := "Does it come in another color?"
	at := domain.Timestamp(time.Date(2026, 7, 1, 12, 30, 15, 0, time.UTC))
	return publish{Source: actor.NewPID("10.0.0.12:7946", "station/c9p4x2l1qd3k"), Number: 4711, Oldest: 4700, Notices: []domain.Notice{{
		Name:  domain.EventMessageCreated,
		Rooms: []domain.Room{domain.ConversationRoom(domain.ConversationID{1}), domain.AgentRoom(domain.UserID{2})},
		Payload: domain.MessageCreated{
			ID: domain.MessageID{3}, Conversation: domain.ConversationID{1}, Direction: domain.Inbound, Body: &body,
			Type: domain.TypeText, Status: domain.StatusDelivered, ProviderAt: at, CreatedAt: at,
		},
	}}}
}

// The same for encoding/json, which must be told the types of what it reads.
type (
	jsonRequest struct {
		Commands []struct {
			Origin domain.Origin
			Event  domain.CustomerMessage
		}
		Replies *actor.PID
		Trace   domain.Trace
	}
	jsonResult struct {
		Err     *domain.Refusal
		Message domain.MessageID
	}
	jsonNotice struct {
		Name     domain.EventName
		Rooms    []domain.Room
		Payload  json.RawMessage
		Activity bool
		Trace    domain.Trace
	}
)

// BenchmarkCodec writes and reads the messages that nodes exchange most, and
// the same with encoding/json.
func BenchmarkCodec(b *testing.B) {
	once := reserve{Conversation: domain.ConversationID{1}}
	posted := letter{Kind: "conversation", Key: [16]byte{1}, View: 1_000, Msg: requestToReceive()}
	postedJSON := new(struct {
		letter
		Msg jsonRequest
	})
	for _, bench := range []struct {
		name     string
		msg      any
		json     any
		jsonInto any
	}{
		{"receive", requestToReceive(), requestToReceive(), new(jsonRequest)},
		{"letter", posted, posted, postedJSON},
		{"results", resultsOfReceive(), resultsOfReceive(), new([]jsonResult)},
		{"publish", publishOfMessage(), publishOfMessage().Notices, new([]jsonNotice)},
		{"reserve", once, once, new(reserve)},
	} {
		benchmark(b, bench.name+"/cbor", func() ([]byte, error) { return Codec{}.Encode(bench.msg) },
			func(data []byte) error { _, err := Codec{}.Decode(data); return err })
		benchmark(b, bench.name+"/json", func() ([]byte, error) { return json.Marshal(bench.json) },
			func(data []byte) error { return json.Unmarshal(data, bench.jsonInto) })
	}
}

func benchmark(b *testing.B, name string, encode func() ([]byte, error), decode func([]byte) error) {
	b.Helper()
	data, err := encode()
	require.NoError(b, err)
	b.Run(name+"/encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err = encode()
		}
		require.NoError(b, err)
		b.ReportMetric(float64(len(data)), "bytes")
	})
	b.Run(name+"/decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			err = decode(data)
		}
		require.NoError(b, err)
	})
}
