package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"
)

// The superuser and the database that the application uses.
const (
	roleName     = "chatopshub"
	databaseName = "chatopshub"
)

// Bounds of waiting. A clean stop writes a checkpoint; an immediate one doesn't.
const (
	immediateStop = 5 * time.Second
	restartDelay  = time.Second
)

// ErrInUse says that a living process owns the data folder.
var ErrInUse = errors.New("data folder in use")

// Config says where a PostgreSQL lives and how it is run.
type Config struct {
	DataDir string // made when absent
	BinDir  string // folder of postgres and initdb; "": search, then download
	Port    int    // on 127.0.0.1; 0: a free one
	Logger  *slog.Logger

	// Settings are postgresql.conf settings on top of ours.
	Settings map[string]string
	// Unsafe doesn't wait for the disk. For tests alone: what was committed
	// survives a crash of PostgreSQL, but not one of the machine.
	Unsafe bool

	// For our own tests: another source of binaries, and where they are kept.
	downloadURL, cacheDir string
}

// Postgres is a running private PostgreSQL.
type Postgres struct {
	folder   *folder
	binaries binaries
	settings []string // arguments of postgres
	port     int
	logger   *slog.Logger

	requests chan request  // to the watcher
	done     chan struct{} // closed when the watcher has ended
	closeErr error         // after done
}

// request asks the watcher to signal the child; stop: and not to start it again.
type request struct {
	signal syscall.Signal
	stop   bool
}

// Start runs a PostgreSQL on cfg.DataDir and returns when it takes connections.
// ctx bounds the start, not the life: end it by Stop.
func Start(ctx context.Context, cfg Config) (*Postgres, error) {
	p, err := start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("embedded PostgreSQL: %w", err)
	}
	return p, nil
}

func start(ctx context.Context, cfg Config) (_ *Postgres, err error) {
	folder, err := openFolder(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, folder.close())
		}
	}()
	if err := folder.stopOrphan(ctx, cfg.Logger); err != nil {
		return nil, err
	}
	found, err := obtainBinaries(ctx, cfg, installFolders(ctx), folder.version)
	if err != nil {
		return nil, err
	}
	if folder.version == 0 {
		cfg.Logger.InfoContext(ctx, "making a PostgreSQL cluster",
			"version", found.major, "binaries", found.dir, "folder", folder.path)
		if err := folder.initialize(ctx, found, cfg.Unsafe); err != nil {
			return nil, err
		}
	}
	p := &Postgres{
		folder:   folder,
		binaries: found,
		settings: settings(cfg),
		logger:   cfg.Logger,
		requests: make(chan request),
		done:     make(chan struct{}),
	}
	child, err := p.open(ctx, cfg.Port)
	if err != nil {
		return nil, err
	}
	go p.watch(child)
	return p, nil
}

// open starts the child on port and waits until it answers. A free port may be
// taken by somebody else before PostgreSQL has it: then another one is tried.
func (p *Postgres) open(ctx context.Context, port int) (*process, error) {
	for attempt := 1; ; attempt++ {
		p.port = port
		if port == 0 {
			free, err := freePort()
			if err != nil {
				return nil, err
			}
			p.port = free
		}
		child, err := p.spawn()
		if err != nil {
			return nil, err
		}
		err = p.awaitReady(ctx, child)
		if err == nil {
			return child, nil
		}
		child.end()
		if port != 0 || attempt == 5 || !errors.Is(err, errPortTaken) {
			return nil, err
		}
	}
}

// watch is the child's owner: it passes signals on, starts the child again when
// it ends unasked, and at last gives the folder up.
func (p *Postgres) watch(child *process) {
	defer close(p.done)
	defer func() { p.closeErr = p.folder.close() }()
	stopping := false
	for {
		select {
		case asked := <-p.requests:
			stopping = stopping || asked.stop
			child.signal(asked.signal)
		case <-child.exited:
			if stopping {
				return
			}
			p.logger.Error("PostgreSQL ended by itself and is started again", "error", child.failure())
			if stopping = p.pause(); stopping {
				return
			}
			again, err := p.spawn()
			if err != nil {
				p.logger.Error("start PostgreSQL again", "error", err)
				continue // the old child has exited: the next round tries again
			}
			child = again
		}
	}
}

// pause waits before the child is started again and reports whether it need not
// be.
func (p *Postgres) pause() bool {
	delay := time.After(restartDelay)
	for {
		select {
		case asked := <-p.requests:
			if asked.stop {
				return true
			}
		case <-delay:
			return false
		}
	}
}

// URL is the connection string of the database, password included.
func (p *Postgres) URL() string { return connectionString(p.folder.password, p.port, databaseName) }

// Port is where it listens on 127.0.0.1.
func (p *Postgres) Port() int { return p.port }

// Stop ends it cleanly: open transactions are rolled back, everything committed
// is on disk, the next start is quick. When ctx ends first, it is stopped hard,
// which costs the next start a recovery but no data, and ctx's error is given.
// Stopping again does nothing.
func (p *Postgres) Stop(ctx context.Context) error {
	p.send(request{syscall.SIGINT, true})
	select {
	case <-p.done:
		return p.ended(nil)
	case <-ctx.Done():
	}
	p.send(request{syscall.SIGQUIT, true})
	select {
	case <-p.done:
		return p.ended(ctx.Err())
	case <-time.After(immediateStop):
	}
	return errors.Join(ctx.Err(), p.Kill())
}

// Kill ends it as a crash would, and for good.
func (p *Postgres) Kill() error {
	p.send(request{syscall.SIGKILL, true})
	<-p.done
	return p.ended(nil)
}

// Signal sends a signal to the postmaster, as a fault. A PostgreSQL that ends of
// it is started again.
func (p *Postgres) Signal(signal syscall.Signal) { p.send(request{signal, false}) }

func (p *Postgres) send(r request) {
	select {
	case p.requests <- r:
	case <-p.done:
	}
}

func (p *Postgres) ended(cause error) error {
	if err := errors.Join(cause, p.closeErr); err != nil {
		return fmt.Errorf("stop embedded PostgreSQL: %w", err)
	}
	return nil
}
