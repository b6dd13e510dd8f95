package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// FileLinkLabel is the label of the key that signs addresses of files.
const FileLinkLabel = "chatopshub file link v1"

// FileLinkPath is what the path of a file's address begins with; its id follows.
const FileLinkPath = "/api/attachments/"

// The parameters of a signed address.
const (
	FileLinkExpires   = "expires"
	FileLinkSignature = "signature"
)

// How long addresses are good for.
const (
	// ShownFor is for agents' pages: long enough to look at what was fetched with
	// them, too short to be worth passing on.
	ShownFor = time.Hour
	// SentFor is for a platform that fetches what we send: it may come late, and
	// again for ten minutes (Cloud API, media by link).
	SentFor = 24 * time.Hour
)

// Why an address isn't good.
var (
	// ErrLinkInvalid is returned for one that we didn't make.
	ErrLinkInvalid = errors.New("the address of the file isn't one of ours")
	// ErrLinkExpired is returned for one that was good.
	ErrLinkExpired = errors.New("the address of the file has expired")
)

// FileLinks makes and checks addresses from which a file can be fetched without
// an access token: an <img> sends none, nor does a platform. Whoever has one can
// fetch the file until it expires, and nothing else.
type FileLinks struct {
	Key  []byte // 32 bytes, for nothing else
	Base string // such as https://inbox.example.com, without a slash at the end; empty: addresses are relative
	Now  func() time.Time
}

// Link is an address of the file that is good for at least as long as given, and
// at most half as long again. Asked again soon, it is the same one, so that
// browsers find the file in their cache.
func (l *FileLinks) Link(file domain.AttachmentID, good time.Duration) string {
	step := good / 2
	expires := l.Now().Add(good + step).Truncate(step).Unix()
	query := url.Values{
		FileLinkExpires:   {strconv.FormatInt(expires, 10)},
		FileLinkSignature: {base64.RawURLEncoding.EncodeToString(l.sign(file, expires))},
	}
	return l.Base + FileLinkPath + file.String() + "?" + query.Encode()
}

// Check tells whether the parameters of an address allow to fetch the file: nil,
// ErrLinkExpired or ErrLinkInvalid.
func (l *FileLinks) Check(file domain.AttachmentID, expires, signature string) error {
	until, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || strconv.FormatInt(until, 10) != expires { // one address has one spelling
		return ErrLinkInvalid
	}
	mac, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || !hmac.Equal(mac, l.sign(file, until)) {
		return ErrLinkInvalid
	}
	if l.Now().Unix() >= until {
		return ErrLinkExpired
	}
	return nil
}

func (l *FileLinks) sign(file domain.AttachmentID, expires int64) []byte {
	mac := hmac.New(sha256.New, l.Key)
	mac.Write(file[:])
	mac.Write(strconv.AppendInt(nil, expires, 10))
	return mac.Sum(nil)
}
