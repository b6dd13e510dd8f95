package domain

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
)

// What keeps a file from being taken, beside a *CallError.
var (
	// ErrFileForbidden is returned for an address that isn't one of the
	// platforms' media hosts, or leads to one that isn't public.
	ErrFileForbidden = errors.New("not an address of the platforms' media")
	// ErrFileTooLarge is returned for a file over its limit, before or while it
	// is read.
	ErrFileTooLarge = errors.New("file is too large")
	// ErrFileType is returned for a file that is empty, or of a type that isn't
	// taken there, whatever it was said to be.
	ErrFileType = errors.New("file is empty or of a type that isn't taken")
	// ErrFileGone is returned when the platform doesn't have the file at that
	// address any more.
	ErrFileGone = errors.New("file is gone")
	// ErrFileDamaged is returned for a file that isn't the one that was
	// announced: its SHA-256 is another.
	ErrFileDamaged = errors.New("file isn't the one that was announced")
)

// FileKey names a file of ours. It is made of our own ids alone.
type FileKey struct {
	Organization OrganizationID
	Attachment   AttachmentID
}

// FileFacts is what we found out about a file by reading it.
type FileFacts struct {
	MimeType string // by its content; without parameters
	Size     int64  // bytes
	SHA256   []byte
}

// Attachment is a file of an organization that is here.
type Attachment struct {
	FileKey
	FileFacts
	Message MessageID // zero: not used yet
	Name    string    // CleanFileName of what it was called; may be empty
}

// PendingFile is a file of a message that is still to be fetched from the
// platform.
type PendingFile struct {
	FileKey
	Channel      ChannelID
	Conversation ConversationID
	Message      MessageID
	Type         MessageType // of the message
	Source       FileSource
	Name         string
	MimeType     string // as announced, not to be trusted
	Since        time.Time
}

// FileSource is where the platform has a file: by its id there, which gives a
// new address each time (WhatsApp), or at an address that expires.
type FileSource struct {
	ID     string `json:"id,omitempty"`
	URL    string `json:"url,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // as announced: Digest reads it
}

// Digest reads a SHA-256 as the platforms write it: base64 in webhooks, hex in
// look-ups, and the other way round. Nil: it is neither.
func Digest(s string) []byte {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if sum, err := decode(s); err == nil && len(sum) == 32 {
			return sum
		}
	}
	return nil
}

// RemoteFile is what the platform answers when it is asked for a file by id.
type RemoteFile struct {
	URL    string // good for some minutes
	SHA256 []byte // nil: not told
	Size   int64  // 0: not told
}

// FileLimit is how many bytes a file of a media type may have; 0: such files
// aren't taken at all.
type FileLimit func(mimeType string) int64

// MaxFile is the largest file that is taken anywhere.
const MaxFile = MaxInboundFile

// maxInboundPicture is far above what the platforms let customers send as a
// picture: whoever sends more sends something else.
const maxInboundPicture = 16 * megabyte

// InboundFileLimit is what is taken of customers' files as messages of a type:
// what a message shows must be of its kind, a document may be anything but a
// program.
func InboundFileLimit(p Provider, t MessageType) FileLimit {
	most := MaxInboundFile
	if p == Messenger {
		most = messengerFileSize
	}
	kinds := map[MessageType][]string{
		TypeImage: pictures, TypeSticker: pictures, TypeVideo: {"video/"}, TypeAudio: {"audio/", "video/"}, TypeVoice: {"audio/", "video/"},
	}[t] // what is only heard may come in a container for films
	return func(mimeType string) int64 {
		mime := bareMime(mimeType)
		switch {
		case slices.Contains(programs, mime), kinds != nil && !ofKind(mime, kinds):
			return 0
		case t == TypeImage, t == TypeSticker:
			return min(most, maxInboundPicture)
		}
		return most
	}
}

// UploadLimit is what is taken of agents' files: what any platform would take.
// The one that it is sent by is asked again then.
func UploadLimit(mimeType string) int64 {
	mime := bareMime(mimeType)
	if slices.Contains(programs, mime) {
		return 0
	}
	var most int64
	for _, p := range []Provider{WhatsApp, Messenger} {
		if t, ok := TypeOfFile(p, mime); ok {
			most = max(most, FileSizeLimit(p, t))
		}
	}
	return most
}

// pictures is what browsers show as an image without running anything: SVG,
// which is a document with scripts, isn't one of them.
var pictures = []string{"image/jpeg", "image/png", "image/webp", "image/gif", "image/heic", "image/heif", "image/avif", "image/bmp", "image/tiff"}

// programs is what runs when it is opened.
var programs = []string{
	"application/vnd.microsoft.portable-executable", "application/x-msdownload", "application/x-ms-installer", "application/x-ms-shortcut",
	"application/x-elf", "application/x-executable", "application/x-sharedlib", "application/x-object", "application/x-mach-binary",
	"application/vnd.android.package-archive", "application/jar", "application/java-archive", "application/x-java-applet",
	"application/x-chrome-extension", "application/vnd.debian.binary-package", "application/x-rpm", "application/x-installshield",
	"application/wasm", "text/html", "application/xhtml+xml", "image/svg+xml", "text/javascript", "application/javascript",
	"text/x-python", "text/x-perl", "text/x-php", "text/x-lua", "text/x-tcl", "text/x-ruby", "text/x-shellscript", "application/x-msi",
}

func ofKind(mime string, kinds []string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool {
		if rest, found := strings.CutPrefix(mime, kind); found {
			return (rest != "") == strings.HasSuffix(kind, "/")
		}
		return false
	})
}

// ShownInline reports whether a browser may show a file of the type in a page:
// raster images, sound and film. Everything else is downloaded.
func ShownInline(mimeType string) bool {
	mime := bareMime(mimeType)
	return ofKind(mime, pictures) || ofKind(mime, []string{"audio/", "video/"})
}

// Linker makes an address from which a file can be fetched without a login for
// a while.
type Linker func(AttachmentID) string

// link is the address of a file, or what the message had before.
func (l Linker) link(file AttachmentID, otherwise string) *string {
	if l == nil || file.IsZero() {
		return text(otherwise)
	}
	return text(l(file))
}

// Linked is n with the addresses of files in its payload. Decisions can't make
// them: an address is good for a while only, and signed.
func (n Notice) Linked(link Linker) Notice {
	switch p := n.Payload.(type) {
	case MessageCreated:
		if !p.File.IsZero() {
			p.MediaURL = link.link(p.File, "")
			n.Payload = p
		}
	case MessageUpdated:
		if !p.File.IsZero() {
			p.MediaURL = link.link(p.File, "")
			n.Payload = p
		}
	}
	return n
}
