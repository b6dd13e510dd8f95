package embedded

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

// Bounds of what is kept of a child's output: for an error message the last
// lines, and a line that never ends is cut.
const (
	tailLines = 12
	lineBytes = 4 << 10
)

// serverLog takes a child's output, gives it to slog line by line, and keeps the
// last lines. One goroutine writes; tail may be asked for by others.
type serverLog struct {
	logger *slog.Logger

	mu      sync.Mutex
	partial []byte
	lines   []string
}

// Write is io.Writer. It never fails: a log must not stop a database.
func (l *serverLog) Write(output []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, output...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			break
		}
		l.add(string(line))
		l.partial = rest
	}
	if len(l.partial) > lineBytes {
		l.add(string(l.partial[:lineBytes]))
		l.partial = nil
	}
	return len(output), nil
}

func (l *serverLog) add(line string) {
	line = strings.TrimSpace(line)
	if line == "" {
		return
	}
	l.lines = append(l.lines, line)
	if len(l.lines) > tailLines {
		l.lines = l.lines[1:]
	}
	l.logger.Log(context.Background(), level(line), "postgres", "line", line)
}

// level keeps the daily life of a database (checkpoints, clients' errors, which
// the clients report themselves) out of the log unless it is asked for.
func level(line string) slog.Level {
	switch {
	case strings.HasPrefix(line, "PANIC:"):
		return slog.LevelError
	case strings.HasPrefix(line, "WARNING:"):
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func (l *serverLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return "none"
	}
	return strings.Join(l.lines, " | ")
}
