package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// mask stands for a secret wherever one is shown.
const mask = "••••"

// Secret is text that must not be seen: formatted, logged or encoded as a value
// it is "••••". string(s) is the text itself, for the one place that needs it.
// A struct keeps it in an exported field: fmt doesn't ask unexported ones how
// they want to be shown.
type Secret string

// String is the mask.
func (Secret) String() string { return mask }

// Format writes the mask for every verb. Without it %d or %#v would go past
// String.
func (Secret) Format(w fmt.State, _ rune) {
	_, _ = io.WriteString(w, mask) // a Formatter has nobody to tell
}

// LogValue is the mask.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText is the mask, for JSON and every other encoder.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// keptSecret is one that the server made up for itself.
type keptSecret struct {
	Variable string // the variable that would set it
	Value    Secret
	File     string // where it is kept
}

// keepSecrets fills in the secrets that a development server needs and nobody
// has set: each is made once and kept in a file of c.DataDir that only its
// owner can read. It returns them for the start message. In production it does
// nothing: there no secret is ever made up.
func (c *Config) keepSecrets() ([]keptSecret, error) {
	if c.Env == Production {
		return nil, nil
	}
	var kept []keptSecret
	for _, s := range []struct {
		variable, file string
		value          *Secret
	}{
		{"AUTH_SECRET", "secret", &c.Auth.Secret},
		{"WHATSAPP_VERIFY_TOKEN", "whatsapp_verify_token", &c.Meta.WhatsApp.VerifyToken},
		{"WHATSAPP_APP_SECRET", "whatsapp_app_secret", &c.Meta.WhatsApp.AppSecret},
		{"MESSENGER_VERIFY_TOKEN", "messenger_verify_token", &c.Meta.Messenger.VerifyToken},
		{"MESSENGER_APP_SECRET", "messenger_app_secret", &c.Meta.Messenger.AppSecret},
	} {
		if *s.value != "" {
			continue
		}
		path := filepath.Join(c.DataDir, s.file)
		value, err := keepSecret(path)
		if err != nil {
			return nil, fmt.Errorf("keep a secret for %s: %w", s.variable, err)
		}
		*s.value = value
		kept = append(kept, keptSecret{Variable: s.variable, Value: value, File: path})
	}
	return kept, nil
}

// keepSecret reads the secret in path, or makes one and writes it there.
func keepSecret(path string) (Secret, error) {
	secret, err := readKept(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // the embedded PostgreSQL's user passes through
		return "", err
	}
	if err := writeKept(path); err != nil {
		return "", err
	}
	return readKept(path) // ours, or that of another process that was faster
}

func readKept(path string) (Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < minAuthSecret {
		return "", fmt.Errorf("%s: holds %d bytes, takes at least %d; delete it to have one made", path, len(secret), minAuthSecret)
	}
	return Secret(secret), nil
}

// writeKept puts a new secret into path unless something is there already. The
// file appears whole or not at all, so a crash can't leave half a secret.
func writeKept(path string) error {
	random := make([]byte, minAuthSecret)
	rand.Read(random)                                             // crypto/rand never fails: it ends the process instead
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-secret") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(base64.RawURLEncoding.EncodeToString(random) + "\n")
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes names in a folder survive a power cut: what AUTH_SECRET has
// sealed is lost together with it.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
