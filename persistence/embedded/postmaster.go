package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Lines of postmaster.pid, in which a running PostgreSQL describes itself.
const (
	pidLine  = 1
	portLine = 4
)

func postmasterPath(data string) string { return filepath.Join(data, "postmaster.pid") }

// readPostmaster gives the number in a line of postmaster.pid; 0 when the file
// or the number isn't there: it is being written, or a crash left it so.
func readPostmaster(data string, line int) (int, error) {
	text, err := os.ReadFile(postmasterPath(data))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read what PostgreSQL says of itself: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < line {
		return 0, nil
	}
	number, err := strconv.Atoi(strings.TrimSpace(lines[line-1]))
	if err != nil || number <= 0 {
		return 0, nil
	}
	return number, nil
}

// RunningURL is the connection string of the PostgreSQL that another process
// runs on dataDir, for commands beside a living server: Start gives ErrInUse.
func RunningURL(dataDir string) (string, error) {
	f := &folder{path: dataDir}
	port, err := readPostmaster(f.data(), portLine)
	if err == nil && port == 0 {
		err = errors.New("none is running")
	}
	if err != nil {
		return "", fmt.Errorf("embedded PostgreSQL on %s: %w", dataDir, err)
	}
	password, err := f.readPassword()
	if err != nil {
		return "", fmt.Errorf("embedded PostgreSQL on %s: %w", dataDir, err)
	}
	return connectionString(password, port, databaseName), nil
}
