package grade

import (
	"fmt"
	"strings"
)

// Nearest returns the word of a list that a person who wrote word probably
// meant, "" when none is near.
func Nearest(word string, list []string) string {
	best, limit := "", max(2, len(word)/3)+1
	for _, w := range list {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < limit {
			best, limit = w, d
		}
	}
	if best != "" || len(word) < 3 {
		return best
	}
	for _, w := range list {
		if strings.Contains(w, word) || len(w) > 2 && strings.Contains(word, w) {
			return w
		}
	}
	return ""
}

// didYouMean is the end of an error about an unknown word.
func didYouMean(word string, list []string) string {
	if w := Nearest(word, list); w != "" {
		return fmt.Sprintf(": did you mean %q?", w)
	}
	if len(list) > 0 && len(list) <= 12 {
		return ": it is one of " + strings.Join(list, ", ")
	}
	return ""
}

// distance is the edit distance of a and b, a swap of neighbours counted as one.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
