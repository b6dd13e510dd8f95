package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// folderVariable makes the test binary a server process on that data folder.
const folderVariable = "EMBEDDED_TEST_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(folderVariable); folder != "" {
		os.Exit(serve(folder))
	}
	goleak.VerifyTestMain(m)
}

// serve is the server process: it tells its URL and stops when its input ends.
func serve(folder string) int {
	postgres, err := Start(context.Background(), Config{
		DataDir: folder,
		BinDir:  os.Getenv("POSTGRES_BIN"),
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Unsafe:  true,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, postgres.URL())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	if err := postgres.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// serverProcess is a running serve.
type serverProcess struct {
	cmd   *exec.Cmd
	url   string
	input io.Closer
}

// startServer runs serve in a process of its own, as credential or as ourselves.
func startServer(t *testing.T, folder string, credential *syscall.Credential) *serverProcess {
	t.Helper()
	cmd := exec.Command(executable(t))
	cmd.Env = append(os.Environ(), folderVariable+"="+folder)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	cmd.Dir = "/"
	input, err := cmd.StdinPipe()
	require.NoError(t, err)
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	server := &serverProcess{cmd: cmd, input: input}
	t.Cleanup(func() {
		if server.cmd.ProcessState == nil {
			server.kill(t)
		}
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err, "the server process tells its URL")
	server.url = strings.TrimSpace(line)
	return server
}

// kill ends the server process as a crash does.
func (s *serverProcess) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Kill())
	require.Error(t, s.cmd.Wait())
}

// folderForAll is a temporary folder that every user can reach.
func folderForAll(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "embedded-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	require.NoError(t, os.Chmod(folder, 0o755))
	return folder
}

// executable is a copy of this test binary that every user can run.
func executable(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	content, err := os.ReadFile(self)
	require.NoError(t, err)
	path := filepath.Join(folderForAll(t), "server")
	// A fork of a parallel test must not hold the copy open for writing: nobody
	// could execute it then.
	syscall.ForkLock.RLock()
	err = os.WriteFile(path, content, 0o755)
	syscall.ForkLock.RUnlock()
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o755))
	return path
}

// servers are the folders of binaries to test with: what a user would get, and
// PostgreSQL 18 where POSTGRES_18_BIN says that it is to be had.
func servers() map[string]string {
	all := map[string]string{"found": os.Getenv("POSTGRES_BIN")}
	if dir := os.Getenv("POSTGRES_18_BIN"); dir != "" {
		all["18"] = dir
	}
	return all
}

func testConfig(folder string) Config {
	return Config{DataDir: folder, BinDir: os.Getenv("POSTGRES_BIN"), Logger: slog.New(slog.DiscardHandler), Unsafe: true}
}

// begin starts a server that the end of the test stops.
func begin(t *testing.T, cfg Config) *Postgres {
	t.Helper()
	postgres, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, postgres.Stop(context.Background())) })
	return postgres
}

// exec runs statements on a connection of its own.
func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	for _, statement := range statements {
		_, err := connection.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	require.NoError(t, connection.Close(t.Context()))
}

func query[T any](t *testing.T, url, statement string) (value T) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, connection.QueryRow(t.Context(), statement).Scan(&value), statement)
	require.NoError(t, connection.Close(t.Context()))
	return value
}

func reachable(ctx context.Context, url string) bool {
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		return false
	}
	return connection.Close(ctx) == nil
}

func eventually(t *testing.T, condition func() bool, message string) {
	t.Helper()
	require.Eventually(t, condition, 30*time.Second, 10*time.Millisecond, message)
}
