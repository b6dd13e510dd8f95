package domain

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// pictured is a thread with one message of two files, and one that isn't fetched.
func pictured(t tb) (*thread, Message) {
	th := newThread(t)
	th.receive(CustomerMessage{ProviderID: "in-1", At: testStart, Type: TypeImage, MediaType: "image/jpeg", Metadata: MessageMetadata{
		Media: []Media{{ID: "7", MimeType: "image/jpeg"}, {URL: "https://cdn.fbsbx.com/8"}, {Kind: "sticker"}},
	}})
	return th, th.newest()
}

func fetched(m Message, n int, failure FileFailure) MediaSettled {
	file := Attachment{FileKey: FileKey{Attachment: m.Metadata.Media[n].Attachment}, Message: m.ID}
	if failure == "" {
		file.FileFacts = FileFacts{MimeType: "image/png", Size: 9, SHA256: []byte{1}}
	}
	return MediaSettled{File: file, Failure: failure}
}

func TestFilesOfMessagesAreExpected(t *testing.T) {
	t.Parallel()
	_, m := pictured(t)
	files := m.Metadata.Media
	require.False(t, files[0].Attachment.IsZero())
	require.False(t, files[1].Attachment.IsZero())
	require.NotEqual(t, files[0].Attachment, files[1].Attachment)
	require.True(t, files[2].Attachment.IsZero(), "nobody says where it is to be had")
	require.True(t, m.Attachment.IsZero())

	th := newThread(t)
	th.receive(BusinessEcho{ProviderID: "out-1", At: testStart, Type: TypeImage, Metadata: MessageMetadata{Media: []Media{{URL: "https://cdn.fbsbx.com/9"}}}})
	require.False(t, th.newest().Metadata.Media[0].Attachment.IsZero(), "what a colleague sent elsewhere is to be seen, too")
}

func TestAFileThatIsHereIsShown(t *testing.T) {
	t.Parallel()
	th, m := pictured(t)
	change := th.must(fetched(m, 1, ""))
	require.Equal(t, []EventName{EventMessageUpdated}, names(change))
	require.Len(t, change.Files, 1)
	require.Equal(t, AttachmentStored, change.Files[0].State)
	require.Equal(t, testOrg, change.Files[0].Organization)
	now := th.newest()
	require.Equal(t, m.Metadata.Media[1].Attachment, now.Attachment)
	require.Equal(t, "image/png", now.MediaType, "by its content, not as announced")
	require.Empty(t, m.Metadata.Media[1].State, "the former message stays as it was")

	linked := change.Notices[0].Linked(func(id AttachmentID) string { return "signed:" + id.String() })
	require.Equal(t, "signed:"+now.Attachment.String(), *linked.Payload.(MessageUpdated).MediaURL)
	require.Nil(t, change.Notices[0].Payload.(MessageUpdated).MediaURL)

	th.must(fetched(m, 0, ""))
	require.Equal(t, now.Attachment, th.newest().Attachment, "the first that came is the one that is shown")
}

func TestAFileThatCannotBeHadIsVisible(t *testing.T) {
	t.Parallel()
	th, m := pictured(t)
	change := th.must(fetched(m, 0, FileTooLarge))
	require.Equal(t, AttachmentFailed, change.Files[0].State)
	now := th.newest()
	require.Equal(t, FileTooLarge, now.Metadata.Media[0].Failure)
	require.True(t, now.Attachment.IsZero())

	key := m.Metadata.Media[0].Attachment
	view := MessageViewOf(th.c.ID, now, []AttachmentView{{ID: key, State: AttachmentFailed}}, func(AttachmentID) string { return "x" })
	require.Equal(t, FileTooLarge, *view.Attachments[0].Failure)
	require.Nil(t, view.Attachments[0].URL)
	require.Nil(t, view.MediaURL)
}

func TestWhatIsSettledStaysSettled(t *testing.T) {
	t.Parallel()
	for _, first := range []FileFailure{"", FileExpired} {
		for _, again := range []FileFailure{"", FileWrongType} {
			th, m := pictured(t)
			th.must(fetched(m, 0, first))
			change := th.must(fetched(m, 0, again))
			require.True(t, change.IsZero())
		}
	}
	th, m := pictured(t)
	stranger := fetched(m, 0, "")
	stranger.File.Attachment = testID[attachmentKind](99)
	_, err := th.do(stranger)
	require.ErrorIs(t, err, ErrNoTarget)
	stranger = fetched(m, 0, "")
	stranger.File.Message = testID[messageKind](99)
	_, err = th.do(stranger)
	require.ErrorIs(t, err, ErrNoTarget)
	_, err = newThread(t).do(fetched(m, 0, ""))
	require.ErrorIs(t, err, ErrNoTarget, "the conversation doesn't exist")
}

