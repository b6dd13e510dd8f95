package embedded

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// inheritedFolder is where a process finds what it has open, by number. A path
// that starts there needs no permission on the folders above.
const inheritedFolder = "/proc/self/fd"

// childAttributes put the child into a session of its own, away from our
// terminal's signals, and have the kernel shut it down when we are gone.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGINT}
}

// locale is initdb's: order by code point, Unicode's upper and lower case, the
// same on every machine. PostgreSQL has that built in since 17; before, the C
// library's C.UTF-8 is the same.
func locale(major int) []string {
	if major >= 17 {
		return builtinLocale()
	}
	return []string{"--locale=C.UTF-8"}
}

// serverProcesses are the processes of PostgreSQL that work on data, the
// postmaster first if it lives. PostgreSQL's processes all have the data
// directory as their working directory.
func serverProcesses(data string, postmaster int) ([]int, error) {
	want, err := os.Stat(data)
	if err != nil {
		return nil, err
	}
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, folder := range folders {
		name, err := os.ReadFile(filepath.Join(folder, "comm"))
		if err != nil || !bytes.HasPrefix(name, []byte("postgres")) {
			continue // not PostgreSQL, or gone meanwhile
		}
		cwd, err := os.Stat(filepath.Join(folder, "cwd"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ESRCH) {
			continue // gone meanwhile, or another user's, which can't work on our data
		}
		if err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(filepath.Base(folder))
		if err != nil || !os.SameFile(want, cwd) {
			continue
		}
		pids = append(pids, pid)
		if pid == postmaster {
			pids[0], pids[len(pids)-1] = pids[len(pids)-1], pids[0]
		}
	}
	return pids, nil
}
