package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long an orphan gets for each way of being asked to end.
const patience = 10 * time.Second

// stopOrphan ends a PostgreSQL that works on the folder's data though its parent
// is gone: we hold the lock, so nobody needs it. It returns when no process of
// it is left.
func (f *folder) stopOrphan(ctx context.Context, logger *slog.Logger) error {
	if f.version == 0 {
		return nil
	}
	postmaster, err := readPostmaster(f.data())
	if err != nil {
		return err
	}
	orphans, err := serverProcesses(f.data(), postmaster)
	if err != nil {
		return fmt.Errorf("look for an earlier PostgreSQL: %w", err)
	}
	if len(orphans) == 0 {
		return f.removeStale(postmaster)
	}
	logger.WarnContext(ctx, "taking the data folder over from an earlier PostgreSQL", "folder", f.path, "process", orphans[0])
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		for _, pid := range orphans {
			// The postmaster ends the others; to be killed, all must be told.
			if pid != postmaster && signal != syscall.SIGKILL {
				continue
			}
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end the earlier PostgreSQL, process %d: %w", pid, err)
			}
		}
		if orphans, err = f.awaitGone(ctx, postmaster); err != nil || len(orphans) == 0 {
			return err
		}
	}
	return fmt.Errorf("an earlier PostgreSQL, process %d, doesn't end", orphans[0])
}

// awaitGone waits until no server works on the data, for patience at most, and
// gives those that still do.
func (f *folder) awaitGone(ctx context.Context, postmaster int) ([]int, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := serverProcesses(f.data(), postmaster)
		if err != nil || len(pids) == 0 {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return pids, fmt.Errorf("wait for the end of an earlier PostgreSQL: %w", ctx.Err())
		case <-deadline.C:
			return pids, nil
		case <-tick.C:
		}
	}
}

// removeStale removes a postmaster.pid whose number an unrelated process has by
// now (in containers numbers repeat at every start): PostgreSQL would take that
// one for a server and refuse to start. Where no such process lives PostgreSQL
// handles the file itself.
func (f *folder) removeStale(postmaster int) error {
	if postmaster == 0 || errors.Is(syscall.Kill(postmaster, 0), syscall.ESRCH) {
		return nil
	}
	if err := os.Remove(filepath.Join(f.data(), "postmaster.pid")); err != nil {
		return fmt.Errorf("remove a stale file: %w", err)
	}
	return nil
}

// readPostmaster gives the process id in postmaster.pid, its first line; 0 when
// there is no such file.
func readPostmaster(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("earlier PostgreSQL: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s has no process id in its first line", filepath.Join(data, "postmaster.pid"))
	}
	return pid, nil
}
