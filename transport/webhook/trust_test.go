package webhook

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// body names two channels, one element each.
func bodyOf(provider domain.Provider, accounts ...string) []byte {
	entries := ""
	for i, account := range accounts {
		if i > 0 {
			entries += ","
		}
		if provider == domain.Messenger {
			entries += fmt.Sprintf(`{"id":%q,"messaging":[{"sender":{"id":"9"},"recipient":{"id":%q},"timestamp":1795000000000,"message":{"mid":"m%d","text":"to %s"}}]}`, account, account, i, account)
			continue
		}
		entries += fmt.Sprintf(`{"id":"1","changes":[{"field":"messages","value":{"metadata":{"phone_number_id":%q},"messages":[`+
			`{"from":"9","id":"m%d","timestamp":"1795000000","type":"text","text":{"body":"to %s"}}]}}]}`, account, i, account)
	}
	object := "whatsapp_business_account"
	if provider == domain.Messenger {
		object = "page"
	}
	return []byte(`{"object":"` + object + `","entry":[` + entries + `]}`)
}

// TestTrust: what a secret signed is taken for the channels that are bound to
// it, and for no other.
func TestTrust(t *testing.T) {
	t.Parallel()
	env, ours, theirs := appSecret, []byte("the secret of organization 1's own app"), []byte("the secret of organization 2's own app")
	type channel struct {
		account      string
		organization byte
		secret       []byte
	}
	oneApp := []channel{{"100", 1, nil}, {"200", 2, nil}}
	twoApps := []channel{{"100", 1, ours}, {"200", 2, theirs}}
	mixed := []channel{{"100", 1, ours}, {"200", 2, nil}}
	sameOwn := []channel{{"100", 1, ours}, {"200", 2, ours}}
	for name, c := range map[string]struct {
		channels []channel
		env      []byte
		accounts []string
		signed   []byte
		status   int
		taken    []string
		dead     []string // account, reason
	}{
		"one app, its secret":                   {oneApp, env, []string{"100", "200"}, env, 200, []string{"100", "200"}, nil},
		"one app, a stranger's secret":          {oneApp, env, []string{"100"}, ours, 401, nil, nil},
		"two apps, ours about us":               {twoApps, env, []string{"100"}, ours, 200, []string{"100"}, nil},
		"two apps, theirs about us":             {twoApps, env, []string{"100"}, theirs, 401, nil, nil},
		"two apps, theirs about both":           {twoApps, env, []string{"100", "200"}, theirs, 200, []string{"200"}, []string{"100", reasonUntrusted}},
		"two apps, ours about both":             {twoApps, env, []string{"200", "100"}, ours, 200, []string{"100"}, []string{"200", reasonUntrusted}},
		"two apps, the environment's":           {twoApps, env, []string{"100", "200"}, env, 200, nil, []string{"100", reasonUntrusted, "200", reasonUntrusted}},
		"own secret beside the environment's":   {mixed, env, []string{"100", "200"}, ours, 200, []string{"100"}, []string{"200", reasonUntrusted}},
		"the environment's beside an own":       {mixed, env, []string{"100", "200"}, env, 200, []string{"200"}, []string{"100", reasonUntrusted}},
		"two organizations with one own secret": {sameOwn, env, []string{"100", "200"}, ours, 200, []string{"100", "200"}, nil},
		"no secret in the environment":          {oneApp, nil, []string{"100"}, env, 401, nil, nil},
		"an empty secret signs nothing":         {oneApp, nil, []string{"100"}, nil, 401, nil, nil},
		"no environment, own secret":            {mixed, nil, []string{"100", "200"}, ours, 200, []string{"100"}, []string{"200", reasonUntrusted}},
		"unknown channel":                       {oneApp, env, []string{"999", "100"}, env, 200, []string{"100"}, []string{"999", reasonUnknownChannel}},
		"no channel at all":                     {nil, env, []string{"999"}, env, 200, nil, []string{"999", reasonUnknownChannel}},
		"names nothing":                         {twoApps, env, nil, ours, 401, nil, nil},
	} {
		for _, provider := range []domain.Provider{domain.WhatsApp, domain.Messenger} {
			b := newBench(t, func(config *Config) { config.WhatsApp.AppSecret, config.Messenger.AppSecret = c.env, c.env })
			for _, ch := range c.channels {
				b.channels.add(provider, ch.account, ch.organization, ch.secret)
			}
			require.Equal(t, c.status, b.post(provider, bodyOf(provider, c.accounts...), c.signed).Code, name)
			var taken, dead []string
			for _, d := range b.got {
				require.Equal(t, d.Element.Account, d.Channel.ExternalID)
				taken = append(taken, d.Element.Account)
			}
			for _, l := range b.letters {
				require.True(t, l.Organization.IsZero(), "%s: no organization sees what it can't trust", name)
				dead = append(dead, l.Account, l.Reason)
			}
			require.Equal(t, c.taken, taken, name)
			require.Equal(t, c.dead, dead, name)
		}
	}
}

