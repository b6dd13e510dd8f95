package persistence

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// echo has PostgreSQL read columns and say what it has read, row by row.
type echo struct {
	conn      *pgconn.PgConn
	statement *pgconn.StatementDescription
	columns   []*column
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), persistencetest.New(t).URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	e := &echo{conn: conn, columns: []*column{uuids(), texts(), int8s(), int4s(), times(), byteas()}}
	var oids []uint32
	for _, c := range e.columns {
		oids = append(oids, c.arrayOID())
	}
	e.statement, err = conn.Prepare(t.Context(), "echo", `SELECT replace(u::text, '-', ''), encode(convert_to(s, 'UTF8'), 'hex'), l::text, i::text,
		(extract(epoch FROM t) * 1000000)::bigint::text, encode(b, 'hex')
		FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY AS v (u, s, l, i, t, b, n) ORDER BY n`, oids)
	require.NoError(t, err)
	return e
}

func (e *echo) reset() {
	for _, c := range e.columns {
		c.reset()
	}
}

// null stands for SQL's NULL in what echo says.
const null = "NULL"

func (e *echo) rows() (rows [][]string, err error) {
	s := &statement{columns: e.columns}
	r := e.conn.ExecStatement(context.Background(), e.statement, s.params(), binaryFormat, nil)
	for r.NextRow() {
		var row []string
		for _, v := range r.Values() {
			if v == nil {
				row = append(row, null)
			} else {
				row = append(row, string(v))
			}
		}
		rows = append(rows, row)
	}
	_, err = r.Close()
	return rows, err
}

// row is a row of values, and what echo says of it.
type row struct {
	id    [16]byte
	text  string
	empty bool // the text is optional: NULL when empty
	long  int64
	short int32
	at    time.Time
	bytes []byte
}

func (r row) fill(c []*column) {
	c[0].uuid(r.id)
	if r.empty {
		c[1].optional(r.text)
	} else {
		c[1].text(r.text)
	}
	c[2].int8(r.long)
	c[3].int4(int(r.short))
	c[4].time(r.at)
	c[5].bytea(r.bytes)
}

func (r row) said() []string {
	id, text, at := hex.EncodeToString(r.id[:]), hex.EncodeToString([]byte(r.text)), strconv.FormatInt(r.at.UnixMicro(), 10)
	bytes := hex.EncodeToString(r.bytes)
	if r.id == [16]byte{} {
		id = null
	}
	if r.empty && r.text == "" {
		text = null
	}
	if r.at.IsZero() {
		at = null
	}
	if len(r.bytes) == 0 {
		bytes = null
	}
	return []string{id, text, strconv.FormatInt(r.long, 10), strconv.Itoa(int(r.short)), at, bytes}
}

func drawRow(t *rapid.T) row {
	r := row{
		text:  strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", ""),
		empty: rapid.Bool().Draw(t, "optional"),
		long:  rapid.Int64().Draw(t, "long"),
		short: rapid.Int32().Draw(t, "short"),
		bytes: rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"),
	}
	if rapid.Bool().Draw(t, "has id") {
		copy(r.id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	}
	if rapid.Bool().Draw(t, "has time") {
		// Years 70 to 9900, to the nanosecond.
		r.at = time.Unix(rapid.Int64Range(-60_000_000_000, 250_000_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
	}
	return r
}

func TestColumnsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	e := newEcho(t)
	rapid.Check(t, func(t *rapid.T) {
		e.reset() // buffers are used again and again
		var want [][]string
		for _, r := range rapid.SliceOfN(rapid.Custom(drawRow), 0, 20).Draw(t, "rows") {
			r.fill(e.columns)
			want = append(want, r.said())
		}
		got, err := e.rows()
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestColumnsOfEdgeValues(t *testing.T) {
	t.Parallel()
	e := newEcho(t)
	for _, r := range []row{
		{},
		{empty: true},
		{id: uuid.Max, text: strings.Repeat("long ", 100_000), long: -1 << 63, short: -1 << 31},
		{id: uuid.New(), text: "👋🏽 grüße, 世界", long: 1<<63 - 1, short: 1<<31 - 1},
		{at: time.Date(1999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)},
		{at: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
		{at: time.Date(2026, 3, 1, 9, 0, 0, 123_456_000, time.FixedZone("somewhere", 3600))},
	} {
		e.reset()
		r.fill(e.columns)
		got, err := e.rows()
		require.NoError(t, err)
		require.Equal(t, [][]string{r.said()}, got)
	}
}

// A column without rows is an empty array, also after it had some.
func TestColumnsWithoutRows(t *testing.T) {
	t.Parallel()
	e := newEcho(t)
	for range 2 {
		e.reset()
		got, err := e.rows()
		require.NoError(t, err)
		require.Empty(t, got)
		row{text: "something"}.fill(e.columns)
		got, err = e.rows()
		require.NoError(t, err)
		require.Len(t, got, 1)
	}
}
