package persistence

import "github.com/chatopshub/chatopshub/domain"

// Tracer records transactions of the writer; cmd's OpenTelemetry is it. It must
// not block.
type Tracer interface {
	// Batch records a transaction that carries the changes of the given steps,
	// which are at least one, among submissions in all.
	Batch(carried []domain.Trace, submissions int) (end func())
}

// trace records the batch where it carries something that somebody follows.
func (w *Writer) trace(batch []domain.Submission) (end func()) {
	if w.cfg.Tracer == nil {
		return unrecorded
	}
	var carried []domain.Trace
	for i := range batch {
		if t := batch[i].Trace; !t.IsZero() {
			carried = append(carried, t)
		}
	}
	if len(carried) == 0 {
		return unrecorded
	}
	return w.cfg.Tracer.Batch(carried, len(batch))
}

func unrecorded() {}
