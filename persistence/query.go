package persistence

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
)

//go:embed *.sql
var queryFiles embed.FS

// queries is the text of every statement of the .sql files beside this code, by
// the name in the tag.
type queries struct {
	LoadConversations string `query:"load-conversations"`
	LoadMessages      string `query:"load-messages"`

	ListConversations          string `query:"list-conversations"`
	ListConversationsOfChannel string `query:"list-conversations-of-channel"`
	ListConversationsOfAgent   string `query:"list-conversations-of-agent"`
	SearchConversations        string `query:"search-conversations"`
	SearchContacts             string `query:"search-contacts"`
	SearchMessages             string `query:"search-messages"`
	ConversationRows           string `query:"conversation-rows"`
	ConversationExists         string `query:"conversation-exists"`
	MessagePage                string `query:"message-page"`
	AttachmentsOfMessages      string `query:"attachments-of-messages"`
	AuditPage                  string `query:"audit-page"`

	StoredAttachment   string `query:"stored-attachment"`
	AddAttachment      string `query:"add-attachment"`
	WaitingAttachments string `query:"waiting-attachments"`
	PendingAttachment  string `query:"pending-attachment"`
	ForgetAttachment   string `query:"forget-attachment"`

	SharedFolder      string `query:"shared-folder"`
	ClaimSharedFolder string `query:"claim-shared-folder"`

	UsersByEmail string `query:"users-by-email"`
	Agents       string `query:"agents"`

	ListUsers        string `query:"list-users"`
	UserView         string `query:"user-view"`
	AddUser          string `query:"add-user"`
	LockOrganization string `query:"lock-organization"`
	LockUser         string `query:"lock-user"`
	ChangeUser       string `query:"change-user"`
	HasAdmin         string `query:"has-admin"`
	Audit            string `query:"audit"`
	AddOrganization  string `query:"add-organization"`

	ListChannels     string `query:"list-channels"`
	ChannelView      string `query:"channel-view"`
	LockChannel      string `query:"lock-channel"`
	AddChannel       string `query:"add-channel"`
	ChangeChannel    string `query:"change-channel"`
	ChannelProved    string `query:"channel-proved"`
	ChannelDisproved string `query:"channel-disproved"`
	SealedChannels   string `query:"sealed-channels"`
	ResealChannel    string `query:"reseal-channel"`
	WorkingChannels  string `query:"working-channels"`

	ListContacts      string `query:"list-contacts"`
	PickContacts      string `query:"pick-contacts"`
	ContactView       string `query:"contact-view"`
	AliasesOfContacts string `query:"aliases-of-contacts"`

	RecordAgentSessions string `query:"record-agent-sessions"`
	RenewNode           string `query:"renew-node"`
	LeaveNode           string `query:"leave-node"`
	ForgetNodes         string `query:"forget-nodes"`
	EndOrphanedSessions string `query:"end-orphaned-sessions"`
	AbsentAgents        string `query:"absent-agents"`

	HeldConversations    string `query:"held-conversations"`
	Seats                string `query:"seats"`
	WaitingConversations string `query:"waiting-conversations"`
	WaitingOrganizations string `query:"waiting-organizations"`

	StartSession        string `query:"start-session"`
	LockSession         string `query:"lock-session"`
	SpendRefreshToken   string `query:"spend-refresh-token"`
	AddRefreshToken     string `query:"add-refresh-token"`
	ExtendSession       string `query:"extend-session"`
	UnspentRefreshToken string `query:"unspent-refresh-token"`
	EndSession          string `query:"end-session"`
	EndSessions         string `query:"end-sessions"`
	AuditTokenReuse     string `query:"audit-token-reuse"`
	PruneSessions       string `query:"prune-sessions"`
	RevokedSessions     string `query:"revoked-sessions"`

	KeepDeadLetters  string `query:"keep-dead-letters"`
	PruneDeadLetters string `query:"prune-dead-letters"`
	ListDeadLetters  string `query:"list-dead-letters"`
	ClaimDeadLetter  string `query:"claim-dead-letter"`
	SettleDeadLetter string `query:"settle-dead-letter"`
	DeadLetterByID   string `query:"dead-letter-by-id"`
	RequestReplays   string `query:"request-replays"`
	RequestedReplay  string `query:"requested-replay"`

	DueConversations string `query:"due-conversations"`
	NewestInbound    string `query:"newest-inbound"`
	FailChannel      string `query:"fail-channel"`
	RecoverChannel   string `query:"recover-channel"`

	ClaimChannelChecks string `query:"claim-channel-checks"`
	NoteChannel        string `query:"note-channel"`

	KnownAliases   string `query:"known-aliases"`
	ContactExists  string `query:"contact-exists"`
	ConversationOf string `query:"conversation-of-message"`

	Backlog string `query:"backlog"`

	ConfigurationHorizon      string `query:"configuration-horizon"`
	ConfigurationChanges      string `query:"configuration-changes"`
	PruneConfigurationChanges string `query:"prune-configuration-changes"`
	ConfiguredUsers           string `query:"configured-users"`
	ConfiguredChannels        string `query:"configured-channels"`

	SeedOrganization   string `query:"seed-organization"`
	OrganizationBySlug string `query:"organization-by-slug"`
	SeedUserExists     string `query:"seed-user-exists"`
	SeedUser           string `query:"seed-user"`
	SeedChannel        string `query:"seed-channel"`

	DayFigures        string `query:"day-figures"`
	StoredFigures     string `query:"stored-figures"`
	LastAggregatedDay string `query:"last-aggregated-day"`
	LockAggregation   string `query:"lock-aggregation"`
	NextDay           string `query:"next-day"`
	StoreFigures      string `query:"store-figures"`
	DropFigures       string `query:"drop-figures"`
	MarkDay           string `query:"mark-day"`

	ReportSubject   string `query:"report-subject"`
	UserNames       string `query:"user-names"`
	ResponsesByHour string `query:"responses-by-hour"`

	PruneAgentSessions   string `query:"prune-agent-sessions"`
	PruneReplayedLetters string `query:"prune-replayed-letters"`
	RetireMessages       string `query:"retire-messages"`
	DoomUploads          string `query:"doom-uploads"`
	DoomedFiles          string `query:"doomed-files"`
	DropDoomed           string `query:"drop-doomed"`

	RequestErasure              string `query:"request-erasure"`
	OpenErasures                string `query:"open-erasures"`
	Family                      string `query:"family"`
	ConversationsOfContacts     string `query:"conversations-of-contacts"`
	AliasesOfContactsAlone      string `query:"aliases-of-contacts-alone"`
	EraseMessages               string `query:"erase-messages"`
	EraseEvents                 string `query:"erase-events"`
	HoldersOfContacts           string `query:"holders-of-contacts"`
	LockUsers                   string `query:"lock-users"`
	LockConversationsOfContacts string `query:"lock-conversations-of-contacts"`
	LockContacts                string `query:"lock-contacts"`
	GiveBackPlaces              string `query:"give-back-places"`
	EraseConversations          string `query:"erase-conversations"`
	RenameFormerOwners          string `query:"rename-former-owners"`
	ForgetMoves                 string `query:"forget-moves"`
	EraseContacts               string `query:"erase-contacts"`
	AuditErasure                string `query:"audit-erasure"`
	LettersOfOrganization       string `query:"letters-of-organization"`
	EraseLetters                string `query:"erase-letters"`

	ExportContacts      string `query:"export-contacts"`
	ExportAliases       string `query:"export-aliases"`
	ExportConversations string `query:"export-conversations"`
	ExportMessages      string `query:"export-messages"`
	ExportEvents        string `query:"export-events"`
	ExportAttachments   string `query:"export-attachments"`
	ExportLetters       string `query:"export-letters"`
	ExportMessageIds    string `query:"export-message-ids"`
}

