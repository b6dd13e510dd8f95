package socket

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/lxzan/gws"

	"github.com/chatopshub/chatopshub/domain"
)

// bare is for clients without Socket.IO: a WebSocket with one JSON object per
// text frame, {"event", "data", "id"}. The heartbeat is WebSocket's own ping.
var bare dialect = bareDialect{}

type bareDialect struct{}

// The events of this dialect that are not the application's.
const (
	bareConnected = "connected"
	bareAck       = "ack"
)

// bearer is the WebSocket subprotocol. A client offers it together with what it
// shows: bearer, the token, and the pid if it comes back. So no secret is in a
// URL, which proxies log, and browsers can send it.
const bearer = "bearer"

// bareMessage is a message in either direction. ID is the offset of an event,
// and the client's own mark of a command, which its ack repeats.
type bareMessage struct {
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data,omitempty"`
	ID    json.RawMessage `json:"id,omitempty"`
}

// bareIDMax is how long a client's mark may be, in bytes: it is repeated.
const bareIDMax = 64

// bareCredential reads what a client shows in its handshake: a token after
// "bearer", a pid after that, and in the URL the id of the last event it has.
func bareCredential(r *http.Request) (credential, bool) {
	offered := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	for i := range offered {
		offered[i] = strings.TrimSpace(offered[i])
	}
	if offered[0] != bearer || len(offered) < 2 {
		return credential{}, false
	}
	c := credential{token: offered[1], offset: r.URL.Query().Get("offset")}
	if len(offered) > 2 {
		c.pid = offered[2]
	}
	return c, true
}

func (bareDialect) index() int  { return 1 }
func (bareDialect) ping() frame { return controlFrame(gws.OpcodePing, nil) }

func (bareDialect) receive(s *session, text []byte) error {
	var m bareMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if m.Event == "" || len(m.ID) > bareIDMax {
		return errBareMessage
	}
	r := request{name: m.Event}
	if m.Data != nil {
		r.args = []json.RawMessage{m.Data}
	}
	if m.ID != nil {
		id := append(json.RawMessage(nil), m.ID...) // text is used again
		r.acknowledge = func(answer json.RawMessage) frame {
			return bareFrame(bareMessage{Event: bareAck, Data: answer, ID: id})
		}
	}
	if !s.allowed() {
		s.acknowledge(r, answer{Code: codeRateLimited})
		return errRateLimited
	}
	s.carryOut(r)
	return nil
}

func (bareDialect) greet(k *socket, recovered bool) frame {
	data := fmt.Appendf(nil, `{"sid":%q,"pid":%q,"recovered":%t}`, k.sid, k.pid, recovered)
	return bareFrame(bareMessage{Event: bareConnected, Data: data})
}

func (bareDialect) event(e domain.FeedEvent) frame {
	m := bareMessage{Event: string(e.Name), Data: e.Data}
	if e.Seq > 0 {
		m.ID = fmt.Appendf(nil, "%q", e.Offset()) // plain ASCII
	}
	return bareFrame(m)
}

func (d bareDialect) revoked() []frame { return []frame{d.event(revokedEvent)} }

// bareFrame writes m as it is: its parts are JSON already.
func bareFrame(m bareMessage) frame {
	return textFrame(64+len(m.Event)+len(m.Data)+len(m.ID), func(dst []byte) []byte {
		dst = fmt.Appendf(dst, `{"event":%q,"data":%s`, m.Event, m.Data)
		if m.ID != nil {
			dst = fmt.Appendf(dst, `,"id":%s`, m.ID)
		}
		return append(dst, '}')
	})
}
