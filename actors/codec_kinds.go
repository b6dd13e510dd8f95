package actors

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// wireKinds has every type that may cross nodes. Numbers are for ever: the other
// node may be of the release before or after. One that isn't in use any more
// stays behind as a comment.
//
// A type is listed with its exported fields, each with a cbor key; key 0 is for
// the address of who waits for an answer, and for nothing else. Addresses,
// errors, interfaces (of which the listed types can be in a message) and what
// consists of these are taken care of.
var wireKinds = newTable(
	// What needs a form of its own wherever it occurs.
	[]form{
		as(addressOf, (*address).read),
		as(laneNumber, laneOfNumber),
		as(noticeOf, wireNotice.read),
		as(
			func(t domain.Timestamp) (time.Time, error) { return time.Time(t), nil },
			func(t time.Time) (domain.Timestamp, error) { return domain.Timestamp(t), nil },
		),
	},
	// Numbers below 24 take a byte, those below 256 two.
	//
	// Values, and errors that aren't of a kind below.
	message[error](1), message[bool](2), message[int](3), message[string](4), message[[]byte](5),

	// Conversations.
	message[Request](10), message[Results](11),
	message[granted](12), message[deferred](13), message[attempted](14), message[wake](15),
	message[moved](27),
	// Channels.
	message[reserve](20), message[unreserve](21), message[depart](22), message[departed](23), message[answered](24),
	message[channelState](25), message[brokenNoted](26),
	// Agents.
	message[connected](30), message[heartbeat](31), message[presenceSet](32), message[disconnected](33),
	message[loginEnded](34), message[suspended](35), message[absent](36),
	message[announced](37), message[missed](38),
	message[agentState](70), message[entry](71), message[rosterAsk](72), message[rosterAnswer](73),
	// Assigners.
	message[look](40),
	// Feeds.
	// 50 was a publish without numbers.
	message[domain.FeedReplay](51), message[domain.FeedEvent](52), message[domain.FeedHistory](53),
	message[publish](54), message[bulletin](55), message[attend](56), message[ack](57), message[feedState](58),
	// Routers.
	message[letter](60), message[returned](61), message[fetch](62), message[parcel](63),

	// Commands.
	message[domain.Accept](100), message[domain.Release](101), message[domain.Complete](102),
	message[domain.Reassign](103), message[domain.Reopen](104), message[domain.Read](105), message[domain.Send](106),
	message[domain.ReleaseIf](107), message[domain.Assign](108), message[domain.Receive](109),
	message[domain.ClaimSend](110), message[domain.FinishSend](111), message[domain.ExpireSend](112),
	message[domain.MediaSettled](113), message[domain.NameLearned](114),
	// Inbound events.
	message[domain.CustomerMessage](130), message[domain.CustomerReaction](131), message[domain.MessageEdited](132),
	message[domain.MessageRevoked](133), message[domain.BusinessEcho](134), message[domain.StatusReport](135),
	message[domain.Watermark](136), message[domain.SystemNotice](137), message[domain.ThreadNote](138),
	// Errors that say more than their text.
	message[*domain.Refusal](150), message[*domain.ValueError](151), message[*domain.MisroutedError](152),
	message[*domain.CallError](153), message[*domain.LimitError](154), message[*domain.ReplayError](155),
)

// address is an actor.PID: its node and its id there.
type address [2]string

func addressOf(p *actor.PID) (*address, error) {
	if p == nil {
		return nil, nil
	}
	return &address{p.GetAddress(), p.GetID()}, nil
}

func (a *address) read() (*actor.PID, error) {
	if a == nil {
		return nil, nil
	}
	return actor.NewPID(a[0], a[1]), nil
}

func laneNumber(l lane) (int, error) { return int(l), nil }

// laneOfNumber refuses a lane that there isn't here: lanes are indexes.
func laneOfNumber(n int) (lane, error) {
	if n < 0 || n >= int(lanes) {
		return 0, fmt.Errorf("channels have no lane %d", n)
	}
	return lane(n), nil
}

// wireNotice is a domain.Notice with its payload as the sockets will get it, for
// which alone a feed needs it.
type wireNotice struct {
	Name     domain.EventName `cbor:"1,keyasint"`
	Rooms    []domain.Room    `cbor:"2,keyasint"`
	Payload  json.RawMessage  `cbor:"3,keyasint"`
	Activity bool             `cbor:"4,keyasint,omitempty"`
	Trace    domain.Trace     `cbor:"5,keyasint,omitzero"`
}

func noticeOf(n domain.Notice) (wireNotice, error) {
	payload, err := payloadJSON(n.Payload)
	if err != nil {
		return wireNotice{}, fmt.Errorf("payload of %s: %w", n.Name, err)
	}
	return wireNotice{n.Name, n.Rooms, payload, n.Activity, n.Trace}, nil
}

func (n wireNotice) read() (domain.Notice, error) {
	return domain.Notice{Name: n.Name, Rooms: n.Rooms, Payload: n.Payload, Activity: n.Activity, Trace: n.Trace}, nil
}
