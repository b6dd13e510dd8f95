package jobs

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

var png = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR not much of a picture")

const patience = 30 * time.Second

// bench is the jobs on a real queue, with real rows and a real store; the tests
// play the platform and the conversations.
type bench struct {
	t       *testing.T
	db      *persistencetest.Database
	reads   *persistence.Reads
	store   *persistence.Blobs
	org     uuid.UUID
	now     func() time.Time
	channel domain.ChannelID

	platform Platform
	token    atomic.Pointer[error] // why there is no token; nil: there is

	mu      sync.Mutex
	settled map[domain.AttachmentID]domain.MediaSettled
	refuse  []error // what the conversation answers first
}

func newBench(t *testing.T, platform Platform) *bench {
	t.Helper()
	b := &bench{
		t: t, db: persistencetest.New(t), platform: platform, now: time.Now, settled: map[domain.AttachmentID]domain.MediaSettled{},
		org: uuid.New(),
	}
	var err error
	b.reads, err = persistence.OpenReads(t.Context(), persistence.Config{URL: b.db.URL})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.reads.Close()) })
	b.store, err = persistence.OpenBlobs(t.TempDir(), time.Now())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.store.Close()) })
	b.exec(`INSERT INTO organizations (id, name, slug) VALUES ($1, 'o', 'o')`, b.org)
	b.channel = b.newChannel("1")
	return b
}

func (b *bench) exec(query string, args ...any) {
	b.t.Helper()
	_, err := b.db.SQL.Exec(query, args...)
	require.NoError(b.t, err)
}

func (b *bench) newChannel(account string) (id domain.ChannelID) {
	b.t.Helper()
	id = domain.ChannelID(uuid.New())
	b.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status) VALUES ($1, $2, 'WHATSAPP', 'c', $3, 'ACTIVE')`, id, b.org, account)
	return id
}

// expect is a file that a message brings, as the writer writes it down.
func (b *bench) expect(channel domain.ChannelID, source domain.FileSource) domain.AttachmentID {
	b.t.Helper()
	encoded, err := json.Marshal(source)
	require.NoError(b.t, err)
	message, id := uuid.Must(uuid.NewV7()), domain.AttachmentID(uuid.Must(uuid.NewV7()))
	b.exec(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, type, status)
		VALUES ($1, $2, $3, $4, 'INBOUND', 'image', 'DELIVERED')`, message, b.org, channel, uuid.New())
	b.exec(`INSERT INTO attachments (id, organization_id, channel_id, message_id, source, file_name) VALUES ($1, $2, $3, $4, $5, '../x.png')`,
		id, b.org, channel, message, string(encoded))
	return id
}

// Credentials implements Credentials.
func (b *bench) Credentials(id domain.ChannelID) (domain.Credentials, error) {
	if err := b.token.Load(); err != nil {
		return domain.Credentials{}, *err
	}
	return domain.Credentials{Channel: domain.Channel{ID: id, Provider: domain.WhatsApp, ExternalID: "1"}, Token: "EAAG"}, nil
}

// Do implements Inbox: it is the conversation.
func (b *bench) Do(_ context.Context, _ domain.ConversationID, cmd domain.Command) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.refuse) > 0 {
		err := b.refuse[0]
		b.refuse = b.refuse[1:]
		return err
	}
	s := cmd.(domain.MediaSettled)
	state := "stored"
	if s.Failure != "" {
		state = "failed"
	}
	if _, err := b.db.SQL.Exec(`UPDATE attachments SET state = $2::attachment_state WHERE id = $1`, s.File.FileKey.Attachment, state); err != nil {
		return domain.ErrUnavailable
	}
	b.settled[s.File.FileKey.Attachment] = s
	return nil
}

func (b *bench) work() *Media {
	return NewMedia(MediaConfig{
		Files: persistence.NewAttachments(b.reads), Store: b.store, Platform: b.platform, Credentials: b, Inbox: b,
		Logger: slog.New(slog.DiscardHandler), Now: b.now, Pause: time.Millisecond, Scan: 20 * time.Millisecond,
	})
}

