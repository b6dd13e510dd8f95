package persistencetest

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// prefix of the names of temporary data folders.
const prefix = "chatopshub-test-"

// memory is Linux's file system in memory. A database is 300 files: to make them
// takes 10 ms there, and a quarter of a second on some disks.
const memory = "/dev/shm"

// scratch is the folder for temporary data: in memory where that has 2 GiB
// (containers often have 64 MB), else the system's.
func scratch() string {
	var system syscall.Statfs_t
	if err := syscall.Statfs(memory, &system); err != nil {
		return os.TempDir()
	}
	if free := uint64(system.Bavail) * uint64(system.Bsize); free < 2<<30 { // whose types differ between systems
		return os.TempDir()
	}
	return memory
}

// sweep removes what test runs that were killed left in parent: folders whose
// lock nobody holds. It gives up on what it can't remove, which may be another
// user's. A lock younger than a minute may be about to be taken.
func sweep(parent string) {
	locks, err := filepath.Glob(filepath.Join(parent, prefix+"*", "lock"))
	if err != nil {
		return
	}
	for _, path := range locks {
		if info, err := os.Stat(path); err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(filepath.Dir(path)) // the next run tries again
		}
		lock.Close()
	}
}
