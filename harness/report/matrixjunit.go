package report

import (
	"fmt"
	"io"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"kernellab/harness/verdict"
)

// matrixJUnit writes a matrix like junitXML. With a baseline each suite has one more
// case, which fails if there is a regression.
func matrixJUnit(w io.Writer, m Matrix) error {
	return writeJUnit(w, verdict.NewDocument(m.Results...), nil, func(i int, add func(junit.Testcase)) {
		if m.Comparisons == nil {
			return
		}
		c := m.Comparisons[i]
		tc := junit.Testcase{Name: "nothing regressed against the baseline", SystemOut: &junit.Output{Data: plain(c.Sentence)}}
		switch {
		case c.Against == "":
			tc.Skipped = &junit.Result{Message: plain(c.Sentence)}
		case c.Regressed():
			tc.Failure = &junit.Result{Message: plain(c.Sentence), Type: "regression"}
		case m.Strict && len(c.Changes) > 0:
			tc.Failure = &junit.Result{Message: plain(c.Sentence), Type: "change"}
		}
		for _, ch := range c.Changes {
			if tc.Failure != nil {
				tc.Failure.Data += fmt.Sprintf("%s: %s\n", ch.Kind, plain(ch.Text))
			}
		}
		add(tc)
	})
}
