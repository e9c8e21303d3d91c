package words

import (
	"fmt"
	"strings"

	"kernellab/harness/verdict"
)

// fits says whose tasks wrong checks are right in.
func fits(f verdict.Fact) string {
	var all []string
	for _, student := range f.Students {
		if student == "" {
			student = "nobody (the lab's own)"
		}
		all = append(all, student)
	}
	if f.Times > 0 {
		all = append(all, fmt.Sprintf("%d more", f.Times))
	}
	return fmt.Sprintf("wrong here, and right in the task of %s: %s", strings.Join(all, ", "), strings.Join(f.Checks, ", "))
}
