package socket

import "time"

// deadlines is what a session has to do when, on one timer of the wheel. The
// session's mutex guards it; zero is never.
type deadlines struct {
	timer        timer
	awaitingPong bool
	beatBy       time.Time // next ping, or the end of the wait for a pong
	connectBy    time.Time // a socket must be there by then
	closeBy      time.Time // a closing session is cut then
	upgradeBy    time.Time // a probe must have become the transport by then
	noopAt       time.Time // a waiting poll is released for the sake of a probe
}

// earliest is the next deadline.
func (d *deadlines) earliest(s state) time.Time {
	if s == stateClosing {
		return d.closeBy
	}
	at := d.beatBy
	for _, other := range []time.Time{d.connectBy, d.upgradeBy, d.noopAt} {
		if !other.IsZero() && other.Before(at) {
			at = other
		}
	}
	return at
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

// begin starts the heartbeat and the connect timeout.
func (s *session) begin() {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beatBy = now.Add(s.server.config.PingInterval)
	s.connectBy = now.Add(s.server.config.ConnectTimeout)
	if s.state == stateOpen {
		s.reschedule()
	}
}

// reschedule sets the timer to the earliest deadline. The caller holds mu.
func (s *session) reschedule() { s.server.wheel.schedule(&s.timer, s.earliest(s.state)) }

// expire is called by the wheel.
func (s *session) expire(now time.Time) {
	if s.dueToBeCut(now) {
		s.cut(ReasonConnectionLost)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateOpen {
		s.meet(now)
	}
	if s.state != stateClosed {
		s.reschedule()
	}
}

func (s *session) dueToBeCut(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateClosing && due(s.closeBy, now)
}

// meet does what is due in an open session. The caller holds mu.
func (s *session) meet(now time.Time) {
	if due(s.noopAt, now) {
		s.releasePoll()
		s.noopAt = now.Add(noopInterval)
	}
	if due(s.upgradeBy, now) {
		s.closeProbe()
	}
	switch {
	case due(s.connectBy, now):
		s.end(ReasonConnectTimeout)
	case !due(s.beatBy, now):
	case s.awaitingPong:
		s.end(ReasonPingTimeout)
	default:
		s.awaitingPong = true
		s.beatBy = now.Add(s.server.config.PingTimeout)
		s.out.push(s.dialect.ping())
		s.flush()
	}
}

// pong is the client's answer to a ping. Without one it means nothing.
func (s *session) pong() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awaitingPong && s.state == stateOpen {
		s.awaitingPong = false
		s.beatBy = time.Now().Add(s.server.config.PingInterval)
		s.reschedule()
	}
}
