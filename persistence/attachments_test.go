package persistence_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func (o *owner) sendsFiles(id string, media ...domain.Media) domain.Receive {
	r := o.says(id)
	r.Event = domain.CustomerMessage{ProviderID: id, At: dawn, Type: domain.TypeImage, Metadata: domain.MessageMetadata{Media: media}}
	return r
}

func (n *tenant) count(query string, args ...any) (count int) {
	n.t.Helper()
	require.NoError(n.t, n.db.SQL.QueryRow("SELECT count(*) FROM "+query, args...).Scan(&count))
	return count
}

func TestFilesAreExpectedWithTheirMessage(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a := newTenant(t, database, "a")
	attachments := persistence.NewAttachments(openReads(t, database))
	o := newOwner(t, openWriter(t, database.URL, oneLane), a, number(1))
	sum := "uAZnkxMIV+Jz5gHyxF3rqSy1Ki+Ao7hyrfD0m2T4m2I="
	verdict := o.submit(o.sendsFiles("wamid.1",
		domain.Media{ID: "77", MimeType: "image/jpeg", SHA256: sum, FileName: "a.jpg"},
		domain.Media{URL: "https://cdn.fbsbx.com/1"}, domain.Media{Kind: "sticker"}))
	require.Equal(t, domain.Committed, (<-verdict).Outcome)
	require.Equal(t, domain.Committed, (<-o.submit(o.says("no files"))).Outcome)
	require.Equal(t, 2, a.count("attachments"))

	ids, err := attachments.Waiting(t.Context(), 10, 10)
	require.NoError(t, err)
	require.Len(t, ids, 2)
	for _, id := range ids {
		file, err := attachments.Pending(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, domain.FileKey{Organization: a.org, Attachment: id}, file.FileKey)
		require.Equal(t, o.state.ID, file.Conversation)
		require.Equal(t, a.channel, file.Channel)
		require.Equal(t, domain.TypeImage, file.Type)
		require.False(t, file.Message.IsZero() || file.Since.IsZero())
		if file.Source.ID == "77" {
			require.Equal(t, domain.FileSource{ID: "77", SHA256: sum}, file.Source)
			require.Equal(t, "a.jpg image/jpeg", file.Name+" "+file.MimeType)
		} else {
			require.Equal(t, domain.FileSource{URL: "https://cdn.fbsbx.com/1"}, file.Source)
		}
		_, err = attachments.Get(t.Context(), a.org, id)
		require.ErrorIs(t, err, domain.ErrNotFound, "it isn't here yet")
	}

	// The same message again, by an owner who doesn't know it: a duplicate brings no files.
	again := newOwner(t, o.writer, a, number(1))
	again.state = o.state
	require.Equal(t, domain.Duplicate, (<-again.submit(o.sendsFiles("wamid.1", domain.Media{ID: "77"}))).Outcome)
	// Nor does one whose chain doesn't pass.
	stale := newOwner(t, o.writer, a, number(1))
	stale.state = o.state
	stale.state.Head = newID[domain.ChangeID]()
	require.Equal(t, domain.Conflict, (<-stale.submit(o.sendsFiles("wamid.2", domain.Media{ID: "78"}))).Outcome)
	require.Equal(t, 2, a.count("attachments"))
}

