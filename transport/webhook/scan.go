package webhook

import (
	"bytes"
	"slices"
)

// The bounds of a scan: what a stranger can make us look at before the
// signature is known to be good. A POST comes through one Meta app, so that its
// first channel's secret fits as a rule.
const (
	scanDepth    = 16  // how many objects and arrays a path leads through
	scanAccounts = 16  // how many different accounts are found
	scanLength   = 128 // how long an account's id is
)

// The keys that lead to an account's id; arrays on the way don't count.
var (
	pathWhatsApp  = []string{"entry", "changes", "value", "metadata", "phone_number_id"}
	pathMessenger = []string{"entry", "id"}
)

// scan finds the ids of accounts that body names at path, without decoding or
// judging anything else: body may be no JSON at all. It reads each byte once.
// Ids that are written with escapes aren't found; the platforms write digits.
func scan(body []byte, path []string) []string {
	s := scanner{data: body, path: path}
	for s.pos < len(s.data) && len(s.found) < scanAccounts {
		s.step()
	}
	return s.found
}

// scanner walks over tokens. It is on the path until a key leads elsewhere;
// then it only counts brackets until that part is over.
type scanner struct {
	data  []byte
	pos   int
	path  []string
	found []string

	depth   int             // objects and arrays that are open
	aside   int             // the depth at which the path was left, plus 1; 0: on the path
	entered [scanDepth]bool // on the path: whether the key of the path was used up there
	matched int             // keys used up
	key     []byte          // the key that was just read; nil: none
}

// step reads one token.
func (s *scanner) step() {
	switch c := s.data[s.pos]; {
	case c == '{' || c == '[':
		s.open()
	case c == '}' || c == ']':
		s.close()
	case c == '"':
		s.text()
		return
	case s.key != nil && (c == '-' || '0' <= c && c <= '9'):
		s.number()
		return
	case c == ',':
		s.key = nil
	}
	s.pos++
}

// next reports whether the key that was read is the path's next one.
func (s *scanner) next() bool {
	return s.matched < len(s.path) && string(s.key) == s.path[s.matched]
}

func (s *scanner) open() {
	if s.aside == 0 {
		switch {
		case s.depth == scanDepth, s.key != nil && !s.next():
			s.aside = s.depth + 1
		case s.key != nil:
			s.entered[s.depth] = true
			s.matched++
		default:
			s.entered[s.depth] = false
		}
	}
	s.depth++
	s.key = nil
}

func (s *scanner) close() {
	s.key = nil
	if s.depth == 0 {
		return // no JSON; the decoder will say so
	}
	s.depth--
	switch {
	case s.aside == s.depth+1:
		s.aside = 0
	case s.aside == 0 && s.entered[s.depth]:
		s.matched--
	}
}

// text reads a string: a key when a colon follows.
func (s *scanner) text() {
	start := s.pos + 1
	end := start
	for end < len(s.data) && s.data[end] != '"' {
		if s.data[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(s.data) {
		s.pos = len(s.data)
		return
	}
	s.pos = end + 1
	if s.aside > 0 {
		return
	}
	for s.pos < len(s.data) && bytes.IndexByte([]byte(" \t\r\n"), s.data[s.pos]) >= 0 {
		s.pos++
	}
	if s.pos < len(s.data) && s.data[s.pos] == ':' {
		s.key = s.data[start:end]
		return
	}
	s.value(s.data[start:end])
}

func (s *scanner) number() {
	start := s.pos
	for s.pos < len(s.data) && (s.data[s.pos] == '-' || '0' <= s.data[s.pos] && s.data[s.pos] <= '9') {
		s.pos++
	}
	s.value(s.data[start:s.pos])
}

// value keeps an id that stands at the end of the path.
func (s *scanner) value(v []byte) {
	wanted := s.aside == 0 && s.key != nil && s.matched == len(s.path)-1 && s.next()
	s.key = nil
	if !wanted || len(v) == 0 || len(v) > scanLength {
		return
	}
	if id := string(v); !slices.Contains(s.found, id) {
		s.found = append(s.found, id)
	}
}
