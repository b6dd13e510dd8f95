package graphtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// told has what webhooks say about messages, in the order in which they came.
func told(t *testing.T, in *inbox) []string {
	t.Helper()
	var said []string
	for _, body := range in.taken(t) {
		value, event := at(body, "entry", 0, "changes", 0, "value"), at(body, "entry", 0, "messaging", 0)
		switch {
		case at(value, "statuses") != nil:
			said = append(said, fmt.Sprint(at(value, "statuses", 0, "status"), " ", at(value, "statuses", 0, "biz_opaque_callback_data")))
		case at(value, "messages") != nil:
			said = append(said, fmt.Sprint("text ", at(value, "messages", 0, "text", "body")))
		case at(event, "message", "is_echo") == true:
			said = append(said, fmt.Sprint("echo ", at(event, "message", "metadata")))
		case at(event, "message") != nil:
			said = append(said, fmt.Sprint("text ", at(event, "message", "text")))
		case at(event, "delivery") != nil:
			said = append(said, "delivery")
		case at(event, "read") != nil:
			said = append(said, "read")
		}
	}
	return said
}

func both(url string) map[Provider]string { return map[Provider]string{WhatsApp: url, Messenger: url} }

func TestCustomersReadAndAnswer(t *testing.T) {
	t.Parallel()
	in := newInbox(t, 0)
	s := start(t, Config{AppSecret: secret, Webhooks: both(in.URL), Habits: Habits{
		Reads: 1, Delay: [2]time.Duration{10 * time.Millisecond, 20 * time.Millisecond},
		Answers: func(m Taken) []string { return []string{"thanks for " + m.Text + " 🙏 / ü"} },
	}})
	_, err := s.Write(number, Customer{Name: "Dana", Number: "15550100177", UserID: "US.1"}, "hello")
	require.NoError(t, err)
	require.NoError(t, s.Drain(t.Context()))
	s.sendText(t, "15550100177", "that", "r1")
	require.NoError(t, s.Drain(t.Context()))
	s.sendPageText(t, "7412589630147852", "this", "r2")
	require.NoError(t, s.Drain(t.Context()))
	require.Equal(t, []string{
		"text hello", "sent r1", "delivered r1", "read r1", "text thanks for that 🙏 / ü",
		"echo r2", "delivery", "read", "text thanks for this 🙏 / ü",
	}, told(t, in))

	bodies, m := in.taken(t), s.Taken()
	require.Equal(t, "US.1", at(bodies[0], "entry", 0, "changes", 0, "value", "contacts", 0, "user_id"))
	status := at(bodies[1], "entry", 0, "changes", 0, "value", "statuses", 0)
	require.Equal(t, m[0].ID, at(status, "id"))
	require.Equal(t, "15550100177", at(status, "recipient_id"))
	require.Equal(t, "US.1", at(status, "recipient_user_id"))
	require.Equal(t, number, at(bodies[1], "entry", 0, "changes", 0, "value", "metadata", "phone_number_id"))
	require.Equal(t, "US.1", at(bodies[4], "entry", 0, "changes", 0, "value", "messages", 0, "from_user_id"))
	echo := at(bodies[5], "entry", 0, "messaging", 0)
	require.Equal(t, m[1].ID, at(echo, "message", "mid"))
	require.Equal(t, page, at(echo, "sender", "id"))
	require.EqualValues(t, m[1].At.UnixMilli(), at(echo, "timestamp"))
	require.EqualValues(t, 1517776481860111, at(echo, "message", "app_id"))
	require.Equal(t, m[1].ID, at(bodies[6], "entry", 0, "messaging", 0, "delivery", "mids", 0))
	require.EqualValues(t, m[1].At.UnixMilli(), at(bodies[7], "entry", 0, "messaging", 0, "read", "watermark"))
	require.Equal(t, "7412589630147852", at(bodies[8], "entry", 0, "messaging", 0, "sender", "id"))
}

func TestWebhooksComeUntilTheyAreTaken(t *testing.T) {
	t.Parallel()
	in := newInbox(t, 5)
	s := start(t, Config{AppSecret: secret, Webhooks: both(in.URL), Retry: time.Millisecond})
	_, err := s.Write(page, Customer{Name: "Dana", PSID: "7"}, "hello")
	require.NoError(t, err)
	require.NoError(t, s.Drain(t.Context()))
	require.Equal(t, []string{"text hello"}, told(t, in))
	_, err = s.Write("unknown", Customer{}, "x")
	require.Error(t, err)
}

