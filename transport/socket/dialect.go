package socket

import (
	"encoding/json"

	"github.com/chatopshub/chatopshub/domain"
)

// dialect is what a client speaks. Sessions, hub and commands are the same for
// all; how things are written is not.
type dialect interface {
	// receive handles one text of the client. An error ends the session. The
	// caller holds in.
	receive(s *session, text []byte) error
	// greet tells the client that its socket is connected.
	greet(k *socket, recovered bool) frame
	// event writes an event; without a number, if it has none.
	event(e domain.FeedEvent) frame
	// revoked tells the client that its login is over and to stay away.
	revoked() []frame
	ping() frame
	// index tells the dialects apart, from 0.
	index() int
}

const dialects = 2

// encoded is an event in the forms in which it is sent, each made when the
// first socket needs it and shared by all.
type encoded struct {
	event  domain.FeedEvent
	frames [dialects]frame
}

func (e *encoded) in(d dialect) frame {
	f := &e.frames[d.index()]
	if *f == nil {
		*f = d.event(e.event)
	}
	return *f
}

// request is a command of a client.
type request struct {
	name string
	args []json.RawMessage
	// acknowledge makes the frame that answers it; nil: none is wanted.
	acknowledge func(answer json.RawMessage) frame
}
