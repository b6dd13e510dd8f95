package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/graph/graphtest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// shell runs commands as a user of this machine does.
type shell struct {
	t       *testing.T
	environ []string
}

func newShell(t *testing.T, db *persistencetest.Database, environ ...string) *shell {
	t.Helper()
	return &shell{t, append([]string{
		"DATABASE_URL=" + db.URL, "DATA_DIR=" + t.TempDir(), "AUTH_SECRET=" + testAuthSecret,
		"WHATSAPP_VERIFY_TOKEN=verify", "MESSENGER_VERIFY_TOKEN=verify",
	}, environ...)}
}

// run gives exit code and output, both kinds of it.
func (s *shell) run(input string, args ...string) (int, string) {
	s.t.Helper()
	var out bytes.Buffer
	code := execute(s.t.Context(), environment{stdin: strings.NewReader(input), stdout: &out, stderr: &out, environ: s.environ}, args)
	return code, out.String()
}

func (s *shell) requireRun(code int, contains string, args ...string) string {
	s.t.Helper()
	got, out := s.run("", args...)
	require.Equal(s.t, code, got, out)
	require.Contains(s.t, out, contains)
	return out
}

func TestAnOrganizationIsMadeOnTheCommandLine(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	s := newShell(t, db)
	create := []string{"org", "create", "--name", "Acme", "--slug", "acme", "--email", "root@acme.example"}
	code, out := s.run("a long password\r\n", create...)
	require.Equal(t, exitOK, code, out)
	require.Contains(t, out, "acme")
	require.NotContains(t, out, "a long password")
	code, out = s.run("a long password", create...)
	require.Equal(t, exitFailure, code)
	require.Contains(t, out, "another organization has the slug")

	p := runProgram(t, db)
	login := call(testClient(t), http.MethodPost, p.url()+"/api/auth/login", "", map[string]any{"email": "root@acme.example", "password": "a long password"})
	require.Equal(t, http.StatusOK, login.status, bodyText(login))

	s.environ = append(s.environ, adminPasswordVariable+"=root@beta.example")
	for wrong, args := range map[string][]string{
		"the password must not be the e-mail": {"org", "create", "--name", "Beta", "--slug", "beta", "--email", "root@beta.example"},
		"--slug takes":                        {"org", "create", "--name", "Beta", "--slug", "Beta!", "--email", "root@beta.example"},
		"--name takes":                        {"org", "create", "--slug", "beta", "--email", "root@beta.example"},
		"--email takes":                       {"org", "create", "--name", "Beta", "--slug", "beta", "--email", "nobody"},
		"--admin takes":                       {"org", "create", "--name", "Beta", "--slug", "beta", "--email", "root@beta.example", "--admin", " "},
		"unknown argument":                    {"org", "create", "secret"},
		"takes create":                        {"org"},
		"flag provided but not defined":       {"org", "create", "--password", "x"},
	} {
		s.requireRun(exitUsage, wrong, args...)
	}
	s.requireRun(exitOK, adminPasswordVariable, "org", "create", "--help")
}

