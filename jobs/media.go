package jobs

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/chatopshub/chatopshub/domain"
)

const (
	mediaQueue = "media"
	// mediaAttempts is how often a platform that fails is asked for a file.
	mediaAttempts = 3
	// workers is how many files come at a time on a node.
	workers = 16
	// perChannel is how many files of one channel are jobs at a time. Half of the
	// workers: a channel whose files come slowly leaves room for the others.
	perChannel = workers / 2
	// mediaScan is how often somebody looks for files that are to be fetched, and
	// scanned how many at most become jobs then.
	mediaScan = time.Second
	scanned   = 1000
	// offeredAgain is when a job is made again for a file that is still pending: its
	// job may have got lost. While there is one, none is added.
	offeredAgain = time.Minute
	// settleTimeout is how long a conversation may take to note what became of a file.
	settleTimeout = 10 * time.Second
	// mediaLife is how long WhatsApp keeps what customers send (Cloud API, media);
	// nobody waits longer for a channel to work again.
	mediaLife = 7 * 24 * time.Hour
)

// The pauses before a file is tried again.
const (
	pauseChannel  = 5 * time.Minute  // until somebody has renewed the token
	pauseThrottle = time.Minute      // where the platform names none
	pauseOurs     = 10 * time.Second // until something of ours works again
	pauseRetry    = 10 * time.Second // after the first failure; six times as long after the second
)

// Files is the rows of files that are to be fetched; persistence.Attachments is
// it.
type Files interface {
	// Waiting is the oldest perChannel of each channel, at most limit.
	Waiting(ctx context.Context, perChannel, limit int) ([]domain.AttachmentID, error)
	// Pending is one of them; domain.ErrNotFound when it is settled.
	Pending(ctx context.Context, id domain.AttachmentID) (domain.PendingFile, error)
	// Forget removes one whose message is gone.
	Forget(ctx context.Context, id domain.AttachmentID) error
}

// Store keeps the content of files; persistence.Blobs is it.
type Store interface {
	// Put keeps what limit allows; domain.ErrFileType or domain.ErrFileTooLarge.
	Put(ctx context.Context, key domain.FileKey, content io.Reader, limit domain.FileLimit) (domain.FileFacts, error)
	Delete(ctx context.Context, key domain.FileKey) error
}

// Platform gives files; transport/graph is it. Errors are *domain.CallError, or
// of Download also domain.ErrFileForbidden, ErrFileTooLarge and ErrFileGone.
type Platform interface {
	LookUp(ctx context.Context, as domain.Credentials, mediaID string) (domain.RemoteFile, error)
	// Download gives at most limit bytes; the caller closes it.
	Download(ctx context.Context, as domain.Credentials, url string, limit int64) (io.ReadCloser, error)
}

// Credentials opens the tokens of channels; persistence.Registry does. A channel
// that is gone is domain.ErrNotFound.
type Credentials interface {
	Credentials(id domain.ChannelID) (domain.Credentials, error)
}

// Inbox tells conversations; actors.Inbox does.
type Inbox interface {
	Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error
}

// MediaConfig is what fetching files needs.
type MediaConfig struct {
	Files       Files
	Store       Store
	Platform    Platform
	Credentials Credentials
	Inbox       Inbox
	Logger      *slog.Logger
	Now         func() time.Time
	// Pause is before the second attempt. Default 10 s.
	Pause time.Duration
	// Scan is how often somebody looks for work. Default 1 s.
	Scan time.Duration
}

// Media fetches the files that customers' messages bring.
type Media struct {
	river.WorkerDefaults[mediaArgs]
	cfg MediaConfig
}

// NewMedia makes the work; a Client does it.
func NewMedia(cfg MediaConfig) *Media {
	cfg.Pause, cfg.Scan = cmp.Or(cfg.Pause, pauseRetry), cmp.Or(cfg.Scan, mediaScan)
	return &Media{cfg: cfg}
}

// mediaArgs names the file that a job fetches.
type mediaArgs struct {
	Attachment domain.AttachmentID `json:"attachment"`
}

// Kind implements river.JobArgs.
func (mediaArgs) Kind() string { return "fetch_media" }

// InsertOpts implements river.JobArgsWithInsertOpts: one job for a file, until
// it is done.
func (mediaArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		Queue: mediaQueue, MaxAttempts: mediaAttempts,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}},
	}
}

func (m *Media) configure(c *river.Config) {
	river.AddWorker(c.Workers, m)
	c.Queues[mediaQueue] = river.QueueConfig{MaxWorkers: workers}
}

