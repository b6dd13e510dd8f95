package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// downloads are the builds that can be had for each major version.
var downloads = map[int]embeddedpostgres.PostgresVersion{
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

// download gets PostgreSQL's binaries into a cache that all our data folders
// share, unless they are there, and gives their folder.
func download(ctx context.Context, cfg Config, major int) (string, error) {
	version, ok := downloads[cmp.Or(major, newestMajor)]
	if !ok {
		return "", fmt.Errorf("PostgreSQL %d can't be downloaded", major)
	}
	cache, err := cacheFolder(cfg.cacheDir)
	if err != nil {
		return "", fmt.Errorf("download PostgreSQL: %w", err)
	}
	target := filepath.Join(cache, "postgresql-"+string(version))
	bin := filepath.Join(target, "bin")
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
		return bin, nil
	}
	cfg.Logger.InfoContext(ctx, "downloading PostgreSQL", "version", string(version), "folder", target)
	if err := fetch(ctx, cfg.downloadURL, version, target); err != nil {
		return "", fmt.Errorf("download PostgreSQL %s: %w", version, err)
	}
	return bin, nil
}

// fetch downloads and unpacks. The library can't do just that: it goes on to
// make and start a server of its own, in a folder of which we take nothing but
// the binaries. As root that fails, after they have come.
func fetch(ctx context.Context, repository string, version embeddedpostgres.PostgresVersion, target string) error {
	scratch, err := os.MkdirTemp(filepath.Dir(target), "download-")
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	config := embeddedpostgres.DefaultConfig().
		Version(version).
		Port(uint32(port)).
		CachePath(filepath.Join(scratch, "archive")).
		RuntimePath(filepath.Join(scratch, "runtime")).
		BinariesPath(filepath.Join(scratch, "binaries")).
		DataPath(filepath.Join(scratch, "data")).
		Logger(io.Discard)
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
	}
	result := make(chan error, 1)
	go func() { // the library knows no context; what it does after ours has ended is thrown away
		err := unpack(config, filepath.Join(scratch, "binaries"), target)
		os.RemoveAll(scratch) // a leftover in a cache does no harm
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func unpack(config embeddedpostgres.Config, unpacked, target string) error {
	server := embeddedpostgres.NewDatabase(config)
	startErr := server.Start()
	if startErr == nil {
		startErr = server.Stop()
	}
	if _, err := os.Stat(filepath.Join(unpacked, "bin", "postgres")); err != nil {
		return errors.Join(startErr, err)
	}
	if err := openToAll(unpacked); err != nil {
		return err
	}
	// The name comes last: what has it is complete. Somebody else may have been
	// quicker; theirs is as good.
	if err := os.Rename(unpacked, target); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// openToAll lets the user that PostgreSQL runs as read the binaries, whatever
// our umask.
func openToAll(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if entry.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}

// cacheFolder is where downloads are kept, chosen unless given. Root's own cache
// is closed to the user that PostgreSQL runs as.
func cacheFolder(chosen string) (string, error) {
	base := cmp.Or(chosen, "/var/cache")
	if chosen == "" && os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	folder := filepath.Join(base, "chatopshub")
	return folder, os.MkdirAll(folder, 0o755)
}
