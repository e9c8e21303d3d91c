package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"kernellab/harness/verdict"
)

// ktap writes one test per result, with its checks as subtests.
func ktap(w io.Writer, doc verdict.Document) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "KTAP version 1\n1..%d\n", len(doc.Results))
	for i, r := range doc.Results {
		fmt.Fprintf(b, "  KTAP version 1\n  # Subtest: %s\n  1..%d\n", description(id(r)), len(r.Checks))
		for j, c := range r.Checks {
			if c.Verdict == verdict.Fail {
				for _, l := range detail(c) {
					fmt.Fprintf(b, "  # %s\n", l)
				}
			}
			switch c.Verdict {
			case verdict.Pass:
				fmt.Fprintf(b, "  ok %d %s\n", j+1, description(c.Name))
			case verdict.Skip:
				fmt.Fprintf(b, "  ok %d %s # SKIP %s\n", j+1, description(c.Name), plain(c.Observed))
			default:
				fmt.Fprintf(b, "  not ok %d %s\n", j+1, description(c.Name))
			}
		}
		for _, f := range r.Findings {
			fmt.Fprintf(b, "# %s\n", plain(f.Message))
		}
		switch {
		case r.Verdict == verdict.Pass:
			fmt.Fprintf(b, "ok %d %s\n", i+1, description(id(r)))
		case r.Verdict == verdict.Error:
			fmt.Fprintf(b, "not ok %d %s # ERROR %s\n", i+1, description(id(r)), plain(r.Error))
		case len(r.Findings) > 0 && r.Findings[0].Kind == verdict.FindTimeout:
			fmt.Fprintf(b, "not ok %d %s # TIMEOUT %s\n", i+1, description(id(r)), plain(r.Findings[0].Message))
		default:
			fmt.Fprintf(b, "not ok %d %s\n", i+1, description(id(r)))
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write ktap: %w", err)
	}
	return nil
}

// description returns a name without #, which ends a description in KTAP.
func description(s string) string { return strings.ReplaceAll(plain(s), "#", "No.") }
