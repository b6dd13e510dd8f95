package persistencetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/migrations"
)

// templateLock is the advisory lock under which test binaries that share a
// server make the template, one of them for all.
const templateLock = 0x63687464

// cleanupTimeout bounds the dropping of a database.
const cleanupTimeout = 30 * time.Second

// Database is a database of one test.
type Database struct {
	URL string
	SQL *sql.DB // closed with the test

	name string
}

// factory makes databases on one server.
type factory struct {
	url      string  // of a database in which to give orders
	orders   *sql.DB // keeps a few connections: to connect costs as much as to copy a template
	template func() (string, error)
}

func newFactory(url string) (*factory, error) {
	orders, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	f := &factory{url: url, orders: orders}
	f.template = sync.OnceValues(f.makeTemplate)
	return f, nil
}

func (f *factory) close() error { return f.orders.Close() }

// migrated makes a database with the schema.
func (f *factory) migrated(t testing.TB) *Database {
	t.Helper()
	template, err := f.template()
	require.NoError(t, err, "make the template database")
	return f.create(t, template)
}

// create makes a database as a copy of template.
func (f *factory) create(t testing.TB, template string) *Database {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	// Copying files takes half of the time of copying through the log.
	require.NoError(t, f.order(t.Context(), fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy", name, template)))
	database, err := open(f.url, name)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.SQL.Close()) })
	return database
}

// dropped has the database dropped at the end of the test, whoever is still
// connected to it.
func (f *factory) dropped(t testing.TB, database *Database) *Database {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := f.order(ctx, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", database.name)); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return database
}

func (f *factory) order(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := f.orders.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// makeTemplate gives the name of a database with the schema of these
// migrations. It is made unless the server has it.
func (f *factory) makeTemplate() (_ string, err error) {
	name, err := templateName()
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	session, err := f.orders.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	if _, err := session.ExecContext(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return "", err
	}
	defer func() {
		_, unlockErr := session.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", templateLock)
		err = errors.Join(err, unlockErr)
	}()
	var complete bool
	const known = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)"
	if err := session.QueryRowContext(ctx, known, name).Scan(&complete); err != nil || complete {
		return name, err
	}
	return name, f.migrateTemplate(ctx, name)
}

func (f *factory) migrateTemplate(ctx context.Context, name string) error {
	if err := f.order(ctx, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name); err != nil {
		return err
	}
	database, err := open(f.url, name)
	if err != nil {
		return err
	}
	err = migrations.Up(ctx, database.SQL, slog.New(slog.DiscardHandler))
	if err := errors.Join(err, database.SQL.Close()); err != nil {
		return err
	}
	// A template can't be copied while somebody is connected to it. That it is
	// marked as one says that it is complete.
	return f.order(ctx, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false IS_TEMPLATE true")
}

// templateName has a hash of the migrations: other migrations, another template.
func templateName() (string, error) {
	hash := fnv.New64a()
	err := fs.WalkDir(migrations.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations.Files, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s\x00%d\x00%s", path, len(content), content)
		return nil
	})
	return "template_" + hex.EncodeToString(hash.Sum(nil)), err
}

func open(server, database string) (*Database, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, errors.New("the server's URL is malformed") // the error of Parse would show the password
	}
	u.Path = "/" + database
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		return nil, err
	}
	return &Database{URL: u.String(), SQL: db, name: database}, nil
}
