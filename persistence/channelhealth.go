package persistence

import (
	"context"
	"regexp"

	"github.com/chatopshub/chatopshub/domain"
)

// maxLastError bounds what is kept of a channel's error, in characters.
const maxLastError = 500

// ChannelHealth notes which channels can't send and which can again. Every node's
// Registry hears of it, and admin_audit has a line for each change.
type ChannelHealth struct{ reads *Reads }

// NewChannelHealth makes the keeper.
func NewChannelHealth(reads *Reads) *ChannelHealth { return &ChannelHealth{reads: reads} }

// Fail turns an ACTIVE channel of the organization to ERROR for that reason, and
// tells whether it did: a channel in another status, or of somebody else, stays
// as it is. Of the reason 500 characters are kept, without what looks like a
// token: platforms quote those they refuse. domain.ErrUnavailable when the
// database is away; to repeat it does no harm.
func (h *ChannelHealth) Fail(ctx context.Context, org domain.OrganizationID, id domain.ChannelID, reason string) (bool, error) {
	tag, err := h.reads.pool.Exec(ctx, h.reads.queries.FailChannel, org, id, publicError(reason))
	return tag.RowsAffected() > 0, readError("turn a channel to ERROR", err)
}

// Recover turns a channel of the organization from ERROR back to ACTIVE, without
// its last error, and tells whether it did. Errors are those of Fail.
func (h *ChannelHealth) Recover(ctx context.Context, org domain.OrganizationID, id domain.ChannelID) (bool, error) {
	tag, err := h.reads.pool.Exec(ctx, h.reads.queries.RecoverChannel, org, id)
	return tag.RowsAffected() > 0, readError("turn a channel back to ACTIVE", err)
}

// tokenPattern finds access tokens and app secrets: they have more characters in a
// row than words, or the ids that the platform's support asks for.
var tokenPattern = regexp.MustCompile(`[A-Za-z0-9_|%+/=-]{30,}`)

// publicError is what may be kept and shown of a platform's words.
func publicError(text string) string {
	shown := []rune(tokenPattern.ReplaceAllString(asText(text), "…"))
	return string(shown[:min(len(shown), maxLastError)])
}
