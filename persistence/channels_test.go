package persistence_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

const (
	openToken  = "EAAG-a-token-that-nobody-may-see-x4f2"
	openSecret = "0123456789abcdef-app-secret-9d31"
)

// channelCase is channels of one organization.
type channelCase struct {
	*tenant
	channels *persistence.Channels
	boss     domain.Caller
}

func newChannelCase(t *testing.T, database *persistencetest.Database, slug string) *channelCase {
	t.Helper()
	n := newTenant(t, database, slug)
	return &channelCase{n, persistence.NewChannels(openReads(t, database), sealerOf(t, 1)), n.admin("Boss")}
}

func sealerOf(t *testing.T, key byte, previous ...byte) *persistence.Sealer {
	t.Helper()
	var former [][]byte
	for _, p := range previous {
		former = append(former, sealKey(p))
	}
	sealer, err := persistence.NewSealer(sealKey(key), former...)
	require.NoError(t, err)
	return sealer
}

func sealKey(fill byte) []byte {
	key := make([]byte, 32)
	key[0] = fill
	return key
}

func (c *channelCase) create(external string) domain.ChannelID {
	c.t.Helper()
	id, err := c.channels.Create(c.t.Context(), c.boss, domain.ChannelDraft{
		Provider: domain.WhatsApp, Name: "Support", ExternalID: external, BusinessAccount: "77", AccessToken: openToken,
		WebhookSecret: openSecret, AssignmentPolicy: domain.AssignManually, SendRate: 40,
	})
	require.NoError(c.t, err)
	return id
}

func (c *channelCase) get(id domain.ChannelID) domain.ChannelView {
	c.t.Helper()
	view, err := c.channels.Get(c.t.Context(), c.org, id)
	require.NoError(c.t, err)
	return view
}

func (c *channelCase) update(id domain.ChannelID, patch domain.ChannelPatch) error {
	c.t.Helper()
	return c.channels.Update(c.t.Context(), c.boss, id, patch)
}

func (c *channelCase) prove(id domain.ChannelID, failure *domain.CallError) error {
	c.t.Helper()
	proof, err := c.channels.ToProve(c.t.Context(), c.org, id)
	require.NoError(c.t, err)
	require.Equal(c.t, openSecret, proof.AppSecret)
	return c.channels.Prove(c.t.Context(), c.boss, proof, failure)
}

var (
	toActive   = domain.ChannelPatch{Status: new(domain.ChannelActive)}
	toInactive = domain.ChannelPatch{Status: new(domain.ChannelInactive)}
	deadToken  = &domain.CallError{Class: domain.FailureChannel, Code: "190", Text: "the token has expired"}
)

func TestSecretsOfChannelsAreSealedAndMasked(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	c := newChannelCase(t, database, "one")
	id := c.create("4711")
	view := c.get(id)
	secret := "••••9d31"
	require.Equal(t, domain.ChannelView{
		ID: id, Name: "Support", Provider: domain.WhatsApp, Status: domain.ChannelInactive,
		Config:        &domain.ChannelConfigView{PhoneNumberID: "4711", BusinessAccountID: "77", AccessToken: "••••x4f2"},
		WebhookSecret: &secret, AssignmentPolicy: domain.AssignManually, SendRate: new(40),
		CreatedAt: view.CreatedAt, UpdatedAt: view.UpdatedAt,
	}, view)
	require.Equal(t, 1, count(t, database, `SELECT count(*) FROM channels WHERE id = $1 AND config->>'accessToken' LIKE 'sealed.1.%' AND webhook_secret LIKE 'sealed.1.%'`, id))
	for _, table := range []string{"channels", "admin_audit", "change_log"} {
		require.Zero(t, count(t, database, `SELECT count(*) FROM `+table+` r WHERE r::text LIKE '%nobody-may-see%' OR r::text LIKE '%app-secret%'`), table)
	}
	views, meta, err := c.channels.List(t.Context(), c.org, first)
	require.NoError(t, err)
	require.Equal(t, 2, meta.Total, "with the tenant's first")
	require.Contains(t, views, view)

	stranger := persistence.NewChannels(openReads(t, database), sealerOf(t, 9))
	masked, err := stranger.Get(t.Context(), c.org, id)
	require.NoError(t, err)
	require.Equal(t, "••••", masked.Config.AccessToken, "sealed with another key")
}

func TestAChannelIsChangedFieldByField(t *testing.T) {
	t.Parallel()
	c := newChannelCase(t, persistencetest.New(t), "one")
	id := c.create("4711")
	before := c.get(id)
	require.NoError(t, c.update(id, domain.ChannelPatch{}))
	after := c.get(id)
	after.UpdatedAt = before.UpdatedAt
	require.Equal(t, before, after, "nothing given, nothing changed")

	auto, name, none, zero := domain.AssignAutomatically, "Sales", "", 0
	require.NoError(t, c.update(id, domain.ChannelPatch{Name: &name, AssignmentPolicy: &auto, SendRate: &zero, WebhookSecret: &none, AccessToken: new("another token 9999")}))
	view := c.get(id)
	require.Equal(t, "Sales", view.Name)
	require.Equal(t, auto, view.AssignmentPolicy)
	require.Nil(t, view.SendRate)
	require.Nil(t, view.WebhookSecret)
	require.Equal(t, "••••9999", view.Config.AccessToken)
	require.Equal(t, "77", view.Config.BusinessAccountID, "merged")
	require.NotContains(t, c.audited("channel.updated")[1], "another token")
}

