package report

import (
	"strings"
	"unicode/utf8"

	"kernellab/harness/report/words"
)

// plain escapes s for one line of a terminal.
func plain(s string) string { return words.Plain(s) }

// wrap breaks text, and words that are too long, into lines of at most width columns.
func wrap(text string, width int) []string {
	width = max(width, 8)
	var lines []string
	line, used := "", 0
	flush := func() {
		if line != "" {
			lines = append(lines, line)
		}
		line, used = "", 0
	}
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			flush()
		}
		for n > width {
			at := cut(word, width)
			lines = append(lines, word[:at])
			word = word[at:]
			n = utf8.RuneCountInString(word)
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	flush()
	return lines
}

// cut returns where to break a word that is longer than width: after a |, as in a list
// of flags, or else at width.
func cut(word string, width int) int {
	n, at, bar := 0, len(word), 0
	for i, r := range word {
		if n == width {
			at = i
			break
		}
		if n++; r == '|' {
			bar = i + 1
		}
	}
	if bar > 0 {
		return bar
	}
	return at
}

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
