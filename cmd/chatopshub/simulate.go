package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// simulation is what the simulate command was asked for.
type simulation struct {
	url       string
	customers int
	rate      float64 // messages per second, all customers together
	duration  time.Duration
	provider  string // whatsapp, messenger or both
	secrets   map[string]string

	serve     bool   // with a server of its own
	graphAddr string // where the fake Graph API listens; empty and no server: there is none
	faults    faults // of the fake Graph API
}

func simulate(ctx context.Context, env environment, args []string) error {
	var s simulation
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.StringVar(&s.url, "url", "", "address of the server (default: AUTH_URL, http://localhost:3001)")
	flags.IntVar(&s.customers, "customers", 10, "how many customers write")
	flags.Float64Var(&s.rate, "rate", 2, "messages per second, all customers together")
	flags.DurationVar(&s.duration, "duration", 30*time.Second, "how long")
	flags.StringVar(&s.provider, "provider", "both", "whatsapp, messenger or both")
	flags.BoolVar(&s.serve, "serve", false, "start a server, too, with the simulator as its platform; until it is stopped, unless --duration is given")
	flags.StringVar(&s.graphAddr, "graph-addr", "", "play the platforms' Graph API at this host:port, for a running server whose META_GRAPH_URL is http://host:port")
	flags.Var(&s.faults, "faults", "what goes wrong at the Graph API: drop=0.2,throttle=0.05,error=0.1,reject=0.01,latency=200ms")
	if err := parse(env, flags, args); err != nil {
		return helped(err)
	}
	if s.serve && !isGiven(flags, "duration") {
		s.duration = 0
	}
	if err := s.check(flags.Args()); err != nil {
		return err
	}
	cfg, warnings, err := loadConfig(env.environ, ".env")
	if err != nil {
		return err
	}
	kept, err := cfg.keepSecrets()
	if err != nil {
		return fmt.Errorf("read the webhook secrets: %w", err)
	}
	s.secrets = map[string]string{
		"whatsapp": string(cfg.Meta.WhatsApp.AppSecret), "messenger": string(cfg.Meta.Messenger.AppSecret),
	}
	if s.url == "" {
		s.url = cfg.HTTP.PublicURL
	}
	if !s.serve && s.graphAddr == "" {
		return s.run(ctx, env)
	}
	if cfg.Log.Level == slog.LevelInfo {
		cfg.Log.Level = slog.LevelWarn // who reads here wants to see the customers
	}
	logger := newLogger(env.stderr, cfg.Log)
	for _, w := range warnings {
		logger.Warn(w)
	}
	return s.live(ctx, env, cfg, func(ctx context.Context, cfg Config) (*program, error) {
		p, err := start(ctx, cfg, logger)
		if err == nil {
			welcome(env.stdout, p, kept)
		}
		return p, err
	})
}

// isGiven reports whether a flag was set on the command line.
func isGiven(flags *flag.FlagSet, name string) (given bool) {
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}

func (s *simulation) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return &usageError{fmt.Sprintf("chatopshub simulate: unknown argument %q", rest[0])}
	case s.customers < 1 || s.customers > 1_000_000:
		return &usageError{"chatopshub simulate: --customers takes 1 to 1000000"}
	case s.rate <= 0 || s.rate > 100_000:
		return &usageError{"chatopshub simulate: --rate takes more than 0, at most 100000 messages per second"}
	case s.duration < 0, s.duration == 0 && !s.serve:
		return &usageError{"chatopshub simulate: --duration takes a time such as 30s"}
	case s.serve && s.url != "":
		return &usageError{"chatopshub simulate: --url is the address of a running server: leave it out with --serve"}
	case s.faults.isSet() && !s.serve && s.graphAddr == "":
		return &usageError{"chatopshub simulate: --faults are those of the Graph API: give --serve or --graph-addr, too"}
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
		c.customers = append(c.customers, newCustomer(i))
	}
	return c
}

// newCustomer is the ith customer, the same in every run.
func newCustomer(i int) webhooktest.Customer {
	return webhooktest.Customer{
		Name:   firstNames[i%len(firstNames)] + " " + lastNames[i/len(firstNames)%len(lastNames)],
		Number: fmt.Sprintf("1555%07d", i),
		UserID: fmt.Sprintf("US.%020d", i),
		PSID:   fmt.Sprintf("7%015d", i),
	}
}

// onMessenger reports whether the ith customer writes there.
func onMessenger(provider string, i int) bool {
	return provider == "messenger" || provider == "both" && i%2 == 1
}

// write is the next message of some customer.
func (c *crowd) write(at time.Time) simulated {
	c.sent++
	i := rand.IntN(len(c.customers))
	who, text := c.customers[i], sentences[rand.IntN(len(sentences))]
	if onMessenger(c.provider, i) {
		id := fmt.Sprintf("m_sim_%s_%d", c.run, c.sent)
		return simulated{"messenger", webhooktest.MessengerText(persistence.SeedPageID, who, id, text, at)}
	}
	id := fmt.Sprintf("wamid.sim.%s.%d", c.run, c.sent)
	return simulated{"whatsapp", webhooktest.WhatsAppText(persistence.SeedPhoneNumberID, who, id, text, at)}
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
