package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
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
	postmaster, err := readPostmaster(f.data(), pidLine)
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

// removeStale removes a postmaster.pid that no server stands behind, but that
// keeps PostgreSQL from starting: its number belongs to an unrelated process by
// now (in containers numbers repeat at every start), or a crash left it empty.
// With the number of a process that is gone PostgreSQL handles it itself.
func (f *folder) removeStale(postmaster int) error {
	if postmaster != 0 && errors.Is(syscall.Kill(postmaster, 0), syscall.ESRCH) {
		return nil
	}
	err := os.Remove(postmasterPath(f.data()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a stale file: %w", err)
	}
	return nil
}
