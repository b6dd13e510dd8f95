package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	type holder struct {
		Value  Secret
		Hidden *Secret
	}
	secret := Secret("hunter2")
	h := holder{Value: secret, Hidden: &secret}

	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%08.3f"} {
		fmt.Fprintf(&shown, verb+"\n", secret)
		fmt.Fprintf(&shown, verb+"\n", h)
	}
	fmt.Fprintln(&shown, fmt.Errorf("connect to %s", secret), secret.String(), h)
	encoded, err := json.Marshal(map[string]holder{"key": h})
	require.NoError(t, err)
	shown.Write(encoded)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("start", "secret", secret, "config", h)
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("start", "secret", secret, "config", h)

	require.Contains(t, shown.String(), "••••")
	require.NotContains(t, shown.String(), "hunter2")
	require.NotContains(t, shown.String(), fmt.Sprintf("%x", "hunter2"))
	require.Equal(t, "hunter2", string(secret))
}

func TestKeepSecretsMakesEachOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, _, err := loadConfig([]string{"DATA_DIR=" + dir, "WHATSAPP_APP_SECRET=my own"}, noDotenv(t))
	require.NoError(t, err)
	kept, err := first.keepSecrets()
	require.NoError(t, err)

	variables := map[string]Secret{}
	for _, k := range kept {
		variables[k.Variable] = k.Value
		require.GreaterOrEqual(t, len(k.Value), 32)
		info, err := os.Stat(k.File)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), "%s is its owner's alone", k.File)
	}
	require.Equal(t, map[string]Secret{
		"AUTH_SECRET": first.Auth.Secret, "WHATSAPP_VERIFY_TOKEN": first.Meta.WhatsApp.VerifyToken,
		"MESSENGER_VERIFY_TOKEN": first.Meta.Messenger.VerifyToken, "MESSENGER_APP_SECRET": first.Meta.Messenger.AppSecret,
	}, variables)
	require.Equal(t, Secret("my own"), first.Meta.WhatsApp.AppSecret, "what is set stays")
	require.FileExists(t, filepath.Join(dir, "secret"))

	second, _, err := loadConfig([]string{"DATA_DIR=" + dir, "WHATSAPP_APP_SECRET=my own"}, noDotenv(t))
	require.NoError(t, err)
	again, err := second.keepSecrets()
	require.NoError(t, err)
	require.Equal(t, kept, again, "the next start finds them")
	require.Equal(t, first, second)

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, len(kept), "nothing else is left behind")
}

// Two servers, or a server and the simulator, started at the same moment must
// end up with the same secrets.
func TestKeepSecretsAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	got := make([]Secret, 16)
	errs := make([]error, len(got))
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], errs[i] = keepSecret(path) })
	}
	wg.Wait()
	for i := range got {
		require.NoError(t, errs[i])
		require.Equal(t, string(got[0]), string(got[i]))
	}
}

func TestKeepSecretsRefusesASpoiledFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(path, []byte("hunter2\n"), 0o600))
	cfg := Config{Env: Development, DataDir: dir}
	_, err := cfg.keepSecrets()
	require.EqualError(t, err, "keep a secret for AUTH_SECRET: "+path+": holds 7 bytes, takes at least 32; delete it to have one made")
}

func TestKeepSecretsWithoutAFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	cfg := Config{Env: Development, DataDir: file}
	_, err := cfg.keepSecrets()
	require.ErrorContains(t, err, "keep a secret for AUTH_SECRET")
}