// queryMark begins a statement in a .sql file; the statement's name follows.
const queryMark = "-- name: "

// parseQueries reads the statements of all .sql files. Code and files must
// agree: a statement that is missing, unused, empty or there twice is an error.
func parseQueries(files fs.FS) (queries, error) {
	var parsed queries
	texts, err := readQueries(files)
	if err != nil {
		return parsed, err
	}
	v := reflect.ValueOf(&parsed).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("query")
		text, ok := texts[name]
		if !ok {
			return parsed, fmt.Errorf("query %q is in no file", name)
		}
		v.Field(i).SetString(text)
		delete(texts, name)
	}
	for name := range texts {
		return parsed, fmt.Errorf("query %q is used nowhere", name)
	}
	return parsed, nil
}

// readQueries is the statements by name.
func readQueries(files fs.FS) (map[string]string, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	texts := make(map[string]string)
	for _, file := range names {
		content, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		if err := splitQueries(string(content), texts); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return texts, nil
}

// splitQueries adds the statements of one file to texts. What stands before
// the first mark is a comment.
func splitQueries(content string, texts map[string]string) error {
	_, content, found := strings.Cut("\n"+content, "\n"+queryMark)
	if !found {
		return errors.New("no query in it")
	}
	for part := range strings.SplitSeq(content, "\n"+queryMark) {
		name, text, _ := strings.Cut(part, "\n")
		name, text = strings.TrimSpace(name), strings.TrimSpace(text)
		if _, twice := texts[name]; twice {
			return fmt.Errorf("query %q is there twice", name)
		}
		if name == "" || text == "" {
			return fmt.Errorf("query %q has no name or no text", name)
		}
		texts[name] = text
	}
	return nil
}
