package domain

import "strings"

// mask stands for a secret wherever one is shown.
const mask = "••••"

// MaskedSecret is a secret as its owner is shown it: enough to tell one from
// another, nothing to use. What is short shows nothing of itself.
func MaskedSecret(secret string) string {
	const shown, least = 4, 8
	if len(secret) < least {
		return mask
	}
	return mask + secret[len(secret)-shown:]
}

// IsMasked reports whether text is a secret as MaskedSecret shows it. Sent back,
// it means that the secret stays what it is.
func IsMasked(text string) bool { return strings.HasPrefix(text, mask) }