func TestWhatBecameOfAFileIsStoredWithItsMessage(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newTenant(t, database, "a"), newTenant(t, database, "b")
	reads := openReads(t, database)
	attachments := persistence.NewAttachments(reads)
	o := newOwner(t, openWriter(t, database.URL, oneLane), a, number(1))
	require.Equal(t, domain.Committed, (<-o.submit(o.sendsFiles("wamid.1", domain.Media{ID: "77"}, domain.Media{ID: "78", FileName: "b.pdf"}))).Outcome)
	ids, err := attachments.Waiting(t.Context(), 10, 10)
	require.NoError(t, err)
	pending := map[string]domain.PendingFile{}
	for _, id := range ids {
		file, err := attachments.Pending(t.Context(), id)
		require.NoError(t, err)
		pending[file.Source.ID] = file
	}
	facts := domain.FileFacts{MimeType: "image/png", Size: 1 << 40, SHA256: []byte{1, 2, 3}}
	here := domain.Attachment{FileKey: pending["77"].FileKey, FileFacts: facts, Message: pending["77"].Message, Name: "a.png"}
	require.Equal(t, domain.Committed, (<-o.submit(domain.MediaSettled{File: here})).Outcome)
	gone := domain.Attachment{FileKey: pending["78"].FileKey, Message: pending["78"].Message}
	require.Equal(t, domain.Committed, (<-o.submit(domain.MediaSettled{File: gone, Failure: domain.FileExpired})).Outcome)

	got, err := attachments.Get(t.Context(), a.org, here.FileKey.Attachment)
	require.NoError(t, err)
	require.Equal(t, here, got)
	linked, err := attachments.Linked(t.Context(), here.FileKey.Attachment)
	require.NoError(t, err)
	require.Equal(t, here, linked)
	for _, org := range []domain.OrganizationID{b.org, {}} {
		_, err = attachments.Get(t.Context(), org, here.FileKey.Attachment)
		require.ErrorIs(t, err, domain.ErrNotFound, "another organization's, nobody's")
	}
	_, err = attachments.Get(t.Context(), a.org, gone.FileKey.Attachment)
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = attachments.Pending(t.Context(), gone.FileKey.Attachment)
	require.ErrorIs(t, err, domain.ErrNotFound, "nothing is to be done any more")
	require.Equal(t, 1, a.count(`attachments WHERE state = 'stored' AND storage_path = $1`, a.org.String()+"/"+here.FileKey.Attachment.String()))

	conversations := persistence.NewConversations(reads, func(id domain.AttachmentID) string { return "signed:" + id.String() })
	views, err := conversations.Messages(t.Context(), a.org, o.state.ID, domain.MessageID{}, 10)
	require.NoError(t, err)
	require.Equal(t, "signed:"+here.FileKey.Attachment.String(), *views[0].MediaURL)
	require.Equal(t, "image/png", *views[0].MediaType)
	states := map[domain.AttachmentID]domain.AttachmentView{}
	for _, v := range views[0].Attachments {
		states[v.ID] = v
	}
	require.Equal(t, "a.png", *states[here.FileKey.Attachment].FileName)
	require.Equal(t, *views[0].MediaURL, *states[here.FileKey.Attachment].URL)
	failed := states[gone.FileKey.Attachment]
	require.Equal(t, domain.FileExpired, *failed.Failure)
	require.Equal(t, "b.pdf", *failed.FileName)
	require.Nil(t, failed.URL)

	// What the loader reads is what the writer wrote: a status that follows keeps the file.
	loader := persistence.NewLoader(reads)
	running(t, loader.Run)
	loaded := make(chan domain.Message, 1)
	loader.LoadMessages(o.state.ID, a.channel, domain.Targets{IDs: []domain.MessageID{here.Message}}, func(m []domain.Message, err error) {
		if err == nil && len(m) == 1 {
			loaded <- m[0]
		}
		close(loaded)
	})
	m, ok := <-loaded
	require.True(t, ok)
	require.Equal(t, here.FileKey.Attachment, m.Attachment)

	a.exec(`UPDATE messages SET deleted_at = now() WHERE id = $1`, here.Message)
	_, err = attachments.Linked(t.Context(), here.FileKey.Attachment)
	require.ErrorIs(t, err, domain.ErrNotFound, "its message was taken back")
}