func TestTheDoctorSaysWhatToDo(t *testing.T) {
	t.Parallel()
	platform := platformOf(t, graphtest.Account{Provider: graphtest.WhatsApp, ID: "7201", Token: "the-real-token", Name: "Acme", Number: "15550100"})
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "clinic", "7201")
	p := runProgram(t, db)
	s := newShell(t, db, "META_GRAPH_URL="+platform.URL(), "AUTH_URL="+p.url())
	out := s.requireRun(exitFailure, "WRONG", "doctor")
	require.Contains(t, out, "channel clinic/7201")
	require.Contains(t, out, "set another access token")

	sealer, err := newSealer(p.cfg)
	require.NoError(t, err)
	token := func(secret string) {
		n.exec(`UPDATE channels SET config = jsonb_build_object('accessToken', $2::text) WHERE id = $1`,
			n.channel, sealer.Seal(n.channel, persistence.FieldAccessToken, secret))
	}
	token("a-dead-token")
	require.NotContains(t, s.requireRun(exitFailure, "WRONG", "doctor"), "a-dead-token")
	token("the-real-token")
	// The seed's own channels point at the simulator's numbers.
	n.exec(`UPDATE channels SET status = 'INACTIVE' WHERE id <> $1`, n.channel)
	out = s.requireRun(exitOK, "Acme", "doctor")
	for _, part := range []string{"database", "schema", "valkey", "clock, database", "clock, graph api", "webhook, whatsapp", "webhook, messenger"} {
		require.Regexp(t, `(?m)^ok +`+part, out)
	}
	require.Contains(t, out, "AUTH_URL", "http is no address for Meta")
	for _, broken := range []struct{ variable, complaint string }{
		{"META_GRAPH_URL=http://127.0.0.1:1", "can't be reached"},
		{"AUTH_URL=http://127.0.0.1:1", "can't be reached"},
		{"WHATSAPP_VERIFY_TOKEN=another", "answers 403"},
		{"VALKEY_URL=redis://127.0.0.1:1", "check VALKEY_URL"},
		{"AUTH_SECRET=another secret, and long enough too", "AUTH_SECRET_PREVIOUS"},
		{"DATABASE_URL=postgres://nobody:hunter2@127.0.0.1:1/none", "check DATABASE_URL"},
	} {
		ill := *s
		ill.environ = append(append([]string{}, s.environ...), broken.variable)
		require.NotContains(t, ill.requireRun(exitFailure, broken.complaint, "doctor"), "hunter2")
	}
	_, err = db.SQL.Exec(`DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
	require.NoError(t, err)
	s.requireRun(exitFailure, "migrate up", "doctor")
	s.requireRun(exitUsage, "unknown argument", "doctor", "house")
	ill := *s
	ill.environ = append(append([]string{}, s.environ...), "PORT=none")
	ill.requireRun(exitUsage, "PORT", "doctor")
}

func TestDeadLettersOnTheCommandLine(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "post", "7301")
	s := newShell(t, db)
	s.requireRun(exitOK, "0 of 0", "dead-letters", "list")

	p := runProgram(t, db)
	payload := webhooktest.WhatsAppText(n.account, webhooktest.Customer{Name: "N", Number: "4932"}, "wamid.cli", "hello", time.Now())
	good := domain.DeadLetter{Organization: n.org, Provider: domain.WhatsApp, Account: n.account, Reason: "panic", Payload: payload, ReceivedAt: time.Now()}
	good.ID = domain.DeadLetterIDFor(good)
	bad := domain.DeadLetter{Provider: domain.WhatsApp, Reason: "malformed", Payload: []byte("{"), ReceivedAt: time.Now()}
	bad.ID = domain.DeadLetterIDFor(bad)
	require.NoError(t, p.store.deadLetters.Keep(t.Context(), []domain.DeadLetter{good, bad}))

	out := s.requireRun(exitOK, "2 of 2", "dead-letters", "list")
	require.Contains(t, out, good.ID.String())
	require.Contains(t, s.requireRun(exitOK, "wamid.cli", "dead-letters", "show", good.ID.String()), "panic")
	s.requireRun(exitOK, "taken", "dead-letters", "replay", good.ID.String())
	require.Equal(t, 1, n.count(`SELECT count(*) FROM messages WHERE provider_message_id = 'wamid.cli'`))
	out = s.requireRun(exitFailure, "refused: malformed", "dead-letters", "replay", bad.ID.String(), good.ID.String())
	require.Contains(t, out, "1 of 2 letters are to be replayed")
	n.exec(`UPDATE webhook_dead_letters SET received_at = now() - interval '31 days' WHERE id = $1`, bad.ID)
	s.requireRun(exitOK, "", "dead-letters", "prune")
	s.requireRun(exitOK, "1 of 1", "dead-letters", "list", "--limit", "1")
	s.requireRun(exitFailure, "not found", "dead-letters", "show", bad.ID.String())
	require.NoError(t, p.close())
	n.exec(`UPDATE webhook_dead_letters SET replayed_at = NULL`)
	s.requireRun(exitFailure, "no server has tried it yet", "dead-letters", "replay", "--wait", "1ms", good.ID.String())

	for _, args := range [][]string{{}, {"burn"}, {"show"}, {"show", "x"}, {"replay"}, {"list", "--limit", "0"}, {"prune", good.ID.String()}} {
		s.requireRun(exitUsage, "chatopshub dead-letters", append([]string{"dead-letters"}, args...)...)
	}
}

func TestSecretsAreSealedAnewOnTheCommandLine(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "rotate", "7401")
	former, err := newSealer(Config{Auth: AuthConfig{Secret: "the former secret, long enough as well"}})
	require.NoError(t, err)
	n.exec(`UPDATE channels SET webhook_secret = $2 WHERE id = $1`, n.channel, former.Seal(n.channel, persistence.FieldWebhookSecret, "an app's secret"))
	s := newShell(t, db)
	s.requireRun(exitFailure, "sealed with another key", "reseal")
	s.environ = append(s.environ, "AUTH_SECRET_PREVIOUS=the former secret, long enough as well")
	s.requireRun(exitOK, "1 channels", "reseal")
	s.requireRun(exitOK, "0 channels", "reseal")
	p := runProgram(t, db) // with the new secret alone
	_, own, ok := p.store.registry.Receiving(domain.WhatsApp, "7401")
	require.True(t, ok)
	require.Equal(t, "an app's secret", string(own))
	s.requireRun(exitUsage, "unknown argument", "reseal", "all")
}