func TestAChannelWorksWhenItHasProvedItself(t *testing.T) {
	t.Parallel()
	c := newChannelCase(t, persistencetest.New(t), "one")
	id := c.create("4711")
	require.ErrorIs(t, c.update(id, toActive), domain.ErrChannelUnproved)
	require.NoError(t, c.prove(id, deadToken))
	view := c.get(id)
	require.Equal(t, "the token has expired", *view.LastError)
	require.Equal(t, domain.ChannelInactive, view.Status)
	require.ErrorIs(t, c.update(id, toActive), domain.ErrChannelUnproved)

	require.NoError(t, c.prove(id, nil))
	view = c.get(id)
	require.Equal(t, domain.ChannelInactive, view.Status, "the test alone doesn't switch it on")
	require.Nil(t, view.LastError)
	require.False(t, time.Time(view.ProvedAt).IsZero())
	require.NoError(t, c.update(id, toActive))
	require.Equal(t, domain.ChannelActive, c.get(id).Status)

	require.NoError(t, c.prove(id, &domain.CallError{Class: domain.FailureTransient, Code: "2", Text: "try again"}))
	require.Equal(t, domain.ChannelActive, c.get(id).Status, "trouble of the platform's is none of the channel's")
	require.NoError(t, c.prove(id, deadToken))
	require.Equal(t, domain.ChannelError, c.get(id).Status)
	require.ErrorIs(t, c.update(id, toActive), domain.ErrChannelFailing)
	require.NoError(t, c.update(id, domain.ChannelPatch{AccessToken: new("a renewed token")}))
	require.NoError(t, c.prove(id, nil))
	view = c.get(id)
	require.Equal(t, domain.ChannelActive, view.Status, "renewed, it works again")
	require.Nil(t, view.LastError)

	require.NoError(t, c.update(id, domain.ChannelPatch{ExternalID: new("4712")}))
	view = c.get(id)
	require.Equal(t, domain.ChannelInactive, view.Status, "another number has to be proved")
	require.True(t, time.Time(view.ProvedAt).IsZero())
	require.Equal(t, "4712", view.Config.PhoneNumberID)
	require.ErrorIs(t, c.update(id, toActive), domain.ErrChannelUnproved)
}

func TestAProofIsOfTheTestedCredentialsAlone(t *testing.T) {
	t.Parallel()
	c := newChannelCase(t, persistencetest.New(t), "one")
	id := c.create("4711")
	for _, change := range []domain.ChannelPatch{{AccessToken: new("another token")}, {ExternalID: new("4712")}} {
		proof, err := c.channels.ToProve(t.Context(), c.org, id)
		require.NoError(t, err)
		require.NoError(t, c.update(id, change))
		require.ErrorIs(t, c.channels.Prove(t.Context(), c.boss, proof, nil), domain.ErrChannelChanged)
		require.True(t, time.Time(c.get(id).ProvedAt).IsZero())
	}
	require.Empty(t, c.audited("channel.tested"))
}

func TestANumberBelongsToOneWorkingChannel(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newChannelCase(t, database, "one"), newChannelCase(t, database, "two")
	cases := []*channelCase{a, b}
	ids := []domain.ChannelID{a.create("4711"), b.create("4711")}
	errs := make([]error, 2)
	for round := range 5 {
		var both sync.WaitGroup
		for i, c := range cases {
			require.NoError(t, c.prove(ids[i], nil))
			both.Go(func() { errs[i] = c.channels.Update(t.Context(), c.boss, ids[i], toActive) })
		}
		both.Wait()
		winner := 0
		if errs[0] != nil {
			winner = 1
		}
		require.NoError(t, errs[winner], "round %d", round)
		require.ErrorIs(t, errs[1-winner], domain.ErrChannelTaken)
		require.NoError(t, cases[winner].update(ids[winner], toInactive))
	}
}

func TestChannelsOfAnotherOrganizationAreNotThere(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newChannelCase(t, database, "one"), newChannelCase(t, database, "two")
	id := a.create("4711")
	_, err := b.channels.Get(t.Context(), b.org, id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.ErrorIs(t, b.update(id, toInactive), domain.ErrNotFound)
	_, err = b.channels.ToProve(t.Context(), b.org, id)
	require.ErrorIs(t, err, domain.ErrNotFound)
	proof, err := a.channels.ToProve(t.Context(), a.org, id)
	require.NoError(t, err)
	require.ErrorIs(t, b.channels.Prove(t.Context(), b.boss, proof, nil), domain.ErrChannelChanged)
	require.NotContains(t, proof.String(), openToken)
}

// A change of AUTH_SECRET: both keys open, the new one seals, and when all is
// sealed anew the old one can go.
func TestSecretsAreSealedAnew(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	c := newChannelCase(t, database, "one") // sealed with key 1
	ids := []domain.ChannelID{c.create("1"), c.create("2")}
	reads := openReads(t, database)
	fresh := persistence.NewChannels(reads, sealerOf(t, 2))
	_, err := fresh.ToProve(t.Context(), c.org, ids[0])
	var unreadable *domain.CallError
	require.ErrorAs(t, err, &unreadable)
	require.Equal(t, domain.FailureChannel, unreadable.Class)
	n, err := fresh.Reseal(t.Context())
	require.ErrorIs(t, err, persistence.ErrOtherKey)
	require.Zero(t, n)

	both := persistence.NewChannels(reads, sealerOf(t, 2, 1))
	n, err = both.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = both.Reseal(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "run again, it changes nothing")
	for _, id := range ids {
		proof, err := fresh.ToProve(t.Context(), c.org, id)
		require.NoError(t, err)
		require.Equal(t, openToken, proof.Token)
		require.Equal(t, openSecret, proof.AppSecret)
	}
	working, err := fresh.Working(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, working, 1, "the tenant's first alone is ACTIVE")
	require.ErrorAs(t, working[0].Unreadable, &unreadable)
}
