package report_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/report/reporttest"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// recording is a run of a lab's own program that was recorded on a real kernel.
type recording struct {
	name   string // LAB.ARCH
	trace  *trace.Trace
	rules  grade.Rules
	result verdict.Result
}

// recordings returns a run of some labs, or of each, on each architecture.
func recordings(t testing.TB, names ...string) []recording {
	t.Helper()
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) > 0 {
		all = slices.DeleteFunc(all, func(l labs.Lab) bool { return !slices.Contains(names, l.Name) })
	}
	var out []recording
	for _, l := range all {
		for _, machine := range arch.Names() {
			out = append(out, read(t, "../recording/testdata", l.Name+"."+machine, l.Rules(machine)))
		}
	}
	return out
}

// read reads the recording of a run that passes.
func read(t testing.TB, dir, name string, rules grade.Rules) recording {
	t.Helper()
	tr := tracetest.Recorded(t, filepath.Join(dir, name+".jsonl.gz"))
	res := grade.Grade(tr, rules)
	if res.Verdict != verdict.Pass {
		t.Fatalf("%s: %s %s %+v", name, res.Verdict, res.Error, res.Findings)
	}
	return recording{name, tr, rules, res}
}

// page writes the page of a run.
func page(t testing.TB, r recording, s report.Style, change func(*report.Run)) string {
	t.Helper()
	var b bytes.Buffer
	p := report.NewRun(&b, r.rules, s)
	if change != nil {
		change(p)
	}
	p.Kernel(r.trace.Header)
	for _, e := range r.trace.Events {
		p.Event(e)
	}
	if b.Len() > 0 {
		t.Errorf("%s: written before the end: %s", r.name, b.String())
	}
	if err := p.Result(r.result); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Every lab's page fits terminals of 60, 80 and 100 columns. It has the question, the
// verdict, a line for each step and one for each check, and no detail that was not asked
// for.
func TestPage(t *testing.T) {
	for _, r := range recordings(t) {
		res := r.result
		for _, width := range []int{60, 80, 100} {
			full := page(t, r, report.Style{Width: width, Verbose: true}, nil)
			text := page(t, r, report.Style{Width: width}, nil)
			for _, line := range strings.Split(full+text, "\n") {
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("%s: %d columns where %d are: %s", r.name, n, width, line)
				}
			}
			if n := strings.Count(text, "\n"); r.rules.Lab == "fork-new" && width == 100 && n > 58 {
				t.Errorf("%s: %d lines, and two for another architecture", r.name, n)
			}
			at := 0
			for _, part := range []string{r.rules.Summary, "PASS", res.Steps[0].Point, "Graded"} {
				i := strings.Index(strings.Join(strings.Fields(text), " ")[at:], part)
				if i < 0 {
					t.Errorf("%s: %q does not come in its place:\n%s", r.name, part, text)
					break
				}
				at += i
			}
			for _, not := range []string{res.Steps[0].Means, "+0x0/", "stack top", "GOOD"} {
				if strings.Contains(strings.Join(strings.Fields(text), " "), not) {
					t.Errorf("%s: %q shows and was not asked for", r.name, not)
				}
				if width == 100 && not != "stack top" && not != "GOOD" && !strings.Contains(strings.Join(strings.Fields(full), " "), not) {
					t.Errorf("%s: -v does not show %q", r.name, not)
				}
			}
			if width == 100 {
				checkLines(t, r, res, text)
			}
			if bare := regexp.MustCompile(`(^|\s)0x0+(\s|$)`).FindString(text + full); bare != "" {
				t.Errorf("%s: 0 is written as %q", r.name, bare)
			}
		}
	}
}

// checkLines checks that each step and each check of a page is a line.
func checkLines(t *testing.T, r recording, res verdict.Result, text string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	for _, c := range res.Checks {
		score := fmt.Sprintf(" %d/%d", c.Score, c.MaxScore)
		is := slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  ✓ "+c.Name) && strings.HasSuffix(l, score) })
		if is != (c.Group == "") {
			t.Errorf("%s: the check %q of group %q is a line: %t", r.name, c.Name, c.Group, is)
		}
	}
	column := map[string]int{} // of each role's points
	for i, s := range res.Steps {
		number := regexp.MustCompile(`^ *` + strconv.Itoa(i+1) + ` +` + regexp.QuoteMeta(s.Point) + `( |$)`)
		j := slices.IndexFunc(lines, number.MatchString)
		if j < 0 {
			t.Errorf("%s: step %d, %s, is no line", r.name, i+1, s.Point)
			continue
		}
		at := strings.Index(lines[j], s.Point)
		if before, ok := column[s.Role]; ok && before != at {
			t.Errorf("%s: step %d of the %s is at column %d, others are at %d", r.name, i+1, s.Role, at, before)
		}
		column[s.Role] = at
	}
	for role, at := range column {
		for other, beside := range column {
			if role != other && at == beside {
				t.Errorf("%s: the steps of the %s and the %s are in one column", r.name, role, other)
			}
		}
	}
}

