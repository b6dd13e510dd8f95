package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// live plays the platforms whole: customers write, get what agents send, read
// it and answer. With s.serve the server is started here, too.
func (s *simulation) live(ctx context.Context, env environment, cfg Config, serve func(context.Context, Config) (*program, error)) error {
	if s.serve && cfg.Env != Development {
		return &usageError{"chatopshub simulate: --serve takes APP_ENV=development: the simulator's channels are made there alone"}
	}
	ctx, cancel := context.WithCancel(ctx)
	if s.duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.duration)
	}
	defer cancel()
	l, err := s.stage(env.stdout, cfg.Meta.AppID)
	if err != nil {
		return err
	}
	defer l.platform.Close()
	var p *program
	if s.serve {
		cfg.Meta.GraphURL, cfg.Meta.AppID = l.platform.URL(), l.appID
		if p, err = serve(ctx, cfg); err != nil {
			return err
		}
		s.url = p.url()
	}
	l.lead(s.url)
	fmt.Fprintf(env.stdout, "%d customers write %g messages a second to %s; the Graph API is at %s\n\n", s.customers, s.rate, s.url, l.platform.URL())
	var acting sync.WaitGroup
	acting.Go(func() { l.watch(ctx) })
	acting.Go(func() { l.chatter(ctx, s.rate) })
	if p != nil {
		err = p.wait(ctx) // it goes first: what the customers still have to say finds nobody
	} else {
		<-ctx.Done()
		err = l.settle()
	}
	cancel()
	acting.Wait()
	l.total()
	return err
}

// liveCustomers is a fake platform and the customers on it.
type liveCustomers struct {
	platform *graphtest.Server
	appID    string
	people   []webhooktest.Customer
	provider string
	pictures map[string]string // by account

	out     sync.Mutex // a line at a time
	w       io.Writer
	authors map[string]string // who wrote a message, at most maxAuthors
	written int
	got     int
	shown   int
}

// maxAuthors bounds whose messages are remembered: older ones are somebody's.
const maxAuthors = 10_000

// simulatedAppID is the Meta app that the simulator plays where none is given.
const simulatedAppID = "1517776481860111"

// stage starts the fake platform.
func (s *simulation) stage(w io.Writer, appID string) (*liveCustomers, error) {
	l := &liveCustomers{appID: appID, provider: s.provider, w: w, authors: map[string]string{}, pictures: map[string]string{}}
	if l.appID == "" {
		l.appID = simulatedAppID
	}
	for i := range s.customers {
		l.people = append(l.people, newCustomer(i))
	}
	var err error
	l.platform, err = graphtest.Start(graphtest.Config{
		Addr: s.graphAddr, AppID: l.appID, Seed: rand.Uint64(), Keep: 10_000,
		Secrets: map[graphtest.Provider]string{graphtest.WhatsApp: s.secrets["whatsapp"], graphtest.Messenger: s.secrets["messenger"]},
		Accounts: []graphtest.Account{
			{Provider: graphtest.WhatsApp, ID: persistence.SeedPhoneNumberID, Token: persistence.SeedNumberToken, Name: "Simulated number"},
			{Provider: graphtest.Messenger, ID: persistence.SeedPageID, Token: persistence.SeedPageToken, Name: "Simulated page"},
		},
		Plan:   s.faults.plan(rand.Uint64()),
		Habits: graphtest.Habits{Delivers: 1, Reads: 0.9, Delay: [2]time.Duration{200 * time.Millisecond, time.Second}},
	})
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	for _, account := range []string{persistence.SeedPhoneNumberID, persistence.SeedPageID} {
		l.pictures[account] = l.platform.PutMedia(account, "image/png", "picture.png", picture())
	}
	return l, nil
}

// lead has the webhooks posted to the server at that address.
func (l *liveCustomers) lead(url string) {
	url = strings.TrimSuffix(url, "/")
	l.platform.SetWebhooks(map[graphtest.Provider]string{
		graphtest.WhatsApp: url + webhooktest.Path("whatsapp"), graphtest.Messenger: url + webhooktest.Path("messenger"),
	})
}

// chatter has customers write at that rate, whatever comes of it.
func (l *liveCustomers) chatter(ctx context.Context, rate float64) {
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			i := rand.IntN(len(l.people))
			if rand.IntN(8) == 0 {
				l.sends(i)
			} else {
				l.says(i, "writes", sentences[rand.IntN(len(sentences))])
			}
		}
	}
}

// account is where the ith customer writes to, and how the platform knows the
// customer.
func (l *liveCustomers) account(i int) (string, graphtest.Customer) {
	c := l.people[i]
	if onMessenger(l.provider, i) {
		return persistence.SeedPageID, graphtest.Customer{Name: c.Name, PSID: c.PSID}
	}
	return persistence.SeedPhoneNumberID, graphtest.Customer{Name: c.Name, Number: c.Number, UserID: c.UserID}
}

