package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/verdict"
)

// A check that passes is a line without the text of its expression. A group is a line,
// with those of its members below that do not hold.
func TestChecks(t *testing.T) {
	holds := verdict.Check{Name: "a condition", Verdict: verdict.Pass, Score: 1, MaxScore: 1, Expected: "read.a == read.b", Observed: "it holds", Got: &verdict.Fact{Case: verdict.CaseHolds}}
	group := verdict.Check{Name: "the call", Kind: verdict.KindGroup, Verdict: verdict.Fail, MaxScore: 2, Expected: "all", Observed: "1 of 2"}
	checks := []verdict.Check{
		holds,
		{Name: "a member", Group: "the call", Verdict: verdict.Pass, Observed: "user mode"},
		{Name: "another", Group: "the call", Verdict: verdict.Fail, Expected: "1", Observed: "2", Why: "Because."},
		group,
		{Name: "a number", Verdict: verdict.Pass, Score: 1, MaxScore: 1, Expected: "3", Observed: "3", Why: "It counts."},
		{Name: "a size", Verdict: verdict.Pass, Score: 1, MaxScore: 1, Expected: "168 bytes", Observed: "168 bytes"},
	}
	for _, c := range []struct {
		verbose bool
		want    string
	}{
		{false, `Graded
  ✓ a condition                         1/1
  ✗ the call                            0/2
    ✗ another
      expected  1
      observed  2
      why       Because.
  ✓ a number                            1/1
  ✓ a size                   168 bytes  1/1
`},
		{true, `Graded
  ✓ a condition                         1/1
      observed it holds
  ✗ the call                            0/2
    ✓ a member
      observed user mode
    ✗ another
      expected  1
      observed  2
      why       Because.
  ✓ a number                            1/1
      expected and observed 3
      It counts.
  ✓ a size                              1/1
      expected and observed 168 bytes
`},
	} {
		var b strings.Builder
		newPage(&b, Style{Width: 43, Verbose: c.verbose}).checks(verdict.Result{Checks: checks})
		if d := cmp.Diff(c.want, b.String()); d != "" {
			t.Errorf("verbose %t (-want +got):\n%s", c.verbose, d)
		}
	}
}
