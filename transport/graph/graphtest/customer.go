package graphtest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Customer is somebody who writes and reads.
type Customer struct {
	Name   string
	Number string // WhatsApp: digits; empty for who hides it
	UserID string // WhatsApp: business-scoped user id; empty for who has none yet
	PSID   string // Messenger
	// Private hides the profile (Messenger): looking it up fails, as it does for
	// who has signed up by phone number.
	Private bool
}

// Habits is what customers do with what they get. Everything is told by
// webhooks: WhatsApp's statuses, Messenger's echoes and receipts. The zero
// Habits is a phone that is switched off: sent, and no more.
type Habits struct {
	Delivers float64              // share of messages that are delivered, 0 to 1
	Reads    float64              // share of messages that are delivered and read
	Delay    [2]time.Duration     // from and to: between a message and its first report, and from each to the next
	Disorder bool                 // the reports about one message come in any order; else each waits for the one before
	Repeats  int                  // how often a report comes again
	Overtake bool                 // the first report is taken before the send is answered
	Fails    func(Taken) int      // code of the failure that is told instead of a delivery (WhatsApp); 0: none
	Answers  func(Taken) []string // what the customer writes back, after reading
}

// Write is a text that a customer sends to an account; it returns the message's
// id. The webhook is on its way then; Drain waits for it.
func (s *Server) Write(accountID string, from Customer, text string) (string, error) {
	return s.write(accountID, from, func(p Provider) (string, any) { return words(p, text) })
}

// WriteFile is a file that a customer sends; mediaID is what PutMedia gave. On
// Messenger the webhook has its address, which is this server's: http unless
// Config.TLS is set.
func (s *Server) WriteFile(accountID string, from Customer, kind, mediaID string) (string, error) {
	_, mimeType, _ := s.Media(mediaID)
	return s.write(accountID, from, func(p Provider) (string, any) {
		if p == Messenger {
			return "attachments", []any{map[string]any{"type": kind, "payload": map[string]any{"url": s.MediaURL(mediaID)}}}
		}
		return kind, map[string]any{"id": mediaID, "mime_type": mimeType}
	})
}

func (s *Server) write(accountID string, from Customer, content func(Provider) (key string, value any)) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[accountID]
	if a == nil {
		return "", fmt.Errorf("graphtest: no account %q", accountID)
	}
	if s.post.backlog() > s.cfg.Backlog {
		return "", fmt.Errorf("graphtest: %d webhooks wait already", s.cfg.Backlog)
	}
	s.know(from)
	key, value := content(a.Provider)
	return s.say(a, from, time.Now(), key, value, nil), nil
}

// say posts a message of a customer, as tell does. The caller holds the lock.
func (s *Server) say(a *account, from Customer, at time.Time, key string, value any, after *letter) (id string) {
	id = messageID(a.Provider, s.newID())
	if a.Provider == Messenger {
		message := map[string]any{"message": map[string]any{"mid": id, key: value}}
		s.tell(Messenger, at, s.pageEvent(a.ID, from.PSID, a.ID, at, message), after)
		return id
	}
	message := map[string]any{"id": id, "timestamp": seconds(at), "type": key, key: value}
	contact := map[string]any{"profile": map[string]any{"name": from.Name}}
	if from.Number != "" {
		message["from"], contact["wa_id"] = from.Number, from.Number
	}
	if from.UserID != "" {
		message["from_user_id"], contact["user_id"] = from.UserID, from.UserID
	}
	s.tell(WhatsApp, at, s.numberEvent(a, map[string]any{"contacts": []any{contact}, "messages": []any{message}}), after)
	return id
}

// words is a text in a platform's form.
func words(p Provider, text string) (key string, value any) {
	if p == Messenger {
		return "text", text
	}
	return "text", map[string]any{"body": text}
}

// know remembers a customer under all names. The caller holds the lock.
func (s *Server) know(c Customer) {
	for _, name := range []string{c.Number, c.UserID, c.PSID} {
		if name != "" {
			s.customers[name] = c
		}
	}
}

// react has the customer deal with a message, by the habits. The caller holds
// the lock. The channel is closed when the first report was taken; nil where
// there is none.
func (s *Server) react(t Taken) <-chan struct{} {
	h, r := s.cfg.Habits, chance(s.cfg.Seed+1, t.Recipient, t.Nth)
	reports := s.reports(t, r)
	at, times := t.At, make([]time.Time, len(reports))
	for i := range reports {
		if !h.Overtake || i > 0 {
			at = at.Add(between(r, h.Delay))
		}
		times[i] = at
	}
	last := at
	if h.Disorder {
		r.Shuffle(len(times), func(i, j int) { times[i], times[j] = times[j], times[i] })
	}
	var first, previous *letter
	for i, report := range reports {
		for range 1 + h.Repeats {
			previous = s.tell(t.Provider, times[i], report(times[i]), previous)
			if first == nil {
				first = previous
			}
			if h.Disorder {
				previous = nil // they wait for their time alone
			}
		}
	}
	if h.Answers != nil {
		s.answerBack(t, last, previous)
	}
	if first == nil {
		return nil
	}
	return first.taken
}

// answerBack posts what the customer writes, once everything is read.
func (s *Server) answerBack(t Taken, at time.Time, after *letter) {
	from, known := s.customers[t.Recipient]
	if !known {
		from = stranger(t)
	}
	for i, text := range s.cfg.Habits.Answers(t) {
		key, value := words(t.Provider, text)
		s.say(s.accounts[t.Account], from, at.Add(time.Duration(i+1)*time.Millisecond), key, value, after)
	}
}

// stranger is a customer of whom only the address is known.
func stranger(t Taken) Customer {
	switch {
	case t.Provider == Messenger:
		return Customer{Name: "Customer " + t.Recipient, PSID: t.Recipient}
	case digits(t.Recipient) == t.Recipient:
		return Customer{Name: "Customer " + t.Recipient, Number: t.Recipient}
	}
	return Customer{Name: "Customer " + t.Recipient, UserID: t.Recipient}
}

// report is the body of a webhook that is posted at a time.
type report func(at time.Time) []byte

// reports is what is told about a message, in the order in which it happens.
func (s *Server) reports(t Taken, r *rand.Rand) []report {
	h := s.cfg.Habits
	luck := r.Float64() // one draw: who reads has got it delivered
	delivered, read := luck < max(h.Delivers, h.Reads), luck < h.Reads
	if t.Provider == Messenger {
		return s.messengerReports(t, delivered, read)
	}
	told := []report{s.status(t, "sent", 0)}
	if h.Fails != nil {
		if code := h.Fails(t); code != 0 {
			return append(told, s.status(t, "failed", code))
		}
	}
	if t.Type == "reaction" { // they are never told as delivered
		return told
	}
	if delivered {
		told = append(told, s.status(t, "delivered", 0))
	}
	if read {
		told = append(told, s.status(t, "read", 0))
	}
	return told
}

// between is a time from the range, both ends included.
func between(r *rand.Rand, d [2]time.Duration) time.Duration {
	if d[1] <= d[0] {
		return d[0]
	}
	return d[0] + time.Duration(r.Int64N(int64(d[1]-d[0])+1))
}

func seconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