// run works until stop is called, or the test ends.
func (b *bench) run() (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	pool, err := persistence.OpenPool(ctx, persistence.Config{URL: b.db.URL, MaxConns: 4}, "test")
	require.NoError(b.t, err)
	client, err := New(Config{Pool: pool, Logger: slog.New(slog.DiscardHandler)}, b.work())
	require.NoError(b.t, err)
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(b.t, <-ended)
		pool.Close()
	})
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) await(id domain.AttachmentID) domain.MediaSettled {
	b.t.Helper()
	var s domain.MediaSettled
	require.Eventually(b.t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		var ok bool
		s, ok = b.settled[id]
		return ok
	}, patience, 5*time.Millisecond, "file %s is never settled", id)
	return s
}

func (b *bench) eventually(what, query string, args ...any) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var n int
		err := b.db.SQL.QueryRow(query, args...).Scan(&n)
		return err == nil && n > 0 || errors.Is(err, sql.ErrNoRows)
	}, patience, 5*time.Millisecond, what)
}

// scripted is a platform whose answers a test gives.
type scripted struct {
	lookUp   func(id string) (domain.RemoteFile, error)
	download func(ctx context.Context, url string) (io.ReadCloser, error)
}

func (s scripted) LookUp(_ context.Context, _ domain.Credentials, id string) (domain.RemoteFile, error) {
	return s.lookUp(id)
}

func (s scripted) Download(ctx context.Context, _ domain.Credentials, url string, _ int64) (io.ReadCloser, error) {
	return s.download(ctx, url)
}

func found(string) (domain.RemoteFile, error) { return domain.RemoteFile{URL: "https://x"}, nil }

func aPicture(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(png)), nil
}

func TestAFileIsTriedThreeTimes(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	fails := &domain.CallError{Class: domain.FailureTransient, Code: "2"}
	b := newBench(t, scripted{found, func(ctx context.Context, url string) (io.ReadCloser, error) {
		if asked.Add(1) < 3 {
			return nil, fails
		}
		return aPicture(ctx, url)
	}})
	id := b.expect(b.channel, domain.FileSource{ID: "7"})
	b.run()
	s := b.await(id)
	require.Empty(t, s.Failure)
	require.Equal(t, "x.png", s.File.Name)
	require.EqualValues(t, 3, asked.Load())

	asked.Store(-1000)
	lost := b.expect(b.channel, domain.FileSource{ID: "8"})
	require.Equal(t, domain.FileUnavailable, b.await(lost).Failure)
	require.EqualValues(t, -997, asked.Load(), "three times, not more")
}

func TestAPauseCostsNoAttempt(t *testing.T) {
	t.Parallel()
	b := newBench(t, scripted{found, aPicture})
	dead := error(&domain.CallError{Class: domain.FailureChannel, Code: "190"})
	b.token.Store(&dead)
	id := b.expect(b.channel, domain.FileSource{ID: "7"})
	b.run()
	for range 5 {
		b.eventually("it waits", `SELECT count(*) FROM river_job WHERE state = 'scheduled' AND attempt < 3`)
		b.exec(`UPDATE river_job SET scheduled_at = now(), state = 'available'`)
	}
	b.eventually("the row waits, too", `SELECT count(*) FROM attachments WHERE state = 'pending'`)
	b.token.Store(nil) // somebody has renewed it
	b.eventually("it waits", `SELECT count(*) FROM river_job WHERE state <> 'running'`)
	b.exec(`UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE state = 'scheduled'`)
	require.Empty(t, b.await(id).Failure)
}

func TestAConversationThatCannotAnswerIsToldAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, scripted{found, aPicture})
	b.refuse = []error{domain.ErrUnavailable, domain.ErrOverloaded, domain.ErrOutcomeUnknown}
	id := b.expect(b.channel, domain.FileSource{ID: "7"})
	b.run()
	for range 3 {
		b.eventually("it waits", `SELECT count(*) FROM river_job WHERE state = 'scheduled'`)
		b.exec(`UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE state = 'scheduled'`)
	}
	require.Empty(t, b.await(id).Failure)
}

func TestAFileOfNoMessageIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, scripted{found, aPicture})
	b.refuse = []error{domain.ErrNoTarget}
	told := b.expect(b.channel, domain.FileSource{ID: "7"})
	gone := b.expect(b.channel, domain.FileSource{ID: "8"})
	b.exec(`DELETE FROM messages WHERE id = (SELECT message_id FROM attachments WHERE id = $1)`, gone)
	b.run()
	b.eventually("both rows go", `SELECT 1 WHERE NOT EXISTS (SELECT FROM attachments)`)
	_, err := b.store.Open(t.Context(), domain.FileKey{Organization: domain.OrganizationID(b.org), Attachment: told})
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// TestTheProgramEndsWhileAFileComes: the job goes back to the queue at no cost,
// and the next start fetches the file.
func TestTheProgramEndsWhileAFileComes(t *testing.T) {
	t.Parallel()
	coming := make(chan struct{}, 1)
	var blocks atomic.Bool
	blocks.Store(true)
	b := newBench(t, scripted{found, func(ctx context.Context, url string) (io.ReadCloser, error) {
		if !blocks.Load() {
			return aPicture(ctx, url)
		}
		coming <- struct{}{}
		<-ctx.Done()
		return nil, &domain.CallError{Class: domain.FailureUncertain, Code: domain.CallNoAnswer, Cause: ctx.Err()}
	}})
	id := b.expect(b.channel, domain.FileSource{ID: "7"})
	stop := b.run()
	<-coming
	stop()
	b.eventually("back in the queue, as if never tried", `SELECT count(*) FROM river_job WHERE state = 'available' AND attempt = 0`)
	blocks.Store(false)
	b.run()
	require.Empty(t, b.await(id).Failure)
}

// TestASlowChannelLeavesRoomForTheOthers has one channel whose files never come.
func TestASlowChannelLeavesRoomForTheOthers(t *testing.T) {
	t.Parallel()
	var slow atomic.Int64
	b := newBench(t, scripted{
		func(id string) (domain.RemoteFile, error) { return domain.RemoteFile{URL: id}, nil },
		func(ctx context.Context, url string) (io.ReadCloser, error) {
			if url == "slow" {
				slow.Add(1)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return aPicture(ctx, url)
		},
	})
	for range 100 {
		b.expect(b.channel, domain.FileSource{ID: "slow"})
	}
	b.run()
	require.Eventually(t, func() bool { return slow.Load() == perChannel }, patience, 5*time.Millisecond)
	other := b.newChannel("2")
	var quick []domain.AttachmentID
	for range 30 {
		quick = append(quick, b.expect(other, domain.FileSource{ID: "quick"}))
	}
	for _, id := range quick {
		require.Empty(t, b.await(id).Failure)
	}
	require.EqualValues(t, perChannel, slow.Load(), "the others of the slow channel wait as rows")
	b.eventually("and have no job", `SELECT 1 WHERE (SELECT count(*) FROM river_job WHERE state <> 'completed') = $1`, perChannel)
}

// TestAJobThatGotLostIsMadeAgain empties the queue behind the back of all.
func TestAJobThatGotLostIsMadeAgain(t *testing.T) {
	t.Parallel()
	var skew atomic.Int64
	b := newBench(t, scripted{found, func(context.Context, string) (io.ReadCloser, error) {
		return nil, &domain.CallError{Class: domain.FailureThrottleApp, Code: "4"}
	}})
	b.now = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	b.expect(b.channel, domain.FileSource{ID: "7"})
	b.run()
	b.eventually("a job is made", `SELECT count(*) FROM river_job WHERE state = 'scheduled'`)
	b.exec(`DELETE FROM river_job`)
	skew.Store(int64(2 * offeredAgain))
	b.eventually("another one is made", `SELECT count(*) FROM river_job`)
}

// TestAFileThatNeverEndsIsCutOff sends more than any limit, without telling.
func TestAFileThatNeverEndsIsCutOff(t *testing.T) {
	t.Parallel()
	b := newBench(t, scripted{found, func(context.Context, string) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(png), rand.Reader)), nil
	}})
	id := b.expect(b.channel, domain.FileSource{ID: "7"})
	b.run()
	require.Equal(t, domain.FileTooLarge, b.await(id).Failure)
	_, err := b.store.Open(t.Context(), domain.FileKey{Organization: domain.OrganizationID(b.org), Attachment: id})
	require.ErrorIs(t, err, domain.ErrNotFound)
}
