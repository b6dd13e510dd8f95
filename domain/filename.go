package domain

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a file name in bytes.
const (
	MaxFileName = 180 // file systems take 255
	maxFileExt  = 16  // of it that are the extension
)

// CleanFileName is the name of a file that a stranger gave, as something that
// can be shown, stored and put into a header: the last part of a path, valid
// UTF-8, without control characters, those that turn the direction of writing,
// and those that some file system or header gives a meaning, at most
// MaxFileName bytes. Empty when nothing is left.
func CleanFileName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\uFEFF', r == '\u2028', r == '\u2029':
			return -1
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	name = strings.Trim(name, " .")
	if len(name) <= MaxFileName {
		return name
	}
	ext := path.Ext(name)
	if len(ext) > maxFileExt {
		ext = ""
	}
	stem, end := strings.TrimSuffix(name, ext), MaxFileName-len(ext)
	for end > 0 && !utf8.RuneStart(stem[end]) {
		end--
	}
	return strings.TrimRight(stem[:end], " .") + ext
}