// TestABrokenElementOfAnothersChannelIsNotShownToIt: a tenant must not be able
// to put dead letters into another organization's list.
func TestABrokenElementOfAnothersChannelIsNotShownToIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	own := b.channels.add(domain.WhatsApp, "100", 1, []byte("one"))
	b.channels.add(domain.WhatsApp, "200", 2, []byte("two"))
	body := []byte(`{"object":"whatsapp_business_account","entry":[{"changes":[` +
		`{"field":"messages","value":{"metadata":{"phone_number_id":"100"},"messages":[{}]}},` +
		`{"field":"messages","value":{"metadata":{"phone_number_id":"200"},"messages":[{}]}},` +
		`{"field":"unheard of","value":{"metadata":{"phone_number_id":"200"}}}]}]}`)
	require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, body, []byte("one")).Code)
	require.Equal(t, []string{reasonNoSender, reasonNoSender, reasonUnknownField}, b.reasons())
	require.Equal(t, own.Organization, b.letters[0].Organization)
	require.True(t, b.letters[1].Organization.IsZero())
	require.True(t, b.letters[2].Organization.IsZero())
}

// TestManySecretsDontHideTheRightOne: a scan is bounded, and the environment's
// secret is tried whatever it found.
func TestManySecretsDontHideTheRightOne(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var accounts []string
	for i := range 100 {
		account := fmt.Sprint(i)
		accounts = append(accounts, account)
		b.channels.add(domain.WhatsApp, account, 1, []byte("own "+account))
	}
	b.channels.add(domain.WhatsApp, "last", 2, nil)
	body := bodyOf(domain.WhatsApp, append(accounts, "last")...)
	require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, body, appSecret).Code)
	require.Len(t, b.got, 1)
	require.Equal(t, http.StatusOK, b.post(domain.WhatsApp, body, []byte("own 15")).Code)
	require.Equal(t, http.StatusUnauthorized, b.post(domain.WhatsApp, body, []byte("own 16")).Code, "over the bound")
}

func TestScan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		path []string
		want []string
	}{
		"WhatsApp":             {string(bodyOf(domain.WhatsApp, "1", "2", "1")), pathWhatsApp, []string{"1", "2"}},
		"Messenger":            {string(bodyOf(domain.Messenger, "1", "2", "1")), pathMessenger, []string{"1", "2"}},
		"numbers":              {`{"entry":[{"id":123},{"id": -7 }]}`, pathMessenger, []string{"123", "-7"}},
		"spaces":               {"{ \"entry\" :\n[ { \"id\"\t:\r\n\"1\" } ] }", pathMessenger, []string{"1"}},
		"another's id":         {`{"id":"0","entry":[{"messaging":[{"id":"1"}],"x":{"id":"2"},"id":"3"}],"y":{"entry":{"id":"4"}}}`, pathMessenger, []string{"3"}},
		"a key as value":       {`{"entry":["id","entry",{"x":"id","id":"1"}]}`, pathMessenger, []string{"1"}},
		"in a string":          {`{"entry":[{"x":"\",\"id\":\"9\"","id":"1"}]}`, pathMessenger, []string{"1"}},
		"no id":                {`{"entry":[{"id":null},{"id":{}},{"id":[]},{"id":""},{"id":true}]}`, pathMessenger, nil},
		"broken":               {`{"entry":[{"id":"1"},{"id":"2`, pathMessenger, []string{"1"}},
		"brackets":             {`]]}}{"entry":[{"id":"1"}]}`, pathMessenger, []string{"1"}},
		"too long":             {`{"entry":[{"id":"` + string(make([]byte, scanLength+1)) + `"}]}`, pathMessenger, nil},
		"missing intermediate": {`{"entry":[{"value":{"metadata":{"phone_number_id":"1"}}}]}`, pathWhatsApp, nil},
	} {
		require.Equal(t, c.want, scan([]byte(c.body), c.path), name)
	}
}

// TestScanFindsEveryAccountOfTheFixtures compares the scan with the decoder.
func TestScanFindsEveryAccountOfTheFixtures(t *testing.T) {
	t.Parallel()
	for prefix, path := range map[string][]string{"whatsapp_": pathWhatsApp, "messenger_": pathMessenger} {
		provider := map[string]domain.Provider{"whatsapp_": domain.WhatsApp, "messenger_": domain.Messenger}[prefix]
		for _, name := range fixtures(t, prefix) {
			found := scan(fixture(t, name), path)
			for _, p := range parse(provider, fixture(t, name)) {
				if p.Account != "" {
					require.Contains(t, found, p.Account, name)
				}
			}
		}
	}
}
