package persistence

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestQueriesAndCodeAgree(t *testing.T) {
	t.Parallel()
	_, err := parseQueries(queryFiles)
	require.NoError(t, err)
}

func TestReadQueriesSplitsByName(t *testing.T) {
	t.Parallel()
	texts, err := readQueries(fstest.MapFS{
		"a.sql": {Data: []byte("-- About a.\n\n-- name: one\nSELECT 1\n\n-- name: two\n-- why\nSELECT\n    2\n")},
		"b.sql": {Data: []byte("-- name: three\nSELECT 3")},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"one": "SELECT 1", "two": "-- why\nSELECT\n    2", "three": "SELECT 3"}, texts)
}

func TestQueriesThatDontFitAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ content, want string }{
		"no query":  {"SELECT 1", "no query in it"},
		"no text":   {"-- name: one\n\n-- name: two\nSELECT 2", `query "one" has no name or no text`},
		"no name":   {"-- name: \nSELECT 2", `query "" has no name or no text`},
		"twice":     {"-- name: one\nSELECT 1\n-- name: one\nSELECT 2", `query "one" is there twice`},
		"missing":   {"-- name: nobody-asks\nSELECT 1", `is in no file`},
		"bad start": {"", "no query in it"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseQueries(fstest.MapFS{"a.sql": {Data: []byte(c.content)}})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestAnUnusedQueryIsRefused(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"z.sql": {Data: []byte("-- name: nobody-asks\nSELECT 1")}}
	names, err := queryFiles.ReadDir(".")
	require.NoError(t, err)
	for _, name := range names {
		content, err := queryFiles.ReadFile(name.Name())
		require.NoError(t, err)
		files[name.Name()] = &fstest.MapFile{Data: content}
	}
	_, err = parseQueries(files)
	require.ErrorContains(t, err, `query "nobody-asks" is used nowhere`)
}
