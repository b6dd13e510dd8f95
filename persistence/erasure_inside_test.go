package persistence

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A letter names an alias as a whole, not as a part of a longer one.
func TestWhatALetterNames(t *testing.T) {
	t.Parallel()
	for payload, named := range map[string]bool{
		`{"from":"491700"}`: true, `491700`: true, `+491700,`: true, `{"from":"4917001","to":"491700"}`: true,
		`{"from":"4917001"}`: false, `{"from":"0491700"}`: false, `x491700`: false, ``: false, `49170`: false,
	} {
		require.Equal(t, named, names([]byte(payload), "491700"), payload)
	}
	require.False(t, names([]byte("anything"), ""))
}
