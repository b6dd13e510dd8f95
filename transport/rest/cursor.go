package rest

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/chatopshub/chatopshub/domain"
)

// A cursor names the last message of a page: version, message id, and a check
// that ties both to the conversation, in base64 without padding. Ids order the
// messages of a conversation, so a page stays what it is while rows arrive.
// The check is against mistakes, not against malice: whoever makes up a cursor
// gets another place in a conversation that is open to them anyway.
const (
	cursorVersion = 1
	cursorSize    = 24 // bytes: 1 + 16 + 7, which is 32 characters
)

func cursor(conversation domain.ConversationID, last domain.MessageID) string {
	return base64.RawURLEncoding.EncodeToString(cursorBytes(conversation, last))
}

func cursorBytes(conversation domain.ConversationID, last domain.MessageID) []byte {
	data := append([]byte{cursorVersion}, last[:]...)
	check := sha256.Sum256(append(data[:len(data):len(data)], conversation[:]...))
	return append(data, check[:cursorSize-len(data)]...)
}

// parseCursor reads what cursor made for the same conversation, and nothing
// else.
func parseCursor(conversation domain.ConversationID, text string) (domain.MessageID, bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(cursorSize) {
		return domain.MessageID{}, false
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(data) != cursorSize {
		return domain.MessageID{}, false
	}
	last := domain.MessageID(data[1:17])
	return last, !last.IsZero() && string(data) == string(cursorBytes(conversation, last))
}
