package embedded

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// folder is a data folder that is ours: the lock is held until close.
type folder struct {
	path     string // absolute
	lock     *os.File
	home     *os.File // cluster/, which the child inherits when it runs as another user
	owner    owner
	version  int // major version of the cluster's data; 0: there is none yet
	password string
}

// openFolder makes the folder when it is absent, and takes its lock.
func openFolder(path string) (_ *folder, err error) {
	if path == "" {
		return nil, errors.New("no data folder given")
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	// Passable for the child's user; everything inside is closed to others.
	if err := os.MkdirAll(path, 0o711); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	f := &folder{path: path}
	if f.lock, err = takeLock(filepath.Join(path, "lock")); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if err := f.openHome(); err != nil {
		return nil, err
	}
	if f.version, err = f.readVersion(); err != nil {
		return nil, err
	}
	return f, f.loadPassword()
}

// takeLock locks the file at path for as long as it is open. The kernel frees
// it when we die, however that happens, and a child never has it: Go opens
// files to be closed on exec.
func takeLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock (does the folder belong to another user?): %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, readErr := os.ReadFile(path)
		err = errors.Join(file.Close(), readErr, err)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w by process %s", ErrInUse, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := errors.Join(file.Truncate(0), write(file, pid)); err != nil {
		return nil, errors.Join(fmt.Errorf("write the lock: %w", err), file.Close())
	}
	return file, nil
}

func write(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// openHome makes cluster/ when it is absent and decides whom it belongs to.
func (f *folder) openHome() error {
	home := filepath.Join(f.path, "cluster")
	if err := os.Mkdir(home, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the cluster's folder: %w", err)
	}
	info, err := os.Stat(home)
	if err != nil {
		return fmt.Errorf("cluster's folder: %w", err)
	}
	if f.owner, err = chooseOwner(info, os.Geteuid()); err != nil {
		return err
	}
	if f.owner.foreign {
		if err := os.Chown(home, int(f.owner.uid), int(f.owner.gid)); err != nil {
			return fmt.Errorf("give the cluster's folder to %s: %w", f.owner.name, err)
		}
	}
	if f.home, err = os.Open(home); err != nil {
		return fmt.Errorf("open the cluster's folder: %w", err)
	}
	return nil
}

func (f *folder) readVersion() (int, error) {
	text, err := os.ReadFile(filepath.Join(f.data(), "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("version of the cluster: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("version of the cluster: %w", err)
	}
	return version, nil
}

// loadPassword reads the superuser's password, or makes one when there is no
// cluster yet.
func (f *folder) loadPassword() error {
	if f.version == 0 {
		f.password = rand.Text()
		if err := os.WriteFile(f.passwordPath(), []byte(f.password+"\n"), 0o600); err != nil {
			return fmt.Errorf("keep the password of the cluster: %w", err)
		}
		return nil
	}
	var err error
	f.password, err = f.readPassword()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restore the file, or remove the folder with all of its data: %w", err)
	}
	return err
}

func (f *folder) readPassword() (string, error) {
	text, err := os.ReadFile(f.passwordPath())
	if err != nil {
		return "", fmt.Errorf("password of the cluster: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (f *folder) passwordPath() string { return filepath.Join(f.path, "password") }

// data is PostgreSQL's data directory, as we reach it.
func (f *folder) data() string { return filepath.Join(f.path, "cluster", "data") }

// close gives the folder up.
func (f *folder) close() error {
	var err error
	if f.home != nil {
		err = f.home.Close()
		f.home = nil
	}
	if f.lock != nil {
		// To close it isn't enough: a child that is being forked at this moment
		// has it open until it executes.
		err = errors.Join(err, syscall.Flock(int(f.lock.Fd()), syscall.LOCK_UN), f.lock.Close())
		f.lock = nil
	}
	return err
}
