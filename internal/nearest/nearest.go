// Package nearest finds known words that are similar to an unknown one. It imports
// nothing of this module, so that every package can use it.
package nearest

import (
	"fmt"
	"slices"
	"strings"
)

// most is the maximum number of suggestions.
const most = 3

// longest limits the length of compared words.
const longest = 64

// Words returns up to three known words that are similar to word, the most similar
// first: words a few edits away, then words that contain word or are part of it.
func Words(word string, known []string) []string {
	type near struct {
		word     string
		distance int
	}
	var found []near
	for _, k := range known {
		d := Distance(strings.ToLower(word), strings.ToLower(k))
		limit := max(2, len(word)/3)
		if d > limit && len(word) >= 3 && len(k) >= 3 && (strings.Contains(k, word) || strings.Contains(word, k)) {
			d = limit
		}
		if d <= limit && d < len(k) {
			found = append(found, near{k, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.distance - b.distance })
	var words []string
	for _, n := range found[:min(most, len(found))] {
		words = append(words, n.word)
	}
	return words
}

// Distance returns the number of edits that change a to b. An edit inserts, deletes or
// replaces a byte, or swaps two adjacent ones.
func Distance(a, b string) int {
	if len(a) > longest || len(b) > longest {
		return longest
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// Suggest returns the end of an error message about an unknown word: ": did you mean a
// or b?", or "" if no known word is similar.
func Suggest(word string, known []string) string {
	words := Words(word, known)
	if len(words) == 0 {
		return ""
	}
	return ": did you mean " + strings.Join(words, " or ") + "?"
}

// Hint is the end of an error about an unknown word: the nearest of the known ones, all
// of them when they are few, or nothing.
func Hint(word string, known []string) string {
	const few = 12
	if near := Words(word, known); len(near) > 0 {
		return fmt.Sprintf(": did you mean %q?", near[0])
	}
	if len(known) > 0 && len(known) <= few {
		return ": it is one of " + strings.Join(known, ", ")
	}
	return ""
}
