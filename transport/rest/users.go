package rest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// userRoutes registers what administrators do with users.
func (s *server) userRoutes() {
	admins := only(domain.RoleAdmin)
	register(s, operation{
		access: admins, method: http.MethodGet, path: "/api/users", id: "listUsers", tag: "Users",
		summary: "List users", about: "By name.", refuses: []int{503}, example: exampleList(exampleUser()),
	}, s.listUsers)
	register(s, operation{
		access: admins, method: http.MethodPost, path: "/api/users", id: "createUser", tag: "Users",
		summary: "Create a user", refuses: []int{409, 503, 504}, status: http.StatusCreated,
		takes:   map[string]any{"email": "grace@example.com", "password": "correct horse battery staple", "name": "Grace", "role": "AGENT", "maxConversations": 10},
		example: exampleUser(),
	}, s.createUser)
	register(s, operation{
		access: admins, method: http.MethodPatch, path: "/api/users/{id}", id: "updateUser", tag: "Users",
		summary: "Change a user", about: "Another role, status or password ends the user's sessions. Who isn't ACTIVE any more loses " +
			"the conversations: they are PENDING again. The last ACTIVE ADMIN stays one.",
		refuses: []int{404, 409, 503, 504}, takes: map[string]any{"maxConversations": 20}, example: exampleUser(),
	}, s.updateUser)
}

type listUsersInput struct {
	Role   domain.Role       `query:"role" enum:"ADMIN,AGENT"`
	Status domain.UserStatus `query:"status" enum:"ACTIVE,INACTIVE,SUSPENDED"`
	PageQuery
}

func (s *server) listUsers(ctx context.Context, in *listUsersInput) (*listOutput[domain.UserView], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	rows, meta, err := s.Accounts.List(ctx, callerOf(ctx).Organization, domain.UserFilter{Role: in.Role, Status: in.Status, Page: page})
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return newList(rows, meta), nil
}

type createUserInput struct{ Body newUserBody }

type newUserBody struct {
	Email            string      `json:"email" maxLength:"254" pattern:"^[^\\s\\x00]+@[^\\s\\x00]+$" patternDescription:"an e-mail address"`
	Password         string      `json:"password" minLength:"8" maxLength:"1024" doc:"Not the e-mail"`
	Name             string      `json:"name" maxLength:"200" pattern:"\\S" patternDescription:"a name"`
	Role             domain.Role `json:"role" enum:"ADMIN,AGENT"`
	MaxConversations *int        `json:"maxConversations,omitempty" minimum:"1" maximum:"100000" doc:"How many conversations the user may have at once; left out: any number"`
}

type userOutput struct{ Body domain.UserView }

func (s *server) createUser(ctx context.Context, in *createUserInput) (*userOutput, error) {
	caller, body := callerOf(ctx), in.Body
	hash, err := s.newPassword(ctx, body.Email, body.Password)
	if err != nil {
		return nil, err
	}
	id, err := s.Accounts.Create(ctx, asCaller(caller), domain.NewUser{
		Email: body.Email, Name: strings.TrimSpace(body.Name), Role: body.Role, MaxConversations: body.MaxConversations, Password: hash,
	})
	if err != nil {
		return nil, fmt.Errorf("create a user: %w", uncertain(err))
	}
	s.known(ctx, id, func(domain.User) bool { return true })
	return s.userAsItIs(ctx, id)
}

// newPassword is the hash of a password that somebody chose.
func (s *server) newPassword(ctx context.Context, email, password string) (domain.PasswordHash, error) {
	if err := domain.CheckPassword(email, password); err != nil {
		return "", invalid("body", "password", err.Error())
	}
	hash, err := s.Passwords.Hash(ctx, password)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return domain.PasswordHash(hash), nil
}

// UserPath names a user; exported as PageQuery is.
type UserPath struct {
	ID domain.UserID `path:"id" format:"uuid" doc:"The user"`
}

type updateUserInput struct {
	UserPath
	Body userPatchBody
}

type userPatchBody struct {
	Name             *string            `json:"name,omitempty" maxLength:"200" pattern:"\\S" patternDescription:"a name"`
	Role             *domain.Role       `json:"role,omitempty" enum:"ADMIN,AGENT"`
	Status           *domain.UserStatus `json:"status,omitempty" enum:"ACTIVE,INACTIVE,SUSPENDED"`
	Password         *string            `json:"password,omitempty" minLength:"8" maxLength:"1024" doc:"Not the e-mail"`
	MaxConversations Nullable[int]      `json:"maxConversations,omitempty" minimum:"1" maximum:"100000" doc:"null: any number"`
}

func (s *server) updateUser(ctx context.Context, in *updateUserInput) (*userOutput, error) {
	caller := callerOf(ctx)
	patch := domain.UserPatch{
		Name: trimmed(in.Body.Name), Role: in.Body.Role, Status: in.Body.Status, MaxConversations: in.Body.MaxConversations.orZero(),
	}
	if in.Body.Password != nil {
		user, err := s.Accounts.Get(ctx, caller.Organization, in.ID)
		if err != nil {
			return nil, fmt.Errorf("get user %s: %w", in.ID, err)
		}
		hash, err := s.newPassword(ctx, user.Email, *in.Body.Password)
		if err != nil {
			return nil, err
		}
		patch.Password = &hash
	}
	if err := s.Accounts.Update(ctx, asCaller(caller), in.ID, patch); err != nil {
		return nil, fmt.Errorf("update user %s: %w", in.ID, uncertain(err))
	}
	s.known(ctx, in.ID, func(u domain.User) bool {
		return (patch.Status == nil || u.Status == *patch.Status) && (patch.Role == nil || u.Role == *patch.Role)
	})
	if patch.Status != nil && *patch.Status != domain.UserActive {
		s.relieve(ctx, in.ID)
	}
	return s.userAsItIs(ctx, in.ID)
}

// relieve puts the conversations of a user back who may not work any more. The
// user's status is durable, and what follows from it is done sooner or later,
// so a failure is no reason to refuse the call.
func (s *server) relieve(ctx context.Context, id domain.UserID) {
	if err := s.Relief.Relieve(ctx, callerOf(ctx).Organization, id); err != nil {
		s.Log.WarnContext(ctx, "a user's conversations are put back later", "request", requestOf(ctx).id, "user", id.String(), "error", err)
	}
}

// knownWithin is how long a call waits for this node to hear of what it has
// just changed: notifications take milliseconds, the poll that makes up for a
// lost one a second.
const knownWithin = time.Second

// known waits until the directory has the user as the change has left it, so
// that the next call on this node goes by it.
func (s *server) known(ctx context.Context, id domain.UserID, changed func(domain.User) bool) {
	ctx, cancel := context.WithTimeout(ctx, knownWithin)
	defer cancel()
	for {
		if u, known := s.Directory.User(callerOf(ctx).Organization, id); known && changed(u) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *server) userAsItIs(ctx context.Context, id domain.UserID) (*userOutput, error) {
	view, err := readBack(ctx, func() (domain.UserView, error) { return s.Accounts.Get(ctx, callerOf(ctx).Organization, id) })
	if err != nil {
		return nil, fmt.Errorf("get user %s after a change: %w: %w", id, domain.ErrOutcomeUnknown, err)
	}
	return &userOutput{Body: view}, nil
}

func trimmed(text *string) *string {
	if text == nil {
		return nil
	}
	short := strings.TrimSpace(*text)
	return &short
}
