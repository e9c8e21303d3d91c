package grade

import (
	"fmt"
	"strings"

	"kernellab/internal/nearest"
)

// didYouMean is the end of an error about an unknown word.
func didYouMean(word string, known []string) string {
	if near := nearest.Words(word, known); len(near) > 0 {
		return fmt.Sprintf(": did you mean %q?", near[0])
	}
	if len(known) > 0 && len(known) <= 12 {
		return ": it is one of " + strings.Join(known, ", ")
	}
	return ""
}
