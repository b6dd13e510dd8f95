package domain

// Role says what a user may do.
type Role string

// The roles. An ADMIN may everything an AGENT may, and run the organization.
const (
	RoleAgent Role = "AGENT"
	RoleAdmin Role = "ADMIN"
)

// UserStatus says whether a user may work.
type UserStatus string

// The statuses of a user. Only ACTIVE ones log in and get conversations.
const (
	UserActive    UserStatus = "ACTIVE"
	UserInactive  UserStatus = "INACTIVE"
	UserSuspended UserStatus = "SUSPENDED"
)

// User is a member of an organization as the rules and the realtime events see
// one: without credentials.
type User struct {
	ID               UserID
	Organization     OrganizationID
	Email            string
	Name             string
	AvatarURL        string
	Role             Role
	Status           UserStatus
	MaxConversations int // 0: no limit
}
