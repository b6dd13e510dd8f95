package rest

import (
	"context"
	"io"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// Inbox carries out commands on conversations; the actors are it.
type Inbox interface {
	// Do returns nil once the command's effect is durable, or when there was
	// nothing to change. Else: a *domain.Refusal, domain.ErrNotFound for what
	// is absent or another organization's than the caller's,
	// domain.ErrUnavailable and domain.ErrOverloaded for what certainly was not
	// executed, domain.ErrOutcomeUnknown when ctx ended first, or a
	// *domain.ValueError.
	Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error
	// Send is Do for an outbound message: it returns the id of the new one, or of
	// the one that an earlier request with the same key made. A message that the
	// platform wouldn't take is a *domain.LimitError.
	Send(ctx context.Context, id domain.ConversationID, cmd domain.Send) (domain.MessageID, error)
}

// Conversations reads conversations; persistence is it. What is absent or
// another organization's is domain.ErrNotFound, a storage that is away
// domain.ErrUnavailable.
type Conversations interface {
	List(ctx context.Context, org domain.OrganizationID, filter domain.ConversationFilter) ([]domain.ConversationView, domain.PageMeta, error)
	Get(ctx context.Context, org domain.OrganizationID, id domain.ConversationID) (domain.ConversationView, error)
	// Messages returns up to limit messages older than before, newest first; a
	// zero before starts with the newest.
	Messages(ctx context.Context, org domain.OrganizationID, id domain.ConversationID, before domain.MessageID, limit int) ([]domain.MessageView, error)
	// Message returns one message.
	Message(ctx context.Context, org domain.OrganizationID, id domain.ConversationID, message domain.MessageID) (domain.MessageView, error)
	// Audit returns a page of the audit trail, newest first.
	Audit(ctx context.Context, org domain.OrganizationID, id domain.ConversationID, page domain.Page) ([]domain.AuditView, domain.PageMeta, error)
}

// Users reads users from the storage; persistence is it. A storage that is
// away is domain.ErrUnavailable.
type Users interface {
	// ByEmail returns the users of any status, in any organization, that have
	// the e-mail, whatever its case; at most maxAccounts, oldest first.
	ByEmail(ctx context.Context, email string) ([]domain.LoginUser, error)
	// Agents returns the ACTIVE users of the organization, by name. Presence
	// may be left empty; it comes from Presences.
	Agents(ctx context.Context, org domain.OrganizationID) ([]domain.AgentView, error)
}

// Sessions keeps logins; persistence is it. A storage that is away is
// domain.ErrUnavailable. All calls return when what they did is durable.
type Sessions interface {
	// Start stores the login; domain.ErrSessionOver when the user has changed
	// since the password was checked.
	Start(ctx context.Context, s domain.LoginSession) error
	// Refresh exchanges a refresh token for its successor; repeated, it gives
	// the same. domain.ErrSessionOver when the token is good for nothing, of
	// which domain.ErrTokenReused is the one that has ended its session.
	Refresh(ctx context.Context, use domain.RefreshUse) (domain.Renewal, error)
	// End ends a session of the user, and that of the refresh token where it is
	// the same user's.
	End(ctx context.Context, user domain.UserID, session domain.SessionID, refreshHash []byte) error
}

// Attachments knows the files of organizations; persistence is it. A file that is
// absent, not here yet, or another organization's is domain.ErrNotFound, a
// storage that is away domain.ErrUnavailable.
type Attachments interface {
	Get(ctx context.Context, org domain.OrganizationID, id domain.AttachmentID) (domain.Attachment, error)
	// Linked is a file of any organization, for who has its signed address.
	Linked(ctx context.Context, id domain.AttachmentID) (domain.Attachment, error)
	// Add writes down an upload whose content is stored.
	Add(ctx context.Context, file domain.Attachment) error
}

// Blobs keeps the content of files; persistence is it.
type Blobs interface {
	// Put keeps what limit allows; domain.ErrFileType or domain.ErrFileTooLarge.
	Put(ctx context.Context, key domain.FileKey, content io.Reader, limit domain.FileLimit) (domain.FileFacts, error)
	// Open is the content, or domain.ErrNotFound. The caller closes it.
	Open(ctx context.Context, key domain.FileKey) (io.ReadSeekCloser, error)
	// Delete removes it; it is safe to repeat.
	Delete(ctx context.Context, key domain.FileKey) error
}

// Throttle bounds how often something is tried; persistence/valkey is it.
type Throttle interface {
	// Take counts an attempt and returns zero, or how long to wait when there
	// were limit of them in this window already.
	Take(ctx context.Context, key string, limit int, window time.Duration) time.Duration
	// GiveBack uncounts an attempt.
	GiveBack(ctx context.Context, key string)
}

// Directory knows the users of all organizations from memory: the
// configuration that every node follows.
type Directory interface {
	User(org domain.OrganizationID, id domain.UserID) (domain.User, bool)
}

// Presences knows which agents are connected. Who isn't listed is OFFLINE.
type Presences interface {
	// Snapshot may ask another node: domain.ErrUnavailable or domain.ErrOverloaded
	// when it doesn't answer.
	Snapshot(ctx context.Context, org domain.OrganizationID) (map[domain.UserID]domain.AgentPresence, error)
}

// Tokens makes and checks access tokens; *auth.Issuer is it.
type Tokens interface {
	Issue(p auth.Principal) (string, error)
	Authenticate(ctx context.Context, token string) (auth.Principal, error)
}

// Passwords hashes and verifies passwords, only so many at a time; *auth.Hasher
// is it.
type Passwords interface {
	Hash(ctx context.Context, password string) (string, error)
	Verify(ctx context.Context, password, hash string) (bool, error)
}

// Check tells whether a part that the server can't work without does its work.
// It must answer when ctx ends.
type Check struct {
	Name string // as /readyz shows it, such as "postgresql"
	Ping func(ctx context.Context) error
}

// maxAccounts is in how many organizations one e-mail can log in: each costs a
// password hash.
const maxAccounts = 8
