package words

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain escapes s for one line of a terminal: control characters, characters that
// change the direction of text, and bytes that are not UTF-8.
func Plain(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '\t':
			b.WriteString("    ")
		case r == utf8.RuneError && n == 1, r < 0x20, r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case hidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func hidden(r rune) bool {
	return unicode.IsControl(r) || r == utf8.RuneError || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Wrap breaks text, and words that are too long, into lines of at most width columns.
func Wrap(text string, width int) []string {
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
