package embedded

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestPostgresRuns(t *testing.T) {
	t.Parallel()
	for name, binDir := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t.TempDir())
			cfg.BinDir = binDir
			cfg.Unsafe = false
			cfg.Settings = map[string]string{"max_connections": "17"}
			postgres := begin(t, cfg)
			for setting, want := range map[string]string{
				"server_encoding":         "UTF8",
				"fsync":                   "on",
				"synchronous_commit":      "on",
				"full_page_writes":        "on",
				"listen_addresses":        "127.0.0.1",
				"unix_socket_directories": "",
				"TimeZone":                "UTC",
				"max_connections":         "17",
			} {
				require.Equal(t, want, query[string](t, postgres.URL(), "SHOW "+setting), setting)
			}
			require.Equal(t, "äöü жук", query[string](t, postgres.URL(), "SELECT lower('ÄÖÜ ЖУК')"))
			require.True(t, query[bool](t, postgres.URL(), "SELECT 'Z' < 'a'"), "ordered by code point")
			requireClosedToOthers(t, cfg.DataDir, postgres)
			requireApartFromOurTerminal(t, cfg.DataDir)
		})
	}
}

func requireClosedToOthers(t *testing.T, folder string, postgres *Postgres) {
	t.Helper()
	for name, want := range map[string]os.FileMode{"password": 0o600, "lock": 0o600, "cluster": 0o700, "cluster/data": 0o700} {
		info, err := os.Stat(filepath.Join(folder, name))
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), name)
	}
	password, err := os.ReadFile(filepath.Join(folder, "password"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(password), 26)
	require.NotContains(t, strings.Join(postgres.settings, " "), strings.TrimSpace(string(password)), "all can see arguments")

	stranger, err := pgx.ParseConfig(postgres.URL())
	require.NoError(t, err)
	stranger.Password = "guess"
	_, err = pgx.ConnectConfig(t.Context(), stranger)
	require.ErrorContains(t, err, invalidPassword)
}

// requireApartFromOurTerminal: Ctrl-C goes to the terminal's process group.
func requireApartFromOurTerminal(t *testing.T, folder string) {
	t.Helper()
	pid, err := readPostmaster(filepath.Join(folder, "cluster", "data"), pidLine)
	require.NoError(t, err)
	group, err := syscall.Getpgid(pid)
	require.NoError(t, err)
	require.Equal(t, pid, group)
}

func TestRestartKeepsDataAndPort(t *testing.T) {
	t.Parallel()
	for name, binDir := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t.TempDir())
			cfg.BinDir = binDir
			postgres := begin(t, cfg)
			execute(t, postgres.URL(), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)")
			cfg.Port = postgres.Port()
			for _, end := range []func() error{
				func() error { return postgres.Stop(t.Context()) },
				func() error { return postgres.Kill() },
			} {
				require.NoError(t, end())
				require.False(t, reachable(t.Context(), postgres.URL()))
				again := begin(t, cfg)
				require.Equal(t, postgres.URL(), again.URL())
				require.Equal(t, 42, query[int](t, again.URL(), "SELECT n FROM kept"))
				postgres = again
			}
		})
	}
}

func TestAnEndUnaskedIsMended(t *testing.T) {
	t.Parallel()
	postgres := begin(t, testConfig(t.TempDir()))
	execute(t, postgres.URL(), "CREATE TABLE kept (n int)")
	started := query[time.Time](t, postgres.URL(), "SELECT pg_postmaster_start_time()")
	postgres.Signal(syscall.SIGKILL)
	eventually(t, func() bool { return !reachable(t.Context(), postgres.URL()) }, "it is gone")
	eventually(t, func() bool { return reachable(t.Context(), postgres.URL()) }, "it is back")
	require.True(t, query[time.Time](t, postgres.URL(), "SELECT pg_postmaster_start_time()").After(started))
	execute(t, postgres.URL(), "INSERT INTO kept VALUES (1)")

	postgres.Signal(syscall.SIGKILL)
	eventually(t, func() bool { return !reachable(t.Context(), postgres.URL()) }, "it is gone again")
	require.NoError(t, postgres.Stop(t.Context()), "in the pause before it is started")
	require.False(t, reachable(t.Context(), postgres.URL()))
}

func TestStopEndsWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	postgres := begin(t, testConfig(t.TempDir()))
	postgres.Signal(syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, postgres.Stop(ctx), context.DeadlineExceeded)
	require.False(t, reachable(t.Context(), postgres.URL()))
	require.NoError(t, postgres.Stop(t.Context()), "again")
}

func TestAPortThatIsTaken(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	cfg := testConfig(t.TempDir())
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	cfg.Port, err = strconv.Atoi(port)
	require.NoError(t, err)
	_, err = Start(t.Context(), cfg)
	require.ErrorIs(t, err, errPortTaken)
	require.ErrorContains(t, err, "could not bind")

	cfg.Port = 0
	begin(t, cfg) // the failed start has left the folder usable
}

// TestAFirstStartIsGivenUp: what it left behind doesn't hinder the next.
func TestAFirstStartIsGivenUp(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "cluster", "new", "base"), 0o700), "as a crash leaves it")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, testConfig(folder))
	require.ErrorIs(t, err, context.Canceled)
	begin(t, testConfig(folder))
}

func TestDataThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	postgres, err := Start(t.Context(), testConfig(folder))
	require.NoError(t, err)
	require.NoError(t, postgres.Stop(t.Context()))
	password := filepath.Join(folder, "password")
	version := filepath.Join(folder, "cluster", "data", "PG_VERSION")

	rename(t, password, password+".away")
	_, err = Start(t.Context(), testConfig(folder))
	require.ErrorContains(t, err, "restore the file")

	require.NoError(t, os.WriteFile(password, []byte("wrong\n"), 0o600))
	_, err = Start(t.Context(), testConfig(folder))
	require.ErrorContains(t, err, "doesn't take the password of "+password)
	rename(t, password+".away", password)

	made, err := os.ReadFile(version)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(version, []byte("13\n"), 0o600))
	cfg := testConfig(folder)
	cfg.BinDir = filepath.Join("testdata", "v15")
	_, err = Start(t.Context(), cfg)
	require.ErrorContains(t, err, "the data was made by 13 and needs that version")
	require.NoError(t, os.WriteFile(version, made, 0o600))

	cfg = testConfig(folder)
	cfg.Settings = map[string]string{"max_connections": "many"}
	_, err = Start(t.Context(), cfg)
	require.ErrorContains(t, err, `invalid value for parameter "max_connections"`, "its last words are told")

	begin(t, testConfig(folder))
}

func TestNoFolder(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Config{})
	require.ErrorContains(t, err, "no data folder given")
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.Rename(from, to))
}