// run makes jobs of pending files.
func (m *Media) run(ctx context.Context, queue *river.Client[pgx.Tx]) error {
	tick := time.NewTicker(m.cfg.Scan)
	defer tick.Stop()
	offered := map[domain.AttachmentID]time.Time{} // bounded by what one scan finds, times those of a minute
	for {
		if err := m.offer(ctx, queue, offered); err != nil && ctx.Err() == nil {
			m.cfg.Logger.WarnContext(ctx, "files that are to be fetched wait", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// offer makes a job for each file that has none. offered spares the database
// those that had one just now.
func (m *Media) offer(ctx context.Context, queue *river.Client[pgx.Tx], offered map[domain.AttachmentID]time.Time) error {
	now := m.cfg.Now()
	for id, at := range offered {
		if now.Sub(at) >= offeredAgain {
			delete(offered, id)
		}
	}
	ids, err := m.cfg.Files.Waiting(ctx, perChannel, scanned)
	if err != nil {
		return err
	}
	var fresh []river.InsertManyParams
	for _, id := range ids {
		if _, known := offered[id]; !known {
			fresh = append(fresh, river.InsertManyParams{Args: mediaArgs{id}})
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if _, err := queue.InsertManyFast(ctx, fresh); err != nil {
		return err
	}
	for _, id := range ids {
		if _, known := offered[id]; !known {
			offered[id] = now
		}
	}
	return nil
}

// NextRetry implements river.Worker: the pause after a failure grows sixfold.
func (m *Media) NextRetry(job *river.Job[mediaArgs]) time.Time {
	pause := m.cfg.Pause
	for range job.Attempt - 1 {
		pause *= 6
	}
	return m.cfg.Now().Add(pause)
}

// Work implements river.Worker.
func (m *Media) Work(ctx context.Context, job *river.Job[mediaArgs]) error {
	file, err := m.cfg.Files.Pending(ctx, job.Args.Attachment)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return nil // settled
	case err != nil:
		return m.later(ctx, job, pauseOurs, err)
	case file.Conversation.IsZero():
		return m.forget(ctx, job, file)
	}
	facts, err := m.fetch(ctx, file)
	if ctxErr := ctx.Err(); errors.Is(ctxErr, context.Canceled) {
		return river.JobSnooze(0) // the program ends
	}
	v := judge(err, job.Attempt >= mediaAttempts, m.cfg.Now().Sub(file.Since) >= mediaLife)
	switch {
	case v.pause > 0:
		return m.later(ctx, job, v.pause, err)
	case v.again:
		return err
	case v.failure != "":
		m.cfg.Logger.WarnContext(ctx, "a customer's file can't be had", "attachment", file.Attachment, "channel", file.Channel,
			"reason", v.failure, "error", err)
	}
	return m.settle(ctx, job, file, facts, v.failure)
}

// settle tells the conversation what became of the file.
func (m *Media) settle(ctx context.Context, job *river.Job[mediaArgs], file domain.PendingFile, facts domain.FileFacts, failure domain.FileFailure) error {
	settled := domain.MediaSettled{
		File: domain.Attachment{FileKey: file.FileKey, Message: file.Message}, Failure: failure,
	}
	if failure == "" {
		settled.File.FileFacts, settled.File.Name = facts, domain.CleanFileName(file.Name)
	}
	// What is known is told also when the job's own time is over.
	telling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	err := m.cfg.Inbox.Do(telling, file.Conversation, settled)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, domain.ErrNoTarget), errors.Is(err, domain.ErrNotFound):
		return m.forget(ctx, job, file)
	}
	return m.later(ctx, job, pauseOurs, err)
}

// forget drops a file whose message is gone.
func (m *Media) forget(ctx context.Context, job *river.Job[mediaArgs], file domain.PendingFile) error {
	if err := m.cfg.Store.Delete(ctx, file.FileKey); err != nil {
		return m.later(ctx, job, pauseOurs, err)
	}
	if err := m.cfg.Files.Forget(ctx, file.Attachment); err != nil {
		return m.later(ctx, job, pauseOurs, err)
	}
	return nil
}

// later tries again after a pause, at no cost of an attempt.
func (m *Media) later(ctx context.Context, job *river.Job[mediaArgs], pause time.Duration, why error) error {
	m.cfg.Logger.WarnContext(ctx, "a file has to wait", "attachment", job.Args.Attachment, "pause", pause, "error", why)
	return river.JobSnooze(pause)
}
