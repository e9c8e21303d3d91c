package report

import (
	"strings"
	"unicode/utf8"

	"kernellab/harness/report/words"
)

// plain escapes s for one line of a terminal.
func plain(s string) string { return words.Plain(s) }

// wrap breaks text into lines of at most width columns.
func wrap(text string, width int) []string { return words.Wrap(text, width) }

// chunks cuts text into lines of at most width columns, and keeps its blanks. Empty text
// is an empty line.
func chunks(text string, width int) []string {
	letters := []rune(text)
	var out []string
	for len(letters) > width {
		out, letters = append(out, string(letters[:width])), letters[width:]
	}
	return append(out, string(letters))
}

// pad fills s with spaces to a width.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
