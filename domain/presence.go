package domain

// Presence is how present an agent is to colleagues.
type Presence string

// The presences of an agent.
const (
	Online  Presence = "ONLINE"
	Away    Presence = "AWAY"
	Offline Presence = "OFFLINE"
)
