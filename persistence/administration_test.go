package persistence_test

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// admin makes an administrator who acts.
func (n *tenant) admin(name string) domain.Caller {
	n.t.Helper()
	id := n.agent(name)
	n.exec(`UPDATE users SET role = 'ADMIN' WHERE id = $1`, id)
	return domain.Caller{Organization: n.org, User: id, Name: name, Role: domain.RoleAdmin}
}

// audited is what admin_audit has of an action, oldest first.
func (n *tenant) audited(action string) (metadata []map[string]any) {
	n.t.Helper()
	rows, err := n.db.SQL.Query(`SELECT metadata FROM admin_audit WHERE organization_id = $1 AND action = $2 ORDER BY created_at`, n.org, action)
	require.NoError(n.t, err)
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		var one map[string]any
		require.NoError(n.t, rows.Scan(&raw))
		require.NoError(n.t, json.Unmarshal(raw, &one))
		metadata = append(metadata, one)
	}
	require.NoError(n.t, rows.Err())
	return metadata
}

func TestUsersAreListedByNameAndPicked(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n, other := newTenant(t, database, "one"), newTenant(t, database, "two")
	grace, ada := n.admin("Grace"), n.agent("Ada")
	n.exec(`UPDATE users SET status = 'SUSPENDED', assigned_count = 2, max_conversations = 3 WHERE id = $1`, ada)
	other.agent("Bob")
	users := persistence.NewUsers(openReads(t, database))
	names := func(filter domain.UserFilter) (names []string) {
		filter.Page = first
		views, meta, err := users.List(t.Context(), n.org, filter)
		require.NoError(t, err)
		require.Equal(t, len(views), meta.Total)
		for _, v := range views {
			require.Equal(t, n.org, v.Organization)
			names = append(names, v.Name)
		}
		return names
	}
	require.Equal(t, []string{"Ada", "Grace"}, names(domain.UserFilter{}))
	require.Equal(t, []string{"Grace"}, names(domain.UserFilter{Role: domain.RoleAdmin}))
	require.Equal(t, []string{"Ada"}, names(domain.UserFilter{Status: domain.UserSuspended}))
	require.Empty(t, names(domain.UserFilter{Role: domain.RoleAdmin, Status: domain.UserInactive}))

	view, err := users.Get(t.Context(), n.org, ada)
	require.NoError(t, err)
	limit := 3
	require.Equal(t, domain.UserView{
		ID: ada, Organization: n.org, Email: "Ada@example.com", Name: "Ada", Role: domain.RoleAgent, Status: domain.UserSuspended,
		MaxConversations: &limit, AssignedCount: 2, CreatedAt: view.CreatedAt, UpdatedAt: view.UpdatedAt,
	}, view)
	_, err = users.Get(t.Context(), other.org, grace.User)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestUsersAreMadeAndChangedWithATrace(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n, other := newTenant(t, database, "one"), newTenant(t, database, "two")
	boss, stranger := n.admin("Boss"), other.admin("Stranger")
	users := persistence.NewUsers(openReads(t, database))
	id, err := users.Create(t.Context(), boss, domain.NewUser{Email: "Kay@example.com", Name: "Kay", Role: domain.RoleAgent, Password: "a hash"})
	require.NoError(t, err)
	_, err = users.Create(t.Context(), boss, domain.NewUser{Email: "KAY@example.com", Name: "Kay", Role: domain.RoleAgent, Password: "a hash"})
	require.ErrorIs(t, err, domain.ErrEmailTaken)
	_, err = users.Create(t.Context(), stranger, domain.NewUser{Email: "kay@example.com", Name: "Kay", Role: domain.RoleAgent, Password: "a hash"})
	require.NoError(t, err, "another organization's")
	_, err = users.Create(t.Context(), boss, domain.NewUser{Email: "nul\x00@example.com", Name: "Kay", Role: domain.RoleAgent, Password: "a hash"})
	var refused *domain.ValueError
	require.ErrorAs(t, err, &refused)

	name, limit, none := "Kay M.", 5, 0
	password := domain.PasswordHash("another hash")
	require.NoError(t, users.Update(t.Context(), boss, id, domain.UserPatch{Name: &name, MaxConversations: &limit, Password: &password}))
	view, err := users.Get(t.Context(), n.org, id)
	require.NoError(t, err)
	require.Equal(t, name, view.Name)
	require.Equal(t, &limit, view.MaxConversations)
	require.Equal(t, domain.RoleAgent, view.Role, "as it was")
	require.NoError(t, users.Update(t.Context(), boss, id, domain.UserPatch{MaxConversations: &none}))
	view, err = users.Get(t.Context(), n.org, id)
	require.NoError(t, err)
	require.Nil(t, view.MaxConversations)
	require.ErrorIs(t, users.Update(t.Context(), stranger, id, domain.UserPatch{Name: &name}), domain.ErrNotFound)

	require.Len(t, n.audited("user.created"), 1, "what fails leaves no trace")
	require.Equal(t, []map[string]any{
		{"name": name, "maxConversations": 5.0, "password": true}, {"maxConversations": 0.0},
	}, n.audited("user.updated"))
	require.Empty(t, other.audited("user.updated"))
}

func TestTheLastAdminStays(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	boss, retired := n.admin("Boss"), n.admin("Retired")
	n.exec(`UPDATE users SET status = 'INACTIVE' WHERE id = $1`, retired.User)
	users := persistence.NewUsers(openReads(t, database))
	agent, suspended, inactive, active := domain.RoleAgent, domain.UserSuspended, domain.UserInactive, domain.UserActive
	for _, patch := range []domain.UserPatch{{Role: &agent}, {Status: &suspended}, {Status: &inactive}, {Role: &agent, Status: &inactive}} {
		require.ErrorIs(t, users.Update(t.Context(), boss, boss.User, patch), domain.ErrLastAdmin)
	}
	require.NoError(t, users.Update(t.Context(), boss, boss.User, domain.UserPatch{Status: &active}), "nothing is lost")
	require.NoError(t, users.Update(t.Context(), boss, retired.User, domain.UserPatch{Status: &active}))
	require.NoError(t, users.Update(t.Context(), boss, boss.User, domain.UserPatch{Role: &agent}), "another one is left")
}

// However many administrators depose each other at the same time, one is left.
func TestAdminsDeposeEachOther(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	users := persistence.NewUsers(openReads(t, database))
	agent, suspended := domain.RoleAgent, domain.UserSuspended
	for round := range 8 {
		n := newTenant(t, database, string(rune('a'+round)))
		admins := []domain.Caller{n.admin("Ada"), n.admin("Barbara"), n.admin("Grace")}
		errs := make([]error, len(admins))
		var all sync.WaitGroup
		for i, by := range admins {
			victim := admins[(i+1)%len(admins)].User
			patch := domain.UserPatch{Role: &agent}
			if i == 1 {
				patch = domain.UserPatch{Status: &suspended}
			}
			all.Go(func() { errs[i] = users.Update(t.Context(), by, victim, patch) })
		}
		all.Wait()
		refused := 0
		for _, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, domain.ErrLastAdmin)
				refused++
			}
		}
		require.Equal(t, 1, refused)
		require.Equal(t, 1, count(t, database, `SELECT count(*) FROM users WHERE organization_id = $1 AND role = 'ADMIN' AND status = 'ACTIVE'`, n.org))
	}
}

func TestAnOrganizationComesWithItsAdmin(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	reads := openReads(t, database)
	admin := domain.NewUser{Email: "root@example.com", Name: "Root", Role: domain.RoleAdmin, Password: "a hash"}
	org, err := persistence.CreateOrganization(t.Context(), reads, "Acme", "acme", admin)
	require.NoError(t, err)
	_, err = persistence.CreateOrganization(t.Context(), reads, "Acme again", "acme", admin)
	require.ErrorIs(t, err, persistence.ErrSlugTaken)
	require.Equal(t, 1, count(t, database, `SELECT count(*) FROM users WHERE organization_id = $1 AND role = 'ADMIN' AND status = 'ACTIVE'`, org))
	require.Equal(t, 1, count(t, database, `SELECT count(*) FROM admin_audit WHERE action = 'organization.created' AND actor_id IS NULL`))
	require.Equal(t, 1, count(t, database, `SELECT count(*) FROM users`), "all or nothing")
}
