package domain

import (
	"fmt"
	"io"
)

// Credentials is a channel with what a call to its platform needs.
type Credentials struct {
	Channel Channel
	Token   AccessToken
}

// AccessToken lets its bearer act for a channel. However it is printed, logged
// or encoded, it shows as [hidden]; string(token) is the token.
type AccessToken string

// String hides the token.
func (AccessToken) String() string { return hidden }

// Format hides the token under every verb.
func (AccessToken) Format(w fmt.State, _ rune) {
	_, _ = io.WriteString(w, hidden) // a fmt.State that can't be written to tells its own caller
}

// MarshalText hides the token from encoders, those of logs among them.
func (AccessToken) MarshalText() ([]byte, error) { return []byte(hidden), nil }

const hidden = "[hidden]"
