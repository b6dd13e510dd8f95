package graphtest

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMessagesAreTakenInOrder(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for i := range 5 {
		status, answer := s.sendText(t, "15550100177", fmt.Sprint("text ", i), fmt.Sprint("ref ", i))
		require.Equal(t, 200, status)
		require.Equal(t, "15550100177", at(answer, "contacts", 0, "wa_id"))
		status, _ = s.sendPageText(t, "7412589630147852", fmt.Sprint("page ", i), "")
		require.Equal(t, 200, status)
	}
	got := s.TakenBy("15550100177")
	require.Len(t, got, 5)
	for i, m := range got {
		require.Equal(t, fmt.Sprint("text ", i), m.Text)
		require.Equal(t, fmt.Sprint("ref ", i), m.Reference)
		require.Equal(t, i+1, m.Nth)
		require.Contains(t, m.ID, "wamid.")
	}
	require.Len(t, s.Taken(), 10)
	require.Len(t, s.Calls(), 10)
	require.NoError(t, s.AwaitTaken(t.Context(), 10))
}

func TestBadMessagesAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	whatsApp, messenger := s.URL()+"/v25.0/"+number+"/messages", s.URL()+"/v25.0/"+page+"/messages"
	for _, c := range []struct {
		url, token, body string
		status, code     int
	}{
		{whatsApp, "wrong", `{}`, 401, 190},
		{whatsApp, "page token", `{}`, 400, 100},
		{whatsApp, "number token", `{`, 400, 100},
		{whatsApp, "number token", `{}`, 400, 131008},
		{whatsApp, "number token", `{"messaging_product":"whatsapp","to":"+1","type":"poll","poll":{}}`, 400, 131051},
		{whatsApp, "number token", `{"messaging_product":"whatsapp","to":"+1","type":"text"}`, 400, 131008},
		{whatsApp, "number token", `{"messaging_product":"whatsapp","to":"+1","type":"text","text":{"body":""}}`, 400, 131008},
		{whatsApp, "number token", `{"messaging_product":"whatsapp","type":"text","text":{"body":"x"}}`, 400, 131008},
		{whatsApp, "number token", `{"messaging_product":"whatsapp","to":"+15550100123","type":"text","text":{"body":"x"}}`, 400, 131021},
		{whatsApp, "number token", `{"messaging_product":"whatsapp","to":"+1","type":"image","image":{"id":"7"}}`, 400, 131009},
		{messenger, "page token", `{"message":{"text":"x"}}`, 400, 100},
		{messenger, "page token", `{"recipient":{"id":"7"},"message":{"text":"x"}}`, 400, 100},
		{messenger, "page token", `{"recipient":{"id":"7"},"messaging_type":"RESPONSE","message":{}}`, 400, 100},
		{messenger, "page token", `{"recipient":{"id":"7"},"messaging_type":"MESSAGE_TAG","tag":"ACCOUNT_UPDATE","message":{"text":"x"}}`, 400, 100},
		{messenger, "page token", `{"recipient":{"id":"7"},"messaging_type":"RESPONSE","message":{"text":"x","attachment":{"type":"image"}}}`, 400, 100},
	} {
		status, answer := exchange(t, "POST", c.url, c.token, c.body)
		require.Equal(t, c.status, status, c.body)
		require.Equal(t, c.code, code(t, answer), c.body)
	}
	require.Empty(t, s.Taken())
	status, answer := exchange(t, "GET", s.URL()+"/v25.0/"+number+"?appsecret_proof=wrong", "number token", "")
	require.Equal(t, 200, status, "without a secret of ours no proof can be checked: %v", answer)
	proving := start(t, Config{AppSecret: secret})
	_, answer = exchange(t, "GET", proving.URL()+"/v25.0/"+number+"?appsecret_proof=wrong", "number token", "")
	require.Equal(t, 100, code(t, answer))
}

func TestFaultsByPlan(t *testing.T) {
	t.Parallel()
	limited := Refuse(130429, 0)
	limited.Error.Status, limited.Error.RetryAfter = 429, "2"
	s := start(t, Config{Plan: Attempts(Dropped, Broken, Fault{Page: "<html>", Status: 503}, limited, Refuse(190, 463))})
	for _, want := range []int{0, 0, 503, 429, 401, 200} {
		status, _ := s.sendText(t, "1", "x", "")
		require.Equal(t, want, status)
	}
	require.Len(t, s.TakenBy("1"), 2, "the dropped one and the last")
	require.Len(t, s.Calls(), 6)
}

func TestTheSameSeedHitsTheSameMessages(t *testing.T) {
	t.Parallel()
	const share = 0.2
	hits := func(seed uint64) map[string]bool {
		hit := map[string]bool{}
		plan := Share(seed, share, Dropped)
		for recipient := range 50 {
			for nth := range 20 {
				c := Call{Kind: KindMessage, Recipient: fmt.Sprint(recipient), Nth: nth + 1}
				if plan(c).Cut {
					hit[fmt.Sprint(recipient, "/", nth)] = true
				}
			}
		}
		return hit
	}
	first, again := hits(1), hits(1)
	require.Equal(t, first, again)
	require.NotEqual(t, first, hits(2))
	require.InDelta(t, share*1000, len(first), 60)
	require.Zero(t, Share(1, 1, Dropped)(Call{Kind: KindOther}))

	ids := func() []string {
		s := start(t, Config{Seed: 7})
		for i := range 3 {
			s.sendText(t, "1", fmt.Sprint(i), "")
		}
		var ids []string
		for _, m := range s.Taken() {
			ids = append(ids, m.ID)
		}
		return ids
	}
	one, two := ids(), ids()
	require.Len(t, one, 3)
	require.Equal(t, one, two)
}

func TestThroughputIsNeverExceeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the clock is the bubble's
		a := &account{Account: Account{Provider: WhatsApp, PerSecond: 5}}
		var taken []time.Time
		for range 400 { // 10 s at 40/s
			if now := time.Now(); a.limited("1", now) == nil {
				taken = append(taken, now)
			}
			<-time.After(25 * time.Millisecond)
		}
		require.Len(t, taken, 50)
		for i := 5; i < len(taken); i++ {
			require.GreaterOrEqual(t, taken[i].Sub(taken[i-5]), time.Second)
		}
		m := &account{Account: Account{Provider: Messenger, PerSecond: 1}}
		require.Nil(t, m.limited("1", time.Now()))
		require.Equal(t, 613, m.limited("1", time.Now()).Code)
	})
}

func TestPairLimit(t *testing.T) {
	t.Parallel()
	a := &account{Account: Account{Provider: WhatsApp, PairLimit: true}, pairs: map[string]pairBucket{}}
	now := time.Unix(1795000000, 0)
	for range pairBurst {
		require.Nil(t, a.limited("1", now))
	}
	require.Equal(t, 131056, a.limited("1", now).Code)
	require.Nil(t, a.limited("2", now), "another customer isn't touched")
	require.NotNil(t, a.limited("1", now.Add(5900*time.Millisecond)))
	require.Nil(t, a.limited("1", now.Add(6*time.Second)))
	require.NotNil(t, a.limited("1", now.Add(7*time.Second)))
}

func TestLimitsOverHTTP(t *testing.T) {
	t.Parallel()
	limited := accounts()
	limited[0].PerSecond = 3
	s := start(t, Config{Accounts: limited})
	var calls sync.WaitGroup
	for i := range 20 {
		calls.Go(func() { s.sendText(t, fmt.Sprint(i), "x", "") })
	}
	calls.Wait()
	require.Len(t, s.Calls(), 20)
	for i, m := range s.Taken()[3:] {
		require.GreaterOrEqual(t, m.At.Sub(s.Taken()[i].At), time.Second)
	}
	require.GreaterOrEqual(t, s.Peak(number), 3)
	require.Zero(t, s.Peak(page))
}

func TestRememberedWithinBounds(t *testing.T) {
	t.Parallel()
	r := ring[int]{most: 10}
	for i := range 1000 {
		r.add(i)
		require.LessOrEqual(t, len(r.values), 14)
	}
	require.Equal(t, 999, r.values[len(r.values)-1])
	require.GreaterOrEqual(t, len(r.values), 10)
	require.Equal(t, 1000, r.forgotten+len(r.values))

	fs := newFiles()
	big := make([]byte, maxFiles/2)
	for _, id := range []string{"a", "b", "c"} {
		fs.add(id, file{data: big})
	}
	require.Len(t, fs.byID, 2)
	require.NotContains(t, fs.byID, "a")
	require.Equal(t, []string{"b", "c"}, fs.order)
}

func TestMediaEndpoints(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	id := s.PutMedia(number, "image/png", "", []byte("data"))
	status, answer := exchange(t, "GET", s.URL()+"/v25.0/"+id, "number token", "")
	require.Equal(t, 200, status)
	status, file := exchange(t, "GET", answer["url"].(string), "number token", "")
	require.Equal(t, 200, status)
	require.Equal(t, "data", file["raw"])
	status, _ = exchange(t, "GET", answer["url"].(string), "", "")
	require.Equal(t, 401, status)
	status, _ = exchange(t, "GET", answer["url"].(string), "page token", "")
	require.Equal(t, 404, status, "another account's file")
	status, _ = exchange(t, "GET", s.URL()+"/media/file/"+id+"/1", "number token", "")
	require.Equal(t, 404, status, "expired")
	status, _ = exchange(t, "DELETE", s.URL()+"/v25.0/"+id, "page token", "")
	require.Equal(t, 400, status)
	status, _ = exchange(t, "DELETE", s.URL()+"/v25.0/"+id, "number token", "")
	require.Equal(t, 200, status)
	_, answer = exchange(t, "GET", s.URL()+"/v25.0/"+id, "number token", "")
	require.Equal(t, 100, code(t, answer))
	_, answer = exchange(t, "POST", s.URL()+"/v25.0/"+number+"/media", "number token", "no form")
	require.Equal(t, 100, code(t, answer))
}

func TestCloseEndsWhatHangs(t *testing.T) {
	t.Parallel()
	s := start(t, Config{
		AppSecret: secret, Retry: time.Hour, Webhooks: map[Provider]string{WhatsApp: "http://127.0.0.1:1"},
		Plan: Messages(func(Call) Fault { return Fault{Delay: time.Hour} }),
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.sendText(t, "1", "x", "")
	}()
	require.NoError(t, s.AwaitTaken(t.Context(), 1))
	s.Close()
	s.Close()
	<-done
	_, err := Start(Config{Accounts: []Account{{Provider: WhatsApp, ID: "1"}}})
	require.ErrorContains(t, err, "token")
	_, err = Start(Config{Addr: "nowhere:x"})
	require.Error(t, err)
}