func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Webhooks: both("http://127.0.0.1:1"), Retry: time.Millisecond})
	_, err := s.Write(page, Customer{PSID: "7"}, "hello")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Drain(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, s.AwaitTaken(ctx, 1), context.DeadlineExceeded)
}

func TestAReportOvertakesTheAnswer(t *testing.T) {
	t.Parallel()
	in := newInbox(t, 0)
	s := start(t, Config{AppSecret: secret, Webhooks: both(in.URL), Habits: Habits{
		Overtake: true, Delivers: 1, Delay: [2]time.Duration{time.Hour, time.Hour},
	}})
	s.sendText(t, "1", "x", "r")
	require.Equal(t, []string{"sent r"}, told(t, in))
	s.sendPageText(t, "2", "x", "m")
	require.Equal(t, []string{"sent r", "echo m"}, told(t, in))
}

func TestReportsFailRepeatAndComeInAnyOrder(t *testing.T) {
	t.Parallel()
	in := newInbox(t, 0)
	s := start(t, Config{Seed: 3, AppSecret: secret, Webhooks: both(in.URL), Habits: Habits{
		Reads: 1, Repeats: 2, Disorder: true, Delay: [2]time.Duration{5 * time.Millisecond, 5 * time.Millisecond},
		Fails: func(m Taken) int {
			if m.Text == "fail" {
				return 131047
			}
			return 0
		},
	}})
	for i := range 6 {
		s.sendText(t, fmt.Sprint(i), "x", fmt.Sprint(i))
		require.NoError(t, s.Drain(t.Context()))
	}
	count, disorderly := map[string]int{}, false
	for i, said := range told(t, in) {
		count[said]++
		disorderly = disorderly || i%9 == 0 && said[:4] != "sent"
	}
	require.Len(t, count, 18)
	for said, n := range count {
		require.Equal(t, 3, n, said)
	}
	require.True(t, disorderly)

	s.sendText(t, "9", "fail", "f")
	require.NoError(t, s.Drain(t.Context()))
	bodies := in.taken(t)
	failed := 0
	for _, body := range bodies[54:] {
		if at(body, "entry", 0, "changes", 0, "value", "statuses", 0, "errors", 0, "code") == 131047.0 {
			failed++
		}
	}
	require.Equal(t, 3, failed)
}

// TestOnlyAShareReads keeps the habits of a phone that is off, and of most.
func TestOnlyAShareReads(t *testing.T) {
	t.Parallel()
	s := &Server{cfg: Config{Seed: 5, Habits: Habits{Delivers: 0.8, Reads: 0.5}}, accounts: map[string]*account{number: {}}}
	reports := map[int]int{}
	for i := range 1000 {
		m := Taken{Provider: WhatsApp, Account: number, Recipient: fmt.Sprint(i), Nth: 1, Type: "text"}
		reports[len(s.reports(m, chance(5, m.Recipient, 1)))]++
	}
	require.InDelta(t, 200, reports[1], 60, "not even delivered")
	require.InDelta(t, 300, reports[2], 60)
	require.InDelta(t, 500, reports[3], 60)
	reaction := Taken{Provider: WhatsApp, Account: number, Recipient: "1", Type: "reaction"}
	require.Len(t, s.reports(reaction, chance(1, "1", 1)), 1)
}

func TestFilesOfCustomers(t *testing.T) {
	t.Parallel()
	in := newInbox(t, 0)
	s := start(t, Config{AppSecret: secret, Webhooks: both(in.URL)})
	photo := s.PutMedia(number, "image/jpeg", "", []byte("jpeg"))
	_, err := s.WriteFile(number, Customer{Number: "1"}, "image", photo)
	require.NoError(t, err)
	require.NoError(t, s.Drain(t.Context()))
	voice := s.PutMedia(page, "audio/mp4", "", []byte("m4a"))
	_, err = s.WriteFile(page, Customer{PSID: "2"}, "audio", voice)
	require.NoError(t, err)
	require.NoError(t, s.Drain(t.Context()))
	bodies := in.taken(t)
	require.Equal(t, photo, at(bodies[0], "entry", 0, "changes", 0, "value", "messages", 0, "image", "id"))
	require.Contains(t, at(bodies[1], "entry", 0, "messaging", 0, "message", "attachments", 0, "payload", "url"), s.URL())
}

func TestABacklogRefusesMessages(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Webhooks: both("http://127.0.0.1:1"), Retry: time.Hour, Backlog: 1})
	for i := range 3 {
		status, _ := s.sendText(t, fmt.Sprint(i), "x", "")
		require.Equal(t, []int{200, 200, 503}[i], status)
	}
	_, err := s.Write(number, Customer{Number: "1"}, "x")
	require.ErrorContains(t, err, "wait")
}
