package words_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// cases are the cases of facts, by the names of their constants.
func cases(t *testing.T) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../verdict/fact.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Case") && !strings.HasPrefix(spec.Names[0].Name, "Note") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out[spec.Names[0].Name] = value
		return true
	})
	return out
}

// TestEveryCase checks that each case has a sentence of its own, with the fields full
// and with all of them hidden.
func TestEveryCase(t *testing.T) {
	const said = "what the author said"
	all := cases(t)
	if len(all) < 50 {
		t.Fatalf("%d cases", len(all))
	}
	used := map[string]string{}
	for name, value := range all {
		if other := used[value]; other != "" {
			t.Errorf("%s and %s are both %q", name, other, value)
		}
		used[value] = name
		f := verdict.Fact{
			Case: value, Check: "c", Checks: []string{"c"}, Questions: []string{"q"}, Point: "p", Other: "o", After: "a", Points: []string{"x"},
			Role: "parent", Task: &verdict.TaskName{Role: "child", PID: 1, Comm: "t"}, Expected: "1", Observed: "2", Times: 3,
			Range: &trace.Range{Least: 1, Most: 2}, Call: 1, Event: 2, Program: "prog", End: &verdict.Ending{Code: 1}, Want: &verdict.Ending{},
			Output: &verdict.OutputFact{Wanted: 2, Found: 1, Lines: []string{"l"}},
			Calls:  []verdict.CallPaths{{Paths: []verdict.RolePath{{Role: "parent", Points: []string{"p"}}}}},
			Counts: []verdict.PointCount{{Point: "p", Times: 1, Range: &trace.Range{Most: 1}}},
			Of:     "task", Name: "pid", Said: said,
		}
		for _, write := range []func(verdict.Fact) string{words.Finding, words.Value, words.Note} {
			if text := write(f); text != said && text != verdict.Unnamed && text != "" {
				delete(all, name)
			}
		}
		f.Point, f.Other, f.After, f.Check, f.Said = "", "", "", "", ""
		for _, write := range []func(verdict.Fact) string{words.Finding, words.Value, words.Note} {
			write(f)
		}
	}
	delete(all, "CaseSaid")
	for name := range all {
		t.Errorf("%s has no sentence", name)
	}
}
