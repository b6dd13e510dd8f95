package graph

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chatopshub/chatopshub/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	phoneNumberID = "108765432109876"
	pageID        = "104512345678901"
	customerPSID  = "7412589630147852"
	customerWamid = "wamid.HBgLMTU1NTAxMDAxNzcVAgASGBQzQTYyOEI0OUQ5NkRDREU5N0E0MwA="
	customerMid   = "m_AVNy8zpz2ZJs8yiTt7Ogu-OYDJMZ9oaP38RSZ58qWDoHFi3_8w3-_S3SZi-iZY2yH2nJvmGiJ1YHnczEDBkpaQ"
)

var (
	phone = domain.Alias{Kind: domain.AliasNumber, Value: "15550100177"}
	bsuid = domain.Alias{Kind: domain.AliasUserID, Value: "US.13491208655302741918"}
	psid  = domain.Alias{Kind: domain.AliasPSID, Value: customerPSID}
)

func whatsAppAccount() Account {
	return Account{Provider: domain.WhatsApp, ID: phoneNumberID, Token: "EAAwhatsapptoken", AppSecret: "appsecretofwhatsapp"}
}

func messengerAccount() Account {
	return Account{Provider: domain.Messenger, ID: pageID, Token: "EAApagetoken", AppSecret: "appsecretofmessenger"}
}

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}

func encode(t *testing.T, v any) string {
	t.Helper()
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	return string(encoded)
}

// callError is what every failed call ends with.
func callError(t *testing.T, err error) *domain.CallError {
	t.Helper()
	failed := new(domain.CallError)
	require.ErrorAs(t, err, &failed)
	return failed
}
