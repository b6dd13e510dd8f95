package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The major versions that we know to work.
const (
	oldestMajor = 15
	newestMajor = 18
)

// binaries is a folder with postgres and initdb of one version.
type binaries struct {
	dir   string
	major int
}

// builtinLocale asks for PostgreSQL's own C.UTF-8 instead of the C library's.
func builtinLocale() []string {
	return []string{"--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"}
}

// obtainBinaries takes the binaries that cfg names, else the first fit ones in
// folders, else it downloads some. major is the version that the data needs; 0:
// any that we know.
func obtainBinaries(ctx context.Context, cfg Config, folders []string, major int) (binaries, error) {
	if cfg.BinDir != "" {
		found, err := inspect(ctx, cfg.BinDir, major)
		if err != nil {
			return binaries{}, fmt.Errorf("POSTGRES_BIN: %w", err)
		}
		return found, nil
	}
	found, searchErr := search(ctx, folders, major)
	if searchErr == nil {
		return found, nil
	}
	dir, err := download(ctx, cfg, major)
	if err == nil {
		found, err = inspect(ctx, dir, major)
	}
	if err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL to run: install PostgreSQL %d to %d (Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql@18), "+
			"or set POSTGRES_BIN to the folder of postgres and initdb, or set DATABASE_URL to a running server: %w",
			oldestMajor, newestMajor, errors.Join(searchErr, err))
	}
	return found, nil
}

// search gives the first of the folders that has what is needed.
func search(ctx context.Context, folders []string, major int) (binaries, error) {
	var failures []error
	for _, folder := range folders {
		found, err := inspect(ctx, folder, major)
		if err == nil {
			return found, nil
		}
		failures = append(failures, err)
	}
	if len(failures) == 0 {
		return binaries{}, errors.New("none found on this machine")
	}
	return binaries{}, errors.Join(failures...)
}

// installFolders are the folders where a PostgreSQL may be, the likeliest first:
// what PATH and pg_config name, then where packages put it, newest version first.
func installFolders(ctx context.Context) []string {
	var folders []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(path))
		}
	}
	if output, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(output)))
	}
	for major := newestMajor; major >= oldestMajor; major-- {
		for _, pattern := range []string{
			"/usr/lib/postgresql/%d/bin",          // Debian, Ubuntu
			"/usr/pgsql-%d/bin",                   // PostgreSQL's packages for Red Hat
			"/usr/libexec/postgresql%d",           // Alpine
			"/opt/homebrew/opt/postgresql@%d/bin", // Homebrew, Apple silicon
			"/usr/local/opt/postgresql@%d/bin",    // Homebrew, Intel
			"/Library/PostgreSQL/%d/bin",          // installer for macOS
			"/Applications/Postgres.app/Contents/Versions/%d/bin",
			"/usr/local/pgsql-%d/bin",
		} {
			folders = append(folders, fmt.Sprintf(pattern, major))
		}
	}
	folders = append(folders, "/usr/local/pgsql/bin", "/usr/bin") // built by hand; Arch, Fedora
	folders = slices.DeleteFunc(folders, func(folder string) bool {
		_, err := os.Stat(filepath.Join(folder, "postgres"))
		return err != nil
	})
	return slices.Compact(folders)
}

// versionPattern reads "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)",
// also "18beta1".
var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect tells whether folder has what is needed, and if not, why.
func inspect(ctx context.Context, folder string, major int) (binaries, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return binaries{}, err
	}
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			return binaries{}, fmt.Errorf("%s has no %s: %w", folder, name, err)
		}
	}
	output, err := exec.CommandContext(ctx, filepath.Join(folder, "postgres"), "--version").CombinedOutput()
	if err != nil {
		return binaries{}, fmt.Errorf("%s: postgres --version: %w: %s", folder, err, bytes.TrimSpace(output))
	}
	match := versionPattern.FindSubmatch(output)
	if match == nil {
		return binaries{}, fmt.Errorf("%s: postgres --version says %q", folder, output)
	}
	version, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return binaries{}, fmt.Errorf("%s: %w", folder, err)
	}
	if version < oldestMajor || version > newestMajor {
		return binaries{}, fmt.Errorf("%s has PostgreSQL %d; %d to %d work", folder, version, oldestMajor, newestMajor)
	}
	if major != 0 && version != major {
		return binaries{}, fmt.Errorf("%s has PostgreSQL %d; the data was made by %d and needs that version", folder, version, major)
	}
	return binaries{dir: folder, major: version}, nil
}