// A step that is asked for is shown in detail, and the others are not.
func TestPageStep(t *testing.T) {
	for _, r := range recordings(t, "fork-new") {
		text := page(t, r, report.Style{Width: 100, Steps: []string{"ret_from_fork"}}, nil)
		for part, want := range map[string]bool{"stack top": true, "what fork returns": true, "ret_from_fork+0x0/": true, "copy_process+0x0/": false} {
			if strings.Contains(text, part) != want {
				t.Errorf("%s: %q shows: %t:\n%s", r.name, part, !want, text)
			}
		}
	}
}

// A run of an architecture that was not asked for is a line, and what went wrong.
func TestPageShort(t *testing.T) {
	r := recordings(t, "fork-new")[0]
	short := func(p *report.Run) { p.Short() }
	if got := page(t, r, report.Style{Width: 100}, short); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "PASS") || !strings.Contains(got, "--arch x86_64 shows it") {
		t.Errorf("a run that passes: %s", got)
	}
	for i, e := range r.trace.Events {
		if e.Kind == trace.KindExit {
			r.trace.Events[i].Exit = &trace.Exit{Code: 3, Output: e.Exit.Output}
		}
	}
	r.result = grade.Grade(r.trace, r.rules)
	if got := page(t, r, report.Style{Width: 100}, short); !strings.HasPrefix(got, "FAIL") || !strings.Contains(got, "exit status 3") {
		t.Errorf("a run that fails: %s", got)
	}
}

// A run that could not be graded has the steps that were seen, and no verdict.
func TestPageUnfinished(t *testing.T) {
	r := recordings(t, "fork-new")[0]
	var b bytes.Buffer
	p := report.NewRun(&b, r.rules, report.Style{})
	if err := p.Unfinished(); err != nil || b.Len() > 0 {
		t.Errorf("nothing was seen: %v %s", err, b.String())
	}
	p.Kernel(r.trace.Header)
	for _, e := range r.trace.Events[:r.result.Steps[1].Seq] {
		p.Event(e)
	}
	if err := p.Unfinished(); err != nil || !strings.Contains(b.String(), r.result.Steps[1].Point) || strings.Contains(b.String(), r.result.Steps[2].Point) || strings.Contains(b.String(), "PASS") {
		t.Errorf("%v:\n%s", err, b.String())
	}
}

// Every sentence of a run's page that is made from data is true: the page of each lab, and
// that of fork-new with a program in C, agrees with the trace.
func TestTrue(t *testing.T) {
	for _, r := range append(recordings(t), programsInC(t)...) {
		text := page(t, r, report.Style{Width: 100, Verbose: true}, nil)
		if wrong := reporttest.False(text, r.trace); len(wrong) > 0 {
			t.Errorf("%s: %s\n%s", r.name, strings.Join(wrong, "\n"), text)
		}
	}
}

// failing returns runs of the programs in labs/fork-new/testdata/wrong, which lab grade
// recorded.
func failing(t testing.TB) (out []recording) {
	t.Helper()
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/wrong/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no runs in testdata/wrong: %v", err)
	}
	for _, file := range files {
		tr := tracetest.Recorded(t, file)
		rules := l.Rules(tr.Header.Arch)
		res := words.Result(grade.Grade(tr, rules))
		if res.Verdict != verdict.Fail || len(res.Findings) == 0 {
			t.Errorf("%s: %s %s, want a failure with findings", file, res.Verdict, res.Error)
		}
		out = append(out, recording{filepath.Base(file), tr, rules, res})
	}
	return out
}

// What the findings of a run that fails say is in its trace.
func TestTrueFindings(t *testing.T) {
	for _, r := range failing(t) {
		for _, wrong := range reporttest.FalseFindings(r.result.Findings, r.trace) {
			t.Errorf("%s: %s", r.name, wrong)
		}
	}
}

