package domain_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestAnAccessTokenShowsNowhere(t *testing.T) {
	t.Parallel()
	c := domain.Credentials{Token: "EAAG-very-secret"}
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&shown, verb+verb+verb, c, &c, c.Token)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&shown, nil), slog.NewJSONHandler(&shown, nil)} {
		slog.New(handler).Info("shown", "credentials", c, "token", c.Token)
	}
	require.NoError(t, json.NewEncoder(&shown).Encode(c))
	require.NotContains(t, shown.String(), "secret")
	require.NotContains(t, shown.String(), fmt.Sprintf("%x", "secret"))
	require.Contains(t, shown.String(), "[hidden]")
	require.Equal(t, "EAAG-very-secret", string(c.Token))
}