func TestARevokedMessageShowsNoFile(t *testing.T) {
	t.Parallel()
	th, m := pictured(t)
	th.must(fetched(m, 0, ""))
	change := th.receive(MessageRevoked{Target: "in-1", At: testStart})
	for _, n := range change.Notices {
		require.Nil(t, n.Linked(func(AttachmentID) string { return "x" }).Payload.(MessageUpdated).MediaURL)
	}
}

func TestASentFileIsTheMessages(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	file := testID[attachmentKind](5)
	change := th.must(Send{By: by(alice), Draft: Draft{
		Attachment: file, MediaType: "image/png",
		Metadata: MessageMetadata{Content: &Content{File: &File{Attachment: file, MimeType: "image/png", Size: 9}}},
	}})
	require.Equal(t, TypeImage, change.Inserts[0].Type)
	out := OutgoingOf(&th.c, &change.Inserts[0], th.now)
	require.Equal(t, file, out.Content.File.Attachment)
	require.Equal(t, file, change.Inserts[0].Attachment)
	require.Equal(t, "x", *change.Notices[0].Linked(func(AttachmentID) string { return "x" }).Payload.(MessageCreated).MediaURL)
	other := Notice{Payload: MessageCreated{MediaURL: new("https://elsewhere.example/1")}}
	require.Equal(t, other, other.Linked(func(AttachmentID) string { return "x" }), "what isn't ours stays where it is")
}

func TestInboundFileLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		provider Provider
		message  MessageType
		mime     string
		want     int64
	}{
		{WhatsApp, TypeImage, "image/jpeg", 16 * megabyte},
		{WhatsApp, TypeImage, "text/html; charset=utf-8", 0},
		{WhatsApp, TypeImage, "image/svg+xml", 0},
		{WhatsApp, TypeImage, "application/pdf", 0},
		{WhatsApp, TypeSticker, "image/webp", 16 * megabyte},
		{WhatsApp, TypeVideo, "video/mp4", 100 * megabyte},
		{WhatsApp, TypeVideo, "audio/ogg", 0},
		{WhatsApp, TypeVoice, "audio/ogg", 100 * megabyte},
		{WhatsApp, TypeAudio, "video/mp4", 100 * megabyte},
		{WhatsApp, TypeDocument, "application/zip", 100 * megabyte},
		{WhatsApp, TypeDocument, "application/vnd.microsoft.portable-executable", 0},
		{WhatsApp, TypeDocument, "text/html", 0},
		{Messenger, TypeDocument, "application/octet-stream", 25 * megabyte},
		{Messenger, TypeVideo, "video/quicktime", 25 * megabyte},
		{Messenger, TypeText, "application/pdf", 25 * megabyte},
	} {
		require.Equal(t, c.want, InboundFileLimit(c.provider, c.message)(c.mime), "%+v", c)
	}
}

func TestUploadLimits(t *testing.T) {
	t.Parallel()
	for mime, want := range map[string]int64{
		"image/png": 25 * megabyte, "application/pdf": 100 * megabyte, "application/zip": 25 * megabyte,
		"text/html": 0, "image/svg+xml": 0, "application/x-elf": 0, "": 0, "nonsense": 0,
	} {
		require.Equal(t, want, UploadLimit(mime), mime)
	}
}

func TestWhatBrowsersMayShow(t *testing.T) {
	t.Parallel()
	for mime, want := range map[string]bool{
		"image/png": true, "image/jpeg": true, "video/mp4": true, "audio/ogg": true, "image/webp": true,
		"image/svg+xml": false, "text/html": false, "application/pdf": false, "text/plain": false, "": false, "video/": false,
	} {
		require.Equal(t, want, ShownInline(mime), mime)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	sum := bytes.Repeat([]byte{7}, 32)
	require.Equal(t, sum, Digest(hex.EncodeToString(sum)))
	require.Equal(t, sum, Digest(base64.StdEncoding.EncodeToString(sum)))
	require.Nil(t, Digest(""))
	require.Nil(t, Digest("abcd"))
	require.Nil(t, Digest("not a digest"))
}
