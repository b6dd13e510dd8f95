package persistence

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// proofLife is how long an answer of the server proves that it is there. To look
// for its end takes a millisecond: too long before each batch of a busy lane.
const proofLife = 50 * time.Millisecond

// alive makes sure of a connection that the server hasn't closed meanwhile: a
// batch that was never sent is certainly not executed.
func (l *lane) alive(ctx context.Context) bool {
	if l.conn != nil && !l.conn.IsClosed() {
		//nolint:staticcheck // Ping costs a round trip; this sees the end that the server has sent
		if time.Since(l.answered) < proofLife || l.conn.CheckConn() == nil {
			return true
		}
	}
	l.disconnect()
	return l.connect(ctx)
}

func (l *lane) connect(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.config.ConnectTimeout)
	defer cancel()
	conn, err := l.open(ctx)
	if err != nil {
		if !l.down.Swap(true) {
			l.logger.ErrorContext(ctx, "the writer has no database", "error", redactConnect(err))
		}
		return false
	}
	if l.down.Swap(false) {
		l.logger.InfoContext(ctx, "the writer has its database back")
	}
	l.conn, l.planned = conn, time.Now()
	l.connected.Store(true)
	return true
}

// boundTransactions makes the server end a transaction when we would give it
// up, where it can (PostgreSQL 17). It closes a gap of
// idle_in_transaction_session_timeout, which a message disarms and only a Sync
// arms again: a client that freezes between the two would keep its locks.
const boundTransactions = `SELECT set_config(name, '15000', false) FROM pg_settings WHERE name = 'transaction_timeout'`

func (l *lane) open(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, l.config)
	if err != nil {
		return nil, err
	}
	if _, err = conn.Exec(ctx, boundTransactions).ReadAll(); err == nil {
		err = l.batch.prepare(ctx, conn)
	}
	if err != nil {
		l.close(conn)
		return nil, err
	}
	return conn, nil
}

func (l *lane) disconnect() {
	l.connected.Store(false)
	if l.conn != nil {
		l.close(l.conn)
		l.conn = nil
	}
}

// close ends a connection; there is nobody left to tell about an error.
func (l *lane) close(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := conn.Close(ctx); err != nil {
		l.logger.Debug("close the writer's connection", "error", err)
	}
}
