package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// initialize makes the cluster. It gets its name when it is complete, so that
// a crash on the way leaves nothing that looks like one.
func (f *folder) initialize(ctx context.Context, found binaries, unsafe bool) error {
	home := filepath.Join(f.path, "cluster")
	if err := os.RemoveAll(filepath.Join(home, "new")); err != nil {
		return fmt.Errorf("remove what an earlier start left: %w", err)
	}
	secret := filepath.Join(home, "password")
	if err := os.WriteFile(secret, []byte(f.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("password for initdb: %w", err)
	}
	if f.owner.foreign {
		if err := os.Chown(secret, int(f.owner.uid), int(f.owner.gid)); err != nil {
			return fmt.Errorf("password for initdb: %w", err)
		}
	}
	err := f.runInitdb(ctx, found, unsafe)
	if err := errors.Join(err, os.Remove(secret)); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	if err := os.Rename(filepath.Join(home, "new"), f.data()); err != nil {
		return fmt.Errorf("name the new cluster: %w", err)
	}
	f.version = found.major
	return f.home.Sync()
}

func (f *folder) runInitdb(ctx context.Context, found binaries, unsafe bool) error {
	args := []string{
		"--pgdata=" + f.reach("new"),
		"--username=" + roleName,
		"--pwfile=" + f.reach("password"),
		"--auth=scram-sha-256",
		"--encoding=UTF8",
		"--no-instructions",
	}
	args = append(args, locale(found.major)...)
	if unsafe {
		args = append(args, "--no-sync")
	}
	child, err := startProcess(f.command(filepath.Join(found.dir, "initdb"), args...), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	select {
	case <-child.exited:
	case <-ctx.Done():
		child.end()
		return ctx.Err()
	}
	if child.err != nil {
		return child.failure()
	}
	return nil
}

// inherited is where the child has cluster/ open: the first after the standard ones.
const inherited = 3

// command prepares a child that runs as the folder's owner, away from our
// terminal, and without our environment, which has secrets.
func (f *folder) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	for _, variable := range []string{"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"} {
		if value, ok := os.LookupEnv(variable); ok {
			cmd.Env = append(cmd.Env, variable+"="+value)
		}
	}
	cmd.SysProcAttr = childAttributes()
	if f.owner.foreign {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: f.owner.uid, Gid: f.owner.gid}
		cmd.ExtraFiles = []*os.File{f.home}
	}
	return cmd
}

// reach is the path by which the child finds name in cluster/.
func (f *folder) reach(name string) string {
	if f.owner.foreign && inheritedFolder != "" {
		return filepath.Join(inheritedFolder, strconv.Itoa(inherited), name)
	}
	return filepath.Join(f.path, "cluster", name)
}
