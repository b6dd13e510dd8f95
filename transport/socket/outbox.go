package socket

import (
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// writeTimeout is how long one write may wait for the peer to read.
	writeTimeout = 10 * time.Second
	// writeSize is how much is gathered for one write.
	writeSize = 16 << 10
)

// outbox is what waits to be sent to one client. Its session's mutex guards it.
type outbox struct {
	queue []frame
	// What is queued or being written; the frames in the hands of the writer
	// count, or else a stuck client could hold twice the limit.
	bytes, packets int
	// What of it doesn't count, and is sent first.
	excusedBytes, excusedPackets int
}

// over reports whether more waits than may.
func (o *outbox) over(l *Limits) bool {
	return o.bytes-o.excusedBytes > l.QueuedBytes || o.packets-o.excusedPackets > l.QueuedPackets
}

// push queues frames, whatever the limits.
func (o *outbox) push(frames ...frame) {
	o.queue = append(o.queue, frames...)
	for _, f := range frames {
		o.bytes += len(f)
	}
	o.packets += len(frames)
}

// excuse queues frames that don't count, and with them what is queued already.
func (o *outbox) excuse(frames []frame) {
	o.push(frames...)
	o.excusedBytes, o.excusedPackets = o.bytes, o.packets
}

// take hands the queue over; nil when there is nothing. The memory of the batch
// before, now written, is used for the next queue.
func (o *outbox) take(written []frame) []frame {
	for _, f := range written {
		o.bytes -= len(f)
		o.excusedBytes -= len(f)
	}
	o.packets -= len(written)
	o.excusedPackets = max(0, o.excusedPackets-len(written))
	o.excusedBytes = max(0, o.excusedBytes)
	clear(written)
	batch := o.queue
	if len(batch) == 0 {
		o.queue = nil // idle sockets keep no memory for a queue
		return nil
	}
	o.queue = written[:0]
	return batch
}

// takeAll hands the queue over as sent.
func (o *outbox) takeAll() []frame {
	batch := o.queue
	*o = outbox{}
	return batch
}

// drop forgets what is queued.
func (o *outbox) drop() { o.queue = nil }

// gatherer writes batches of frames with few system calls.
type gatherer struct{ buffers sync.Pool }

func newGatherer() *gatherer {
	return &gatherer{sync.Pool{New: func() any {
		b := make([]byte, 0, writeSize)
		return &b
	}}}
}

// write sends the batch in order. Small frames are copied together, so that a
// burst costs one write and one TLS record; a single frame is not copied.
func (g *gatherer) write(conn net.Conn, batch []frame) error {
	if len(batch) == 1 {
		return writeAll(conn, batch[0])
	}
	buf := g.buffers.Get().(*[]byte)
	defer g.buffers.Put(buf)
	b := (*buf)[:0]
	for _, f := range batch {
		if len(b)+len(f) > writeSize && len(b) > 0 {
			if err := writeAll(conn, b); err != nil {
				return err
			}
			b = b[:0]
		}
		if len(f) > writeSize {
			if err := writeAll(conn, f); err != nil {
				return err
			}
			continue
		}
		b = append(b, f...)
	}
	if len(b) == 0 {
		return nil
	}
	return writeAll(conn, b)
}

func writeAll(conn net.Conn, b []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
