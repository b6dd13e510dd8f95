package domain

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestFileNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"invoice.pdf":                        "invoice.pdf",
		"Vertrag – final (2).pdf":            "Vertrag – final (2).pdf",
		"../../etc/passwd":                   "passwd",
		`C:\Users\x\a.doc`:                   "a.doc",
		"..":                                 "",
		"a/..":                               "",
		" .hidden. ":                         "hidden",
		"exe.\u202efdp.exe":                  "exe.fdp.exe",
		"a\r\nX: y.txt":                      "aX_ y.txt",
		`"quoted"<x>|?*.txt`:                 "_quoted__x____.txt",
		strings.Repeat("ж", 300) + ".pdf":    strings.Repeat("ж", 88) + ".pdf",
		"x." + strings.Repeat("longext", 50): "x." + strings.Repeat("longext", 25) + "lon",
		"bad\xffutf8.png":                    "bad\ufffdutf8.png",
		"bom\ufeff\u2066.txt":                "bom.txt",
		"nul\x00.jpg":                        "nul.jpg",
	} {
		got := CleanFileName(name)
		require.Equal(t, want, got)
		require.LessOrEqual(t, len(got), MaxFileName)
	}
}

func FuzzCleanFileName(f *testing.F) {
	for _, name := range []string{"a.pdf", "../../x", "\u202egnp.exe", "\xff\xfe", strings.Repeat("é", 200) + ".jpeg", "...", "a\r\nb: c"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := CleanFileName(name)
		require.LessOrEqual(t, len(got), MaxFileName)
		require.True(t, utf8.ValidString(got))
		require.False(t, strings.ContainsAny(got, `/\<>:"|?*`), got)
		require.NotContains(t, []string{".", ".."}, got)
		require.False(t, strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }), "%q", got)
		require.Equal(t, got, CleanFileName(got), "clean is clean")
	})
}
