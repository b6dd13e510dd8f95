package rest

import (
	"context"
	"sync"

	"github.com/chatopshub/chatopshub/domain"
)

// administration makes what administrators work on: one thing of each kind, in
// the fixture's organization, all with the id of its conversation.
func (f *fixture) administration() {
	f.accounts = &fakeAccounts{f: f, row: domain.UserView{
		ID: domain.UserID(f.conversation), Organization: f.org, Email: "kay@example.com", Name: "Kay",
		Role: domain.RoleAgent, Status: domain.UserActive,
	}}
	f.channels = &fakeChannels{f: f, name: "Support", row: exampleChannel()}
	f.channels.row.ID = domain.ChannelID(f.conversation)
	f.contacts = &fakeContacts{f: f, row: exampleContact()}
	f.contacts.row.ID = domain.ContactID(f.conversation)
	f.letters = &fakeLetters{f: f, row: exampleDeadLetter()}
	f.letters.row.ID = domain.DeadLetterID(f.conversation)
	f.directory[domain.UserID(madeID)] = domain.User{ID: domain.UserID(madeID), Organization: f.org}
	f.directory[f.accounts.row.ID] = domain.User{
		ID: f.accounts.row.ID, Organization: f.org, Name: "Kay", Role: domain.RoleAgent, Status: domain.UserActive,
	}
}

// madeID is the id of whatever is made, by whoever makes it.
var madeID = [16]byte{0xab}

// found is domain.ErrNotFound for what another organization asks for, or isn't
// there.
func (f *fixture) found(org domain.OrganizationID, id [16]byte) error {
	if org != f.org || id != f.conversation {
		return domain.ErrNotFound
	}
	return nil
}

// listed is row for its organization.
func listed[T any](f *fixture, org domain.OrganizationID, page domain.Page, row T) ([]T, domain.PageMeta, error) {
	if org != f.org {
		return nil, page.Meta(0, false), nil
	}
	return []T{row}, page.Meta(1, false), nil
}

type fakeAccounts struct {
	f   *fixture
	row domain.UserView
	err error

	mu       sync.Mutex
	filter   domain.UserFilter
	created  domain.NewUser
	patch    domain.UserPatch
	relieved []domain.UserID
	relief   error
}

func (a *fakeAccounts) List(_ context.Context, org domain.OrganizationID, filter domain.UserFilter) ([]domain.UserView, domain.PageMeta, error) {
	a.mu.Lock()
	a.filter = filter
	a.mu.Unlock()
	return listed(a.f, org, filter.Page, a.row)
}

func (a *fakeAccounts) Get(_ context.Context, org domain.OrganizationID, id domain.UserID) (domain.UserView, error) {
	if id == domain.UserID(madeID) {
		made := a.row
		made.ID, made.Organization = id, org
		return made, nil
	}
	return a.row, a.f.found(org, id)
}

func (a *fakeAccounts) Create(_ context.Context, _ domain.Caller, user domain.NewUser) (domain.UserID, error) {
	a.mu.Lock()
	a.created = user
	a.mu.Unlock()
	if a.err != nil {
		return domain.UserID{}, a.err
	}
	return domain.UserID(madeID), nil
}

func (a *fakeAccounts) Update(_ context.Context, by domain.Caller, id domain.UserID, patch domain.UserPatch) error {
	a.mu.Lock()
	a.patch = patch
	a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	return a.f.found(by.Organization, id)
}

func (a *fakeAccounts) Relieve(_ context.Context, _ domain.OrganizationID, user domain.UserID) error {
	a.mu.Lock()
	a.relieved = append(a.relieved, user)
	a.mu.Unlock()
	return a.relief
}

type fakeChannels struct {
	f   *fixture
	row domain.ChannelView
	err error // of changes

	name    string // what the platform answers
	refused error

	mu      sync.Mutex
	draft   domain.ChannelDraft
	patch   domain.ChannelPatch
	proved  bool
	failure *domain.CallError
}

func (c *fakeChannels) List(_ context.Context, org domain.OrganizationID, page domain.Page) ([]domain.ChannelView, domain.PageMeta, error) {
	return listed(c.f, org, page, c.row)
}

func (c *fakeChannels) Get(_ context.Context, org domain.OrganizationID, id domain.ChannelID) (domain.ChannelView, error) {
	if id == domain.ChannelID(madeID) {
		return c.row, nil
	}
	return c.row, c.f.found(org, id)
}

func (c *fakeChannels) Create(_ context.Context, _ domain.Caller, draft domain.ChannelDraft) (domain.ChannelID, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draft = draft
	return domain.ChannelID(madeID), c.err
}

func (c *fakeChannels) Update(_ context.Context, by domain.Caller, id domain.ChannelID, patch domain.ChannelPatch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patch = patch
	if c.err != nil {
		return c.err
	}
	return c.f.found(by.Organization, id)
}

func (c *fakeChannels) ToProve(_ context.Context, org domain.OrganizationID, id domain.ChannelID) (domain.ChannelProof, error) {
	return domain.ChannelProof{Channel: domain.Channel{ID: id}, Token: "the open token"}, c.f.found(org, id)
}

func (c *fakeChannels) Identify(context.Context, domain.ChannelProof) (string, error) {
	return c.name, c.refused
}

func (c *fakeChannels) Prove(_ context.Context, _ domain.Caller, _ domain.ChannelProof, failure *domain.CallError) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proved, c.failure = failure == nil, failure
	return c.err
}

type fakeContacts struct {
	f   *fixture
	row domain.ContactView

	mu     sync.Mutex
	filter domain.ContactFilter
}

func (c *fakeContacts) List(_ context.Context, org domain.OrganizationID, filter domain.ContactFilter) ([]domain.ContactView, domain.PageMeta, error) {
	c.mu.Lock()
	c.filter = filter
	c.mu.Unlock()
	return listed(c.f, org, filter.Page, c.row)
}

func (c *fakeContacts) Get(_ context.Context, org domain.OrganizationID, id domain.ContactID) (domain.ContactView, error) {
	return c.row, c.f.found(org, id)
}

type fakeLetters struct {
	f   *fixture
	row domain.DeadLetterView
	err error
}

func (l *fakeLetters) List(_ context.Context, org domain.OrganizationID, page domain.Page) ([]domain.DeadLetterView, domain.PageMeta, error) {
	return listed(l.f, org, page, l.row)
}

func (l *fakeLetters) Get(_ context.Context, org domain.OrganizationID, id domain.DeadLetterID) (domain.DeadLetterView, error) {
	return l.row, l.f.found(org, id)
}

func (l *fakeLetters) Replay(_ context.Context, org domain.OrganizationID, id domain.DeadLetterID) error {
	if err := l.f.found(org, id); err != nil {
		return err
	}
	return l.err
}
