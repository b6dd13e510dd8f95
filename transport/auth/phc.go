package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The most that a stored hash may ask for. A hash comes from our own table,
// but also from an import or from somebody who can write one row: it must not
// decide how much memory and time a login takes.
const (
	maxMemory   = 64 * 1024 // KiB
	maxTime     = 8         // passes
	maxThreads  = 4         // lanes
	minSaltLen  = 8         // bytes, the least RFC 9106 allows
	minKeyLen   = 16        // bytes; shorter ones can be guessed by chance
	maxFieldLen = 64        // bytes, of salt and of key
	maxPHCLen   = 256       // characters of the whole string
)

// ErrHash says that a stored password hash can't be used: it is not a PHC
// string of argon2id, or asks for more than the bounds allow.
var ErrHash = errors.New("unusable password hash")

// phcBase64 is what the PHC string format prescribes: no padding. Strict, so
// that one hash has one spelling.
var phcBase64 = base64.RawStdEncoding.Strict()

// phc is a password hash with what it was made with, in the PHC string format:
// $argon2id$v=19$m=19456,t=2,p=1$salt$key
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		phcBase64.EncodeToString(p.salt), phcBase64.EncodeToString(p.key))
}

// parsePHC reads what String writes. Its errors are ErrHash and never quote
// the hash.
func parsePHC(s string) (phc, error) {
	if len(s) > maxPHCLen {
		return phc{}, fmt.Errorf("%w: %d characters, at most %d", ErrHash, len(s), maxPHCLen)
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return phc{}, fmt.Errorf("%w: not a PHC string of argon2id", ErrHash)
	}
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, fmt.Errorf("%w: not argon2 version %d", ErrHash, argon2.Version)
	}
	var p phc
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return phc{}, fmt.Errorf("%w: parameters are not m=,t=,p=", ErrHash)
	}
	var err error
	if p.salt, err = phcBase64.DecodeString(parts[4]); err != nil {
		return phc{}, fmt.Errorf("%w: salt is not base64", ErrHash)
	}
	if p.key, err = phcBase64.DecodeString(parts[5]); err != nil {
		return phc{}, fmt.Errorf("%w: key is not base64", ErrHash)
	}
	if p.String() != s {
		return phc{}, fmt.Errorf("%w: not in the canonical form", ErrHash) // Sscanf lets more through
	}
	return p, p.check()
}

// check holds p against the bounds, below which argon2 would panic and above
// which it would take the machine.
func (p phc) check() error {
	switch {
	case p.time < 1 || p.time > maxTime:
		return fmt.Errorf("%w: %d passes, takes 1 to %d", ErrHash, p.time, maxTime)
	case p.threads < 1 || p.threads > maxThreads:
		return fmt.Errorf("%w: %d lanes, takes 1 to %d", ErrHash, p.threads, maxThreads)
	case p.memory < 8*uint32(p.threads) || p.memory > maxMemory:
		return fmt.Errorf("%w: %d KiB, takes 8 a lane to %d", ErrHash, p.memory, maxMemory)
	case len(p.salt) < minSaltLen || len(p.salt) > maxFieldLen:
		return fmt.Errorf("%w: salt of %d bytes, takes %d to %d", ErrHash, len(p.salt), minSaltLen, maxFieldLen)
	case len(p.key) < minKeyLen || len(p.key) > maxFieldLen:
		return fmt.Errorf("%w: key of %d bytes, takes %d to %d", ErrHash, len(p.key), minKeyLen, maxFieldLen)
	}
	return nil
}
