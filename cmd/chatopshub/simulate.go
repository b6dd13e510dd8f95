package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// The simulator's number and page: the seed makes a channel for each.
const (
	simulatedPhoneNumberID = "100000000000001"
	simulatedPageID        = "200000000000001"
)

// simulation is what the simulate command was asked for.
type simulation struct {
	url       string
	customers int
	rate      float64 // messages per second, all customers together
	duration  time.Duration
	provider  string // whatsapp, messenger or both
	secrets   map[string]string
}

func simulate(ctx context.Context, env environment, args []string) error {
	var s simulation
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.StringVar(&s.url, "url", "", "address of the server (default: AUTH_URL, http://localhost:3001)")
	flags.IntVar(&s.customers, "customers", 10, "how many customers write")
	flags.Float64Var(&s.rate, "rate", 2, "messages per second, all customers together")
	flags.DurationVar(&s.duration, "duration", 30*time.Second, "how long")
	flags.StringVar(&s.provider, "provider", "both", "whatsapp, messenger or both")
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	if err := s.check(flags.Args()); err != nil {
		return err
	}
	cfg, _, err := loadConfig(env.environ, ".env")
	if err != nil {
		return err
	}
	if _, err := cfg.keepSecrets(); err != nil {
		return fmt.Errorf("read the webhook secrets: %w", err)
	}
	s.secrets = map[string]string{
		"whatsapp": string(cfg.Meta.WhatsApp.AppSecret), "messenger": string(cfg.Meta.Messenger.AppSecret),
	}
	if s.url == "" {
		s.url = cfg.HTTP.PublicURL
	}
	return s.run(ctx, env)
}

func (s *simulation) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return &usageError{fmt.Sprintf("chatopshub simulate: unknown argument %q", rest[0])}
	case s.customers < 1 || s.customers > 1_000_000:
		return &usageError{"chatopshub simulate: --customers takes 1 to 1000000"}
	case s.rate <= 0 || s.rate > 100_000:
		return &usageError{"chatopshub simulate: --rate takes more than 0, at most 100000 messages per second"}
	case s.duration <= 0:
		return &usageError{"chatopshub simulate: --duration takes a time such as 30s"}
	case s.provider != "whatsapp" && s.provider != "messenger" && s.provider != "both":
		return &usageError{"chatopshub simulate: --provider takes whatsapp, messenger or both"}
	}
	return nil
}

// maxInFlight bounds the posts that wait for their answer: a server that hangs
// must not take this machine's sockets.
const maxInFlight = 512

// run posts at the given rate, whether or not the server keeps up, and prints
// what happened.
func (s *simulation) run(ctx context.Context, env environment) error {
	fmt.Fprintf(env.stdout, "%d customers write %g messages a second to %s for %s\n", s.customers, s.rate, s.url, s.duration)
	ctx, cancel := context.WithTimeout(ctx, s.duration)
	defer cancel()
	crowd := newCrowd(s.customers, s.provider)
	client := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: maxInFlight, MaxConnsPerHost: maxInFlight},
	}
	defer client.CloseIdleConnections()
	report := newReport(time.Now())
	var posts sync.WaitGroup
	slots := make(chan struct{}, maxInFlight)
	printing := time.NewTicker(time.Second)
	defer printing.Stop()
	next := time.Now()
	for due := time.NewTimer(0); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-printing.C:
			report.line(env.stdout, time.Now())
		case <-due.C:
			m := crowd.write(next)
			sent := next
			slots <- struct{}{}
			posts.Go(func() {
				defer func() { <-slots }()
				report.note(s.post(client, m), time.Since(sent))
			})
			next = next.Add(time.Duration(float64(time.Second) / s.rate))
			due.Reset(time.Until(next))
		}
	}
	posts.Wait()
	report.total(env.stdout, time.Now())
	if report.ok == 0 {
		return errors.New("simulate: no message was taken: is the server running, with the same DATA_DIR or app secrets?")
	}
	return nil
}

// post sends one webhook; the outcome is "200", another status, or what kept it
// from being answered.
func (s *simulation) post(client *http.Client, m simulated) string {
	req, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(s.url, "/")+webhooktest.Path(m.provider), strings.NewReader(string(m.body)))
	if err != nil {
		return "bad address"
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hub-Signature-256", webhooktest.Sign(s.secrets[m.provider], m.body))
	resp, err := client.Do(req)
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}

// crowd is the customers and what they have to say.
type crowd struct {
	customers []webhooktest.Customer
	provider  string
	run       string // tells this run's message ids from others'
	sent      int
}

type simulated struct {
	provider string
	body     []byte
}

func newCrowd(n int, provider string) *crowd {
	c := &crowd{provider: provider, run: fmt.Sprintf("%x", time.Now().UnixNano())}
	for i := range n {
		c.customers = append(c.customers, webhooktest.Customer{
			Name:   firstNames[i%len(firstNames)] + " " + lastNames[i/len(firstNames)%len(lastNames)],
			Number: fmt.Sprintf("1555%07d", i),
			UserID: fmt.Sprintf("US.%020d", i),
			PSID:   fmt.Sprintf("7%015d", i),
		})
	}
	return c
}

// write is the next message of some customer.
func (c *crowd) write(at time.Time) simulated {
	c.sent++
	i := rand.IntN(len(c.customers))
	who, text := c.customers[i], sentences[rand.IntN(len(sentences))]
	onMessenger := c.provider == "messenger" || c.provider == "both" && i%2 == 1
	if onMessenger {
		id := fmt.Sprintf("m_sim_%s_%d", c.run, c.sent)
		return simulated{"messenger", webhooktest.MessengerText(simulatedPageID, who, id, text, at)}
	}
	id := fmt.Sprintf("wamid.sim.%s.%d", c.run, c.sent)
	return simulated{"whatsapp", webhooktest.WhatsAppText(simulatedPhoneNumberID, who, id, text, at)}
}

var (
	firstNames = []string{"Dana", "Amir", "Lucía", "Jun", "Zoë", "Kofi", "Marta", "Omar", "Priya", "Łukasz"}
	lastNames  = []string{"Okafor", "Silva", "Tanaka", "Müller", "Haddad", "Novák", "Rossi", "Kim", "O'Neill", "Dubois"}
	sentences  = []string{
		"Hello, is anybody there?",
		"Where is my order? It was due on Monday.",
		"Can I change the delivery address to 12/3 Harbour Street?",
		"Thanks a lot 🙏",
		"The parcel arrived damaged 😕 what now?",
		"¿Hablan español?",
		"Do you ship to Zürich?",
		"I was charged twice, please check.",
		"OK",
		"مرحبا، أحتاج مساعدة في طلبي",
	}
)
