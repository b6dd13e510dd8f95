package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheSecurityNotesNameTestsThatExist: what is claimed to be shown is.
func TestTheSecurityNotesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	notes, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	var there strings.Builder
	require.NoError(t, filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		there.Write(source)
		return err
	}))
	named := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(notes), -1)
	require.Greater(t, len(named), 50)
	for _, test := range named {
		require.Contains(t, there.String(), "func "+test+"(", "docs/security.md")
	}
}
