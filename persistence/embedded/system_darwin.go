package embedded

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// inheritedFolder: macOS can't enter a folder through what a process has open.
const inheritedFolder = ""

// childAttributes put the child into a session of its own, away from our
// terminal's signals. macOS has no death signal: an orphan is taken over by the
// next start.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}

// locale is initdb's: order by code point, Unicode's upper and lower case.
// PostgreSQL has that built in since 17; before, macOS has no C.UTF-8, but a
// bare UTF-8 for the classes of characters.
func locale(major int) []string {
	if major >= 17 {
		return builtinLocale()
	}
	return []string{"--locale=C", "--lc-ctype=UTF-8"}
}

// serverProcesses is the postmaster, if it lives and works on data.
func serverProcesses(data string, postmaster int) ([]int, error) {
	if postmaster == 0 {
		return nil, nil
	}
	command, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(postmaster)).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, nil // ps found no such process
	}
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(command), "-D "+data+" ") {
		return nil, nil
	}
	return []int{postmaster}, nil
}
