package socket_test

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/transport/socket"
)

// TestConformance runs the conformance suite, all of it, with the unmodified
// socket.io-client: polling, upgrade, WebSocket, recovery. CONFORMANCE_DIR names
// another folder where the suite is installed.
func TestConformance(t *testing.T) {
	t.Parallel()
	dir := cmp.Or(os.Getenv("CONFORMANCE_DIR"), filepath.Join("testdata", "conformance"))
	require.DirExists(t, filepath.Join(dir, "node_modules"), "the suite's packages are missing: run `npm ci` in %s, or `make test`", dir)
	b := startRecovering(t, func(c *socket.Config) {
		c.PingInterval, c.PingTimeout, c.ConnectTimeout, c.UpgradeTimeout = 4*time.Second, 3*time.Second, 6*time.Second, 5*time.Second
		c.Origins = []string{"http://app.example"}
	})
	b.tokens.add("good", principal(newOrganization()))
	suite := exec.CommandContext(t.Context(), "node", "run.mjs")
	suite.Dir = dir
	suite.Env = append(os.Environ(), "BASE_URL="+b.url, "TOKEN=good", "BAD_TOKEN=bad", "CORS_ORIGIN=http://app.example",
		"STRICT_ORIGIN=1", "CONNECT_TIMEOUT_MS=6000", "UPGRADE_TIMEOUT_MS=5000")
	out, err := suite.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out[max(0, len(out)-400):])
}