// A finding that is not true is found: each finding of another run, unless that run shows
// the same, and each finding with another number or point in it.
func TestFalseFindings(t *testing.T) {
	number, point := regexp.MustCompile(`\b[0-9]+(\[| times| hits$)`), regexp.MustCompile(`^(release_task|dup_task_struct|ret_from_fork)\b`)
	changed := 0
	for _, r := range failing(t) {
		for _, f := range r.result.Findings {
			other := f
			switch {
			case f.Kind == verdict.FindAnswer:
				continue
			case strings.Contains(f.Message, "SIGSEGV"):
				other.Message = strings.Replace(f.Message, "SIGSEGV", "SIGABRT", 1)
			case number.MatchString(f.Message):
				other.Message = number.ReplaceAllString(f.Message, "77$1")
			case point.MatchString(f.Message):
				other.Message = point.ReplaceAllString(f.Message, "sys_clone")
			case strings.Contains(f.Message, "did not print"):
				other.Message = `fork-new did not print "This is Parent Process!"`
			default:
				continue
			}
			changed++
			if len(reporttest.FalseFindings([]verdict.Finding{other}, r.trace)) == 0 {
				t.Errorf("%s: %q is not found", r.name, other.Message)
			}
		}
	}
	if changed < 20 {
		t.Errorf("%d findings were changed, want more", changed)
	}
}

// What is not true is found: each number and each name in the sentences about a child, and
// facts of other places.
func TestFalse(t *testing.T) {
	for _, r := range recordings(t, "fork-new") {
		text := page(t, r, report.Style{Width: 100, Verbose: true}, nil)
		from := strings.Index(text, "     parent ")
		from += strings.Index(text[from:], "stack top")
		to := from + strings.Index(text[from:], "user mode.")
		fact := regexp.MustCompile(`0x[0-9a-f]+|\b[0-9]+\b|\((ret_from_fork[a-z_]*)\)|(for|in) (ax|a0)|at copy_thread but`)
		found := 0
		for _, at := range fact.FindAllStringIndex(text[from:to], -1) {
			part := text[from+at[0] : from+at[1]]
			other := map[bool]string{true: strings.Map(func(r rune) rune {
				if r == 'x' || r == '0' && strings.HasPrefix(part, "0x") {
					return r
				}
				return '1' + (r-'0'+1)%9
			}, part), false: "(kthread)"}[part[0] >= '0' && part[0] <= '9']
			switch {
			case strings.HasPrefix(part, "for "), strings.HasPrefix(part, "in "):
				other = strings.Fields(part)[0] + " r10"
			case strings.HasPrefix(part, "at "):
				other = "at sys_clone but"
			}
			changed := text[:from+at[0]] + other + text[from+at[1]:]
			if len(reporttest.False(changed, r.trace)) == 0 {
				t.Errorf("%s: %q instead of %q is not found", r.name, other, part)
			}
			found++
		}
		for _, c := range [][2]string{
			{"reaps", "by 1: exit status"}, {"each of 7 points", "each of 8 points"}, {"expected and observed exit status 0", "expected and observed exit status 1"},
			{"kernel_clone → copy_process", "copy_process → kernel_clone"}, {"child: ret_from_fork", "parent: ret_from_fork"},
			{"copy_process+0x0/", "copy_process+0x4/"}, {"more, as at sys_clone", "more, as at release_task"}, {"\n  3  copy_process", "\n  3  copy_thread"},
			{"7  ret_from_fork  child ", "7  ret_from_fork  child 1"}, {"≠ r", "= r"}, {"≠ s", "= s"}, {" · Linux ", " · Linux 9"},
		} {
			from, to := c[0], c[1]
			if from == "reaps" {
				from = regexp.MustCompile(`by [0-9]+: exit status`).FindString(text)
			}
			at := strings.LastIndex(text, from)
			if c[0] != "expected and observed exit status 0" { // the last is the program's
				at = strings.Index(text, from)
			}
			if at >= 0 && len(reporttest.False(text[:at]+to+text[at+len(from):], r.trace)) == 0 {
				t.Errorf("%s: %q instead of %q is not found", r.name, to, from)
			}
		}
		if found < 20 {
			t.Errorf("%s: %d facts were changed:\n%s", r.name, found, text[from:to])
		}
	}
}

// programsInC returns runs of labs/fork-new/c, a program in C with
// glibc's fork, which lab run fork-new --submission recorded.
func programsInC(t testing.TB) (out []recording) {
	t.Helper()
	for _, machine := range arch.Names() {
		out = append(out, read(t, "testdata", "fork-new-c."+machine, rules(t, machine)))
	}
	return out
}