func TestAnUploadIsUsedByItsMessage(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newTenant(t, database, "a"), newTenant(t, database, "b")
	attachments := persistence.NewAttachments(openReads(t, database))
	upload := func(n *tenant) domain.Attachment {
		file := domain.Attachment{
			FileKey:   domain.FileKey{Organization: n.org, Attachment: newID[domain.AttachmentID]()},
			FileFacts: domain.FileFacts{MimeType: "image/png", Size: 5, SHA256: []byte{1}}, Name: "a.png",
		}
		require.NoError(t, attachments.Add(t.Context(), file))
		got, err := attachments.Get(t.Context(), n.org, file.FileKey.Attachment)
		require.NoError(t, err)
		require.Equal(t, file, got)
		return file
	}
	ours, theirs := upload(a), upload(b)
	o := newOwner(t, openWriter(t, database.URL, oneLane), a, number(1))
	ada := a.agent("Ada")
	require.Equal(t, domain.Committed, (<-o.submit(o.says("hello"))).Outcome)
	by := domain.Caller{Organization: a.org, User: ada, Name: "Ada", Role: domain.RoleAgent}
	o.state.LastInboundAt, o.state.WindowExpiresAt = time.Now(), time.Now().Add(time.Hour)
	require.Equal(t, domain.Committed, (<-o.submit(domain.Accept{By: by})).Outcome)
	send := func(file domain.Attachment) domain.MessageID {
		draft := domain.Draft{Type: domain.TypeImage, Attachment: file.FileKey.Attachment, MediaType: "image/png"}
		draft.Metadata.Content = &domain.Content{File: &domain.File{Attachment: file.FileKey.Attachment, MimeType: "image/png"}}
		require.Equal(t, domain.Committed, (<-o.submit(domain.Send{By: by, Draft: draft})).Outcome)
		return o.state.LastMessage
	}
	first := send(ours)
	got, err := attachments.Get(t.Context(), a.org, ours.FileKey.Attachment)
	require.NoError(t, err)
	require.Equal(t, first, got.Message)
	send(ours)
	got, err = attachments.Get(t.Context(), a.org, ours.FileKey.Attachment)
	require.NoError(t, err)
	require.Equal(t, first, got.Message, "it stays the first one's")
	send(theirs)
	got, err = attachments.Get(t.Context(), b.org, theirs.FileKey.Attachment)
	require.NoError(t, err)
	require.True(t, got.Message.IsZero(), "another organization's stays untouched, whatever the caller forgot to check")
	require.Equal(t, 1, a.count(`messages WHERE id = $1 AND attachment_id = $2`, first, ours.FileKey.Attachment))
}

// TestChannelsTakeTurns lets one channel have a thousand times as much to fetch.
func TestChannelsTakeTurns(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	busy, quiet := newTenant(t, database, "busy"), newTenant(t, database, "quiet")
	expect := func(n *tenant, many int, at time.Time) {
		n.exec(`INSERT INTO attachments (id, organization_id, channel_id, message_id, source, created_at)
			SELECT gen_random_uuid(), $1, $2, gen_random_uuid(), '{}', $3::timestamptz + n * interval '1 ms' FROM generate_series(1, $4::int) n`,
			n.org, n.channel, at, many)
	}
	expect(busy, 3000, dawn)
	expect(quiet, 3, dawn.Add(time.Hour))
	attachments := persistence.NewAttachments(openReads(t, database))
	ids, err := attachments.Waiting(t.Context(), 8, 100)
	require.NoError(t, err)
	require.Len(t, ids, 8+3)
	ids, err = attachments.Waiting(t.Context(), 8, 4)
	require.NoError(t, err)
	require.Equal(t, 2, quiet.count(`attachments WHERE channel_id = $1 AND id = ANY ($2::uuid[])`, quiet.channel, asTexts(ids)))

	// A file whose message is gone is told apart and forgotten.
	file, err := attachments.Pending(t.Context(), ids[0])
	require.NoError(t, err)
	require.True(t, file.Conversation.IsZero())
	for range 2 {
		require.NoError(t, attachments.Forget(t.Context(), ids[0]))
	}
	_, err = attachments.Pending(t.Context(), ids[0])
	require.ErrorIs(t, err, domain.ErrNotFound)
	_, err = attachments.Pending(t.Context(), domain.AttachmentID(uuid.New()))
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func asTexts[K any](ids []domain.ID[K]) (texts []string) {
	for _, id := range ids {
		texts = append(texts, id.String())
	}
	return texts
}