func (l *liveCustomers) says(i int, how, text string) {
	account, who := l.account(i)
	id, err := l.platform.Write(account, who, text)
	l.wrote(who, id, fmt.Sprintf("%-8s %s", how, text), err)
}

func (l *liveCustomers) sends(i int) {
	account, who := l.account(i)
	id, err := l.platform.WriteFile(account, who, "image", l.pictures[account])
	l.wrote(who, id, "sends    a picture", err)
}

// wrote tells what a customer wrote. A server that takes nothing for long makes
// the platform full.
func (l *liveCustomers) wrote(who graphtest.Customer, id, line string, err error) {
	if err != nil {
		l.line(who.Name, "can't write: "+err.Error())
		return
	}
	l.out.Lock()
	if len(l.authors) >= maxAuthors {
		clear(l.authors)
	}
	l.authors[id] = who.Name
	l.written++
	l.out.Unlock()
	l.line(who.Name, line)
}

// line prints one thing that happened.
func (l *liveCustomers) line(who, what string) {
	l.out.Lock()
	defer l.out.Unlock()
	fmt.Fprintf(l.w, "%s  %-16s %s\n", time.Now().Format("15:04:05"), who, strings.ReplaceAll(what, "\n", " "))
}

// watch tells what customers get, and has them answer two of three messages.
func (l *liveCustomers) watch(ctx context.Context) {
	var answering sync.WaitGroup
	defer answering.Wait()
	for taken, shown := 0, 0; ; {
		changed := l.platform.Changed()
		var messages []graphtest.Taken
		var actions []graphtest.Action
		messages, actions, taken, shown = l.platform.Since(taken, shown)
		for _, a := range actions {
			l.line(l.whom(a), seen(a.Kind))
		}
		for _, m := range messages {
			i, known := l.person(m)
			if !known {
				l.line(m.Recipient, "gets     "+textOf(m))
				continue
			}
			l.line(l.people[i].Name, "gets     "+textOf(m))
			if m.Nth%3 != 0 && m.Type != "reaction" {
				answering.Go(func() { l.answer(ctx, i) })
			}
		}
		l.out.Lock()
		l.got, l.shown = taken, shown
		l.out.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// answer has a customer read, think and write.
func (l *liveCustomers) answer(ctx context.Context, i int) {
	timer := time.NewTimer(time.Second + rand.N(2*time.Second))
	defer timer.Stop()
	select {
	case <-timer.C:
		l.says(i, "answers", answers[rand.IntN(len(answers))])
	case <-ctx.Done():
	}
}

// person is whose message it is.
func (l *liveCustomers) person(m graphtest.Taken) (int, bool) {
	for i, c := range l.people {
		if m.Recipient == c.Number || m.Recipient == c.UserID || m.Recipient == c.PSID {
			return i, true
		}
	}
	return 0, false
}

// whom is who sees an action.
func (l *liveCustomers) whom(a graphtest.Action) string {
	for _, c := range l.people {
		if a.Recipient == c.PSID {
			return c.Name
		}
	}
	l.out.Lock()
	defer l.out.Unlock()
	if name, known := l.authors[a.MessageID]; known {
		return name
	}
	return "somebody"
}

// seen is what a customer sees of an action.
func seen(kind string) string {
	switch kind {
	case "read", "mark_seen":
		return "sees     that it was read"
	case "typing", "typing_on":
		return "sees     somebody typing"
	case "typing_off":
		return "sees     nobody typing any more"
	}
	return "sees     " + kind
}

func textOf(m graphtest.Taken) string {
	switch {
	case m.Type == "text":
		return m.Text
	case m.Text == "":
		return "(" + m.Type + ")"
	}
	return "(" + m.Type + ") " + m.Text
}

// settle waits until the server has taken what the customers wrote.
func (l *liveCustomers) settle() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := l.platform.Drain(ctx); err != nil {
		return errors.Join(errors.New("simulate: is the server running, with the same DATA_DIR or app secrets?"), err)
	}
	return nil
}

func (l *liveCustomers) total() {
	l.out.Lock()
	defer l.out.Unlock()
	fmt.Fprintf(l.w, "\ncustomers wrote %d messages, got %d, and saw %d receipts and signs of typing\n", l.written, l.got, l.shown)
}

// picture is a small PNG.
func picture() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for x := range 64 {
		for y := range 64 {
			img.Set(x, y, color.RGBA{R: uint8(4 * x), G: uint8(4 * y), B: 128, A: 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // memory takes everything
	}
	return b.Bytes()
}

var answers = []string{
	"Thank you!",
	"And when will that be?",
	"👍",
	"I don't understand, could you explain?",
	"Perfect, that helps.",
}
