package domain

import (
	"slices"
	"strings"
)

const (
	kilobyte int64 = 1 << 10
	megabyte int64 = 1 << 20
)

// MaxInboundFile is the largest file a customer can send: WhatsApp's limit,
// the higher one of the platforms.
const MaxInboundFile = 100 * megabyte

// fileRule is what a platform takes as files of one type.
type fileRule struct {
	size  int64 // bytes
	mimes []string
}

// whatsAppFiles is what the Cloud API takes. Its limits are counted in binary
// units by some and decimal by others; a sticker may be 100 KB unless it is
// animated, which can't be told from outside.
var whatsAppFiles = map[MessageType]fileRule{
	TypeImage:    {5 * megabyte, []string{"image/jpeg", "image/png"}},
	TypeVideo:    {16 * megabyte, []string{"video/mp4", "video/3gpp"}},
	TypeAudio:    {16 * megabyte, []string{"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"}},
	TypeVoice:    {16 * megabyte, []string{"audio/ogg"}},
	TypeSticker:  {500 * kilobyte, []string{"image/webp"}},
	TypeDocument: {100 * megabyte, documentMimes},
}

var documentMimes = []string{
	"text/plain", "application/pdf", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

// Messenger names no media types: what its own clients show is sent as such,
// and any other file as a document.
const (
	messengerFileSize = 25 * megabyte
	messengerLinkSize = 8 * megabyte // of an image by link
)

var messengerFiles = map[MessageType]string{
	TypeImage: "image/", TypeVideo: "video/", TypeAudio: "audio/", TypeVoice: "audio/", TypeDocument: "",
}

// TypeOfFile is the type of message in which the platform takes a file of that
// media type; false where it takes none.
func TypeOfFile(p Provider, mimeType string) (MessageType, bool) {
	mime := bareMime(mimeType)
	// Voice last: a recording is audio unless its author says otherwise.
	for _, t := range []MessageType{TypeImage, TypeVideo, TypeAudio, TypeSticker, TypeDocument} {
		if takesMime(p, t, mime) {
			return t, true
		}
	}
	return "", false
}

// FileSizeLimit is how many bytes a file may have as a message of that type; 0
// where the platform has no such messages.
func FileSizeLimit(p Provider, t MessageType) int64 {
	if p == WhatsApp {
		return whatsAppFiles[t].size
	}
	if _, ok := messengerFiles[t]; ok && p == Messenger {
		return messengerFileSize
	}
	return 0
}

func takesMime(p Provider, t MessageType, mime string) bool {
	if p == WhatsApp {
		return slices.Contains(whatsAppFiles[t].mimes, mime)
	}
	prefix, ok := messengerFiles[t]
	kind, name, slash := strings.Cut(mime, "/")
	return p == Messenger && ok && slash && kind != "" && name != "" && strings.HasPrefix(mime, prefix)
}

// bareMime is a media type without parameters, in lower case.
func bareMime(s string) string {
	bare, _, _ := strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(bare))
}
