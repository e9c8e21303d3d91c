package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"kernellab/harness/verdict"
)

// junitXML writes one suite per result and one case per check. A skipped check is a
// failure if the program caused it, because a suite with only skipped cases counts as
// passed. If the run could not be graded there is an error case, and the checks are
// skipped.
func junitXML(w io.Writer, doc verdict.Document) error {
	return writeJUnit(w, doc, nil, func(int, func(junit.Testcase)) {})
}

// writeJUnit writes a document. more adds cases to the suite of result i. The name of a
// suite is the result's prefix, if there are prefixes, and its id.
func writeJUnit(w io.Writer, doc verdict.Document, prefixes []string, more func(i int, add func(junit.Testcase))) error {
	out := junit.Testsuites{Name: "lab"}
	names := map[string]bool{}
	for i, r := range doc.Results {
		class := id(r)
		if prefixes != nil {
			class = plain(prefixes[i]) + "." + class
		}
		class = unique(names, class)
		suite := junit.Testsuite{Name: class, ID: i, Time: fmt.Sprintf("%.3f", r.Duration.Seconds())}
		suite.AddProperty("schema", verdict.Schema)
		suite.AddProperty("verdict", string(r.Verdict))
		suite.AddProperty("score", fmt.Sprintf("%d/%d", r.Score, r.MaxScore))
		cases := map[string]bool{}
		add := func(tc junit.Testcase) {
			tc.Classname, tc.Name = class, unique(cases, tc.Name)
			suite.AddTestcase(tc)
		}
		if r.Verdict == verdict.Error {
			add(junit.Testcase{Name: "the run can be graded", Error: &junit.Result{
				Message: plain(r.Error), Type: "could-not-grade", Data: findings(r),
			}})
		}
		for _, c := range r.Checks {
			add(testcase(r, c))
		}
		if r.Verdict == verdict.Fail && suite.Failures == 0 {
			add(junit.Testcase{Name: "nothing else went wrong", Failure: &junit.Result{
				Message: first(r), Type: "finding", Data: findings(r),
			}})
		}
		more(i, add)
		if text := findings(r); text != "" {
			suite.SystemOut = &junit.Output{Data: text}
		}
		out.AddSuite(suite)
	}
	out.Skipped = 0 // the schema allows this attribute only for suites
	if _, err := io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	if err := out.WriteXML(w); err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	return nil
}

func testcase(r verdict.Result, c verdict.Check) junit.Testcase {
	tc := junit.Testcase{Name: plain(c.Name)}
	result := &junit.Result{
		Message: plain(fmt.Sprintf("expected %s, observed %s", c.Expected, c.Observed)),
		Data:    strings.Join(detail(c), "\n"),
	}
	if c.Expected == "" {
		result.Message = plain(c.Observed)
	}
	switch {
	case c.Verdict == verdict.Pass:
	case c.Verdict == verdict.Skip && r.Verdict == verdict.Error:
		tc.Skipped = &junit.Result{Message: plain(c.Observed)}
	case c.Verdict == verdict.Skip:
		result.Type = "not-seen"
		tc.Failure = result
	default:
		result.Type = "check"
		tc.Failure = result
	}
	return tc
}

// findings returns a result's findings, numbered.
func findings(r verdict.Result) string {
	var lines []string
	for i, f := range r.Findings {
		lines = append(lines, fmt.Sprintf("%d. %s", i+1, plain(f.Message)))
		for _, l := range textLines(f) {
			lines = append(lines, "   "+l)
		}
	}
	return strings.Join(lines, "\n")
}

func first(r verdict.Result) string {
	if len(r.Findings) == 0 {
		return "failed"
	}
	return plain(r.Findings[0].Message)
}
