package persistence

import (
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// column is one parameter of a statement that works on many rows: a
// PostgreSQL array in its binary format (src/backend/utils/adt/arrayfuncs.c,
// array_recv), built up value by value. The writer fills dozens of these for
// every batch, so they skip reflection and keep their buffers.
type column struct {
	elem  uint32 // OID of the element type
	buf   []byte
	count uint32
	nulls bool
}

// arrayHeader is dimensions, has-null flag, element type, length and lower bound.
const arrayHeader = 20

func (c *column) reset() {
	c.buf = append(c.buf[:0], make([]byte, arrayHeader)...)
	c.count, c.nulls = 0, false
}

// param is the finished array; the column must not change while it is in use.
func (c *column) param() []byte {
	if c.count == 0 {
		// An array without elements has no dimensions.
		binary.BigEndian.PutUint32(c.buf[0:], 0)
		binary.BigEndian.PutUint32(c.buf[4:], 0)
		binary.BigEndian.PutUint32(c.buf[8:], c.elem)
		return c.buf[:12]
	}
	var flag uint32
	if c.nulls {
		flag = 1
	}
	binary.BigEndian.PutUint32(c.buf[0:], 1)
	binary.BigEndian.PutUint32(c.buf[4:], flag)
	binary.BigEndian.PutUint32(c.buf[8:], c.elem)
	binary.BigEndian.PutUint32(c.buf[12:], c.count)
	binary.BigEndian.PutUint32(c.buf[16:], 1)
	return c.buf
}

func (c *column) null() {
	c.count++
	c.nulls = true
	c.buf = binary.BigEndian.AppendUint32(c.buf, 0xffffffff)
}

func (c *column) uuid(id [16]byte) {
	if id == ([16]byte{}) {
		c.null()
		return
	}
	c.count++
	c.buf = append(binary.BigEndian.AppendUint32(c.buf, 16), id[:]...)
}

// text writes s as it is; optional writes the empty one as NULL.
func (c *column) text(s string) {
	c.count++
	c.buf = append(binary.BigEndian.AppendUint32(c.buf, uint32(len(s))), s...)
}

func (c *column) optional(s string) {
	if s == "" {
		c.null()
		return
	}
	c.text(s)
}

// bytea writes b; the empty one is NULL.
func (c *column) bytea(b []byte) {
	if len(b) == 0 {
		c.null()
		return
	}
	c.count++
	c.buf = append(binary.BigEndian.AppendUint32(c.buf, uint32(len(b))), b...)
}

func (c *column) int8(v int64) {
	c.count++
	c.buf = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(c.buf, 8), uint64(v))
}

func (c *column) int4(v int) {
	c.count++
	c.buf = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(c.buf, 4), uint32(v))
}

// postgresEpoch is what PostgreSQL counts its microseconds from.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// time writes t to the microsecond; the zero time is NULL.
func (c *column) time(t time.Time) {
	if t.IsZero() {
		c.null()
		return
	}
	c.int8(t.UnixMicro() - postgresEpoch.UnixMicro())
}

// The constructors of columns by element type.
func uuids() *column  { return &column{elem: pgtype.UUIDOID} }
func texts() *column  { return &column{elem: pgtype.TextOID} }
func byteas() *column { return &column{elem: pgtype.ByteaOID} }
func int8s() *column  { return &column{elem: pgtype.Int8OID} }
func int4s() *column  { return &column{elem: pgtype.Int4OID} }
func times() *column  { return &column{elem: pgtype.TimestamptzOID} }

// arrayOID is the OID of the array type of the column.
func (c *column) arrayOID() uint32 {
	switch c.elem {
	case pgtype.UUIDOID:
		return pgtype.UUIDArrayOID
	case pgtype.ByteaOID:
		return pgtype.ByteaArrayOID
	case pgtype.Int8OID:
		return pgtype.Int8ArrayOID
	case pgtype.Int4OID:
		return pgtype.Int4ArrayOID
	case pgtype.TimestamptzOID:
		return pgtype.TimestamptzArrayOID
	}
	return pgtype.TextArrayOID
}
