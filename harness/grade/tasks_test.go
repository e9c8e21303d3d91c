package grade_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// These tests grade rules of several tasks, with all that rules can say: points
// of any task, returns, absences, ranges, several edges, conditions, what a kernel
// lacks, and the lines of a life.

func never() *trace.Range { return &trace.Range{} }

// taskRules are the rules of a made-up lab.
func taskRules() grade.Rules {
	return grade.Rules{
		Lab: "tasks", Arch: "x86_64", Output: []string{"done"}, Patterns: []string{"pid [0-9]+"}, Signal: "SIGTERM",
		Points: []plan.Point{
			{Name: "enter", Role: "parent", Entry: true, Step: true},
			{Name: "other_way", Role: "parent", Entry: true, Step: true, Absent: "it is the way of riscv64", Elsewhere: true},
			{Name: "lacking", Role: "parent", Step: true, Absent: "it has no such call"},
			{Name: "made", Role: "parent", Step: true, Finds: []plan.Named{{Name: "child"}}, Reads: []plan.Named{{Name: "state"}}, Lifetime: `"made, " + state(read.state)`},
			{Name: "back", Role: "parent", Step: true, ReturnOf: "made", Reads: []plan.Named{{Name: "state"}}, Show: []plan.Named{{Name: "before", Expr: "made.read.state"}, {Name: "never", Expr: "hits(\"forbidden\")"}}},
			{Name: "tick", Role: "parent", Step: true, Anytime: true, Hits: &trace.Range{Least: 1, Most: 3}},
			{Name: "maybe", Role: "parent", Step: true, Hits: &trace.Range{Least: 0, Most: 1}},
			{Name: "starts", Role: "child", Step: true, After: []string{"made"}, Lifetime: `"starts"`},
			{Name: "ends", Role: "child", Step: true, Reads: []plan.Named{{Name: "name"}}},
			{Name: "seen", Role: plan.Any, Step: true, Armed: []string{"ends"}, After: []string{"ends", "back"}},
			{Name: "forbidden", Role: "parent", Step: true, Hits: never(), Armed: []string{"enter"}},
			{Name: "rare", Role: "parent", Optional: true, Step: true, Reads: []plan.Named{{Name: "x"}}},
			{Name: "after_rare", Role: "parent", Step: true, Armed: []string{"rare"}},
			{Name: "rare_back", Role: "parent", Step: true, ReturnOf: "rare"},
		},
		Checks: []grade.CheckRule{
			{Name: "state", At: "back", Observed: "made.read.state", Expected: "TASK_NEW", Format: "state"},
			{Name: "that", At: "back", That: `read.state == TASK_RUNNING and hits("tick") >= 1`, Observed: "read.state", Format: "state"},
			{Name: "killed", At: "ends", That: `calls("get_signal") and not calls("sys_exit")`},
			{Name: "elsewhere", That: `calls("sys_exit", "seen")`},
			{Name: "name", At: "ends", Observed: "read.name", Expected: `"victim"`},
			{Name: "family", Observed: "starts.task.address", Expected: "child", Format: "address"},
			{Name: "parent", At: "starts", Observed: "parent_task.pid", Expected: "parent.pid"},
			{Name: "never", Observed: `hits("forbidden")`, Expected: "0"},
			{Name: "needs lacking", At: "lacking", Observed: "task.pid", Expected: "1"},
			{Name: "needs rare", Observed: "rare.read.x", Expected: "1"},
		},
		Questions: []grade.Question{{Name: "q", Type: grade.TypeNumber, Truth: "lacking.task.pid"}},
	}
}

// taskTrace is a run that is right in everything.
func taskTrace() *trace.Trace {
	parent := &trace.Task{Address: 0xffff888000001000, PID: 50, TGID: 50, Comm: "tasks"}
	child := &trace.Task{Address: 0xffff888000002000, PID: 51, TGID: 51, Comm: "tasks"}
	idle := &trace.Task{Address: 0xffffffff82000000, Comm: "swapper/0"}
	frames := func(symbols ...string) (out []trace.Frame) {
		for _, s := range symbols {
			out = append(out, trace.Frame{Symbol: s, Trusted: true})
		}
		return out
	}
	stop := func(point, role string, task *trace.Task) trace.Event {
		return trace.Event{Kind: trace.KindStop, Point: point, Symbol: point, Role: role, Round: 1, Task: task, Parent: &trace.Task{PID: 1, Comm: "init"}}
	}
	t := &trace.Trace{Header: trace.Header{Lab: "tasks", Arch: "x86_64", Program: trace.Program{Name: "tasks"}, Kernel: trace.Kernel{Release: "6.1"}}}
	for _, p := range []string{"enter", "made", "back", "tick", "maybe", "starts", "ends", "seen", "forbidden"} {
		t.Header.Points = append(t.Header.Points, trace.Point{Point: p, Symbol: p, Address: trace.Word(len(t.Header.Points) + 1)})
	}
	t.Header.Points = append(t.Header.Points, trace.Point{Point: "rare", Missing: "point rare has no place in kernel 6.1"})
	add := func(e trace.Event, change func(e *trace.Event)) {
		if change != nil {
			change(&e)
		}
		t.Events = append(t.Events, e)
	}
	add(trace.Event{Kind: trace.KindProgram, Task: parent}, nil)
	add(stop("enter", "parent", parent), func(e *trace.Event) { e.Arms = []string{"made", "tick", "maybe", "starts", "ends", "forbidden"} })
	add(stop("made", "parent", parent), func(e *trace.Event) {
		e.Finds = map[string]trace.Word{"child": child.Address}
		e.Reads = map[string]trace.Word{"state": 0x800}
	})
	add(stop("starts", "child", child), func(e *trace.Event) { e.Parent = parent })
	add(stop("back", "parent", parent), func(e *trace.Event) { e.Reads = map[string]trace.Word{"state": 0} })
	add(stop("tick", "parent", parent), nil)
	add(stop("ends", "child", child), func(e *trace.Event) {
		e.Arms, e.Texts = []string{"seen"}, map[string]string{"name": "victim"}
		e.Stack = frames("do_exit", "do_group_exit", "get_signal.cold", "exit_to_user_mode_loop")
	})
	add(stop("seen", plan.Any, idle), func(e *trace.Event) { e.Stack = frames("finish_task_switch.isra.0", "__x64_sys_exit") })
	add(trace.Event{Kind: trace.KindExit, Exit: &trace.Exit{Signal: "SIGTERM", Output: "pid 51\ndone\n"}}, nil)
	add(trace.Event{Kind: trace.KindEnd}, nil)
	for i := range t.Events {
		t.Events[i].Seq = i + 1
	}
	return t
}

// at returns the first event at a point.
func at(t *trace.Trace, point string) *trace.Event {
	return &t.Events[slices.IndexFunc(t.Events, func(e trace.Event) bool { return e.Point == point })]
}

// drop takes the stops at points away, and what they armed.
func drop(t *trace.Trace, points ...string) {
	t.Events = slices.DeleteFunc(t.Events, func(e trace.Event) bool { return slices.Contains(points, e.Point) })
	renumber(t)
}

func renumber(t *trace.Trace) {
	for i := range t.Events {
		t.Events[i].Seq = i + 1
	}
}

// again repeats the stop at a point so often.
func again(t *trace.Trace, point string, times int) {
	i := slices.IndexFunc(t.Events, func(e trace.Event) bool { return e.Point == point })
	for range times {
		t.Events = slices.Insert(t.Events, i, t.Events[i])
	}
	renumber(t)
}

// put adds a stop before the program's end.
func put(t *trace.Trace, point, like string) {
	e := *at(t, like)
	e.Point, e.Arms, e.Disarms = point, nil, nil
	t.Events = slices.Insert(t.Events, len(t.Events)-2, e)
	renumber(t)
}

func exit(t *trace.Trace) *trace.Exit { return t.Events[len(t.Events)-2].Exit }

func TestTasks(t *testing.T) {
	tests := map[string]struct {
		change func(t *trace.Trace)
		want   verdict.Verdict
		says   string // a finding, or the error
	}{
		"right":                        {nil, verdict.Pass, ""},
		"an optional point came":       {func(t *trace.Trace) { put(t, "maybe", "back") }, verdict.Pass, ""},
		"a range is used up":           {func(t *trace.Trace) { again(t, "tick", 2) }, verdict.Pass, ""},
		"anytime is early":             {func(t *trace.Trace) { put(t, "tick", "tick") }, verdict.Pass, ""},
		"an optional point came twice": {func(t *trace.Trace) { put(t, "maybe", "back"); put(t, "maybe", "back") }, verdict.Fail, "maybe was hit twice: expected at most 1 hit, seen 2 hits"},
		"an optional point out of order": {func(t *trace.Trace) {
			e := *at(t, "back")
			e.Point = "maybe"
			t.Events = slices.Insert(t.Events, 2, e)
			renumber(t)
		}, verdict.Fail, "maybe came too early"},
		"a range is left":               {func(t *trace.Trace) { again(t, "tick", 3) }, verdict.Fail, "tick was hit 4 times: expected 1 to 3 hits, seen 4 hits"},
		"a range is not reached":        {func(t *trace.Trace) { drop(t, "tick") }, verdict.Fail, "tick was not hit: expected 1 to 3 hits"},
		"the forbidden came":            {func(t *trace.Trace) { put(t, "forbidden", "back") }, verdict.Fail, "forbidden came, and should not: seen once by the parent, 50[tasks]"},
		"the forbidden was not watched": {func(t *trace.Trace) { at(t, "enter").Arms = []string{"made"} }, verdict.Error, "forbidden: it was never armed"},
		"the watch ended early":         {func(t *trace.Trace) { at(t, "back").Disarms = []string{"forbidden"} }, verdict.Error, "it was watched for only until event 5"},
		"the program was cut short":     {func(t *trace.Trace) { *exit(t) = trace.Exit{TimedOut: true, Output: exit(t).Output} }, verdict.Fail, "did not end within"},
		"a return is missing":           {func(t *trace.Trace) { drop(t, "back") }, verdict.Fail, "back was not hit by the parent: expected it after made"},
		"the any-task point is missing": {func(t *trace.Trace) { drop(t, "seen") }, verdict.Fail, "seen was not hit: expected 1 hit before the end"},
		"an edge does not hold": {func(t *trace.Trace) {
			e := *at(t, "starts")
			drop(t, "starts")
			t.Events = slices.Insert(t.Events, 2, e)
			renumber(t)
		}, verdict.Fail, "starts came before made, and has to come after it"},
		"the second edge does not hold": {func(t *trace.Trace) {
			e := *at(t, "back")
			drop(t, "back")
			t.Events = slices.Insert(t.Events, 7, e)
			renumber(t)
		}, verdict.Fail, "seen came before back"},
		"another task's stop":       {func(t *trace.Trace) { at(t, "ends").Role = "parent" }, verdict.Fail, "ends is a step of the child, and was hit by the parent"},
		"the child was never found": {func(t *trace.Trace) { drop(t, "made", "back", "starts", "ends", "seen") }, verdict.Fail, "made was not hit"},
		"another state":             {func(t *trace.Trace) { at(t, "made").Reads = map[string]trace.Word{"state": 1} }, verdict.Fail, "state: expected TASK_NEW, seen TASK_INTERRUPTIBLE"},
		"a condition does not hold": {func(t *trace.Trace) { at(t, "back").Reads = map[string]trace.Word{"state": 0x802} }, verdict.Fail, "seen TASK_UNINTERRUPTIBLE|TASK_NEW"},
		"not on the stack":          {func(t *trace.Trace) { at(t, "ends").Stack[2].Symbol = "do_syscall_64" }, verdict.Fail, "killed: expected"},
		"a frame not to be trusted": {func(t *trace.Trace) { at(t, "ends").Stack[2].Trusted = false }, verdict.Fail, "killed: expected"},
		"another way to end":        {func(t *trace.Trace) { at(t, "ends").Stack[3].Symbol = "__x64_sys_exit" }, verdict.Fail, "killed: expected"},
		"no stack":                  {func(t *trace.Trace) { at(t, "ends").Stack = nil }, verdict.Error, "not recorded: the stack at ends"},
		"another text":              {func(t *trace.Trace) { at(t, "ends").Texts["name"] = "other" }, verdict.Fail, "name: expected victim, seen other"},
		"a text that was not read":  {func(t *trace.Trace) { at(t, "ends").Texts = nil }, verdict.Error, "ends's name"},
		"another child": {func(t *trace.Trace) {
			at(t, "made").Finds["child"] = 0x10
			at(t, "starts").Task = &trace.Task{Address: 0x20, PID: 51}
		}, verdict.Fail, "family: expected 0x10, seen 0x20"},
		"another parent":                 {func(t *trace.Trace) { at(t, "starts").Parent = &trace.Task{PID: 1} }, verdict.Fail, "parent: expected 50, seen 1"},
		"no parent recorded":             {func(t *trace.Trace) { at(t, "starts").Parent = nil }, verdict.Error, "parent_task"},
		"another signal":                 {func(t *trace.Trace) { exit(t).Signal = "SIGSEGV" }, verdict.Fail, "was to be killed by SIGTERM, seen: killed by SIGSEGV"},
		"no signal":                      {func(t *trace.Trace) { exit(t).Signal = "" }, verdict.Fail, "was to be killed by SIGTERM, seen: exit status 0"},
		"a pattern that nothing matches": {func(t *trace.Trace) { exit(t).Output = "the pid 51\ndone\n" }, verdict.Fail, "a line that matches pid [0-9]+"},
		"a missing point that is needed": {func(t *trace.Trace) { t.Header.Points[1].Missing = "gone"; drop(t, "made") }, verdict.Fail, "made was not hit"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr := taskTrace()
			if tt.change != nil {
				tt.change(tr)
			}
			res := judge(tr, taskRules())
			consistent(t, res)
			var told strings.Builder
			told.WriteString(res.Error)
			for _, f := range res.Findings {
				told.WriteString("\n" + f.Message)
			}
			if res.Verdict != tt.want || !strings.Contains(told.String(), tt.says) {
				t.Errorf("%s, want %s with %q:%s", res.Verdict, tt.want, tt.says, told.String())
			}
		})
	}
}

// TestMissingIsSaid checks that what a kernel lacks is left out and told, with all
// that hangs on it, and that it is not told that it passed.
func TestMissingIsSaid(t *testing.T) {
	res := judge(taskTrace(), taskRules())
	want := []string{
		"lacking can not be observed on 6.1 (x86_64): it has no such call.",
		"rare can not be observed on 6.1 (x86_64): point rare has no place in kernel 6.1.",
		`So this is not checked there, and scores nothing: "needs lacking", "needs rare", question q.`,
	}
	for _, w := range want {
		if !slices.Contains(res.Notes, w) {
			t.Errorf("no note %q in %q", w, res.Notes)
		}
	}
	for _, c := range res.Checks {
		if strings.HasPrefix(c.Name, "needs ") {
			t.Errorf("%s is among the checks: %s", c.Name, c.Verdict)
		}
	}
	if res.MaxScore != 12 {
		t.Errorf("%d points in all, want 12", res.MaxScore)
	}
	if strings.Contains(strings.Join(res.Notes, " "), "other_way") {
		t.Errorf("another architecture's way is told as missing: %q", res.Notes)
	}
	// Where the kernel has it, it counts.
	tr := taskTrace()
	tr.Header.Points[len(tr.Header.Points)-1].Missing = ""
	if res := judge(tr, taskRules()); res.Verdict != verdict.Fail {
		t.Errorf("an optional point that is there and was not hit: %s", res.Verdict)
	}
}

func TestLifetime(t *testing.T) {
	res := judge(taskTrace(), taskRules())
	want := []string{"50[tasks]/1[init] made, TASK_NEW", "51[tasks]/50[tasks] starts"}
	if !slices.Equal(res.Lifetime, want) {
		t.Errorf("lifetime %q, want %q", res.Lifetime, want)
	}
}

// TestConsequences checks that a call that was left out is told, and not all that
// hangs on it.
func TestConsequences(t *testing.T) {
	tr := taskTrace()
	drop(tr, "made", "back", "starts", "ends", "seen")
	res := judge(tr, taskRules())
	for _, f := range res.Findings {
		for _, p := range []string{"starts", "seen", "back"} {
			if strings.HasPrefix(f.Message, p+" ") {
				t.Errorf("told beside its cause: %s", f.Message)
			}
		}
	}
}

func TestTaskRulesRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(r *grade.Rules)
		want   string
	}{
		"a range upside down":  {func(r *grade.Rules) { r.Points[5].Hits = &trace.Range{Least: 3, Most: 1} }, "points[5].hits: 3 to 1 is no range"},
		"a return of nothing":  {func(r *grade.Rules) { r.Points[4].ReturnOf = "mad" }, `points[4].return: no earlier point "mad": did you mean "made"?`},
		"armed by nothing":     {func(r *grade.Rules) { r.Points[9].Armed = []string{"end"} }, `points[9].armed: no earlier point "end": did you mean "ends"?`},
		"until nothing":        {func(r *grade.Rules) { r.Points[9].Until = "x" }, `points[9].until: no point "x"`},
		"an entry of any task": {func(r *grade.Rules) { r.Points[0].Role = plan.Any }, "points[0].entry: "},
		"an absent entry":      {func(r *grade.Rules) { r.Points[0].Entry = false }, "0 points are the entry"},
		"two ways to enter":    {func(r *grade.Rules) { r.Points[1].Absent = "" }, "2 points are the entry"},
		"no role":              {func(r *grade.Rules) { r.Points[3].Role = "" }, "points[3].task: a point without a task"},
		"lifetime":             {func(r *grade.Rules) { r.Points[3].Lifetime = "chidl.pid" }, `points[3].lifetime: unknown name "chidl": did you mean "child"?`},
		"a member of a task":   {func(r *grade.Rules) { r.Points[3].Lifetime = "child.pdi" }, `child has no "pdi": did you mean "pid"?`},
		"calls without at":     {func(r *grade.Rules) { r.Checks[3].That = `calls("x")` }, "calls is of one stop"},
		"calls of no point":    {func(r *grade.Rules) { r.Checks[3].That = `calls("x", "sen")` }, `no point "sen": did you mean "seen"?`},
		"calls of a number":    {func(r *grade.Rules) { r.Checks[2].That = `calls(1)` }, "calls takes the name of a function"},
		"that and expected":    {func(r *grade.Rules) { r.Checks[1].Expected = "1" }, `checks[1].expected: a check with "that"`},
		"a broken pattern":     {func(r *grade.Rules) { r.Patterns = []string{"("} }, "error parsing regexp"},
	} {
		t.Run(name, func(t *testing.T) {
			r := taskRules()
			tt.change(&r)
			if err := r.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if res := judge(taskTrace(), r); res.Verdict != verdict.Error {
				t.Errorf("graded by broken rules: %s", res.Verdict)
			}
		})
	}
	if err := taskRules().Validate(); err != nil {
		t.Error(err)
	}
}

// TestSteps checks what a person sees of each stop.
func TestSteps(t *testing.T) {
	tr := taskTrace()
	for i, p := range []trace.Point{
		{Point: "enter", Place: "do_enter", Symbol: "do_enter", Why: "by its name"},
		{Point: "made", Symbol: "made.isra.0", Why: "a clone of it", Source: "kernel/made.c:7"},
		{Point: "back", Symbol: "back", Why: "where it was inlined", Inlined: "outer"},
		{Point: "tick", Symbol: "tick", Why: "by its name"},
	} {
		tr.Header.Points[i] = p
		at(tr, p.Point).Symbol = p.Symbol
	}
	at(tr, "made").Stack = []trace.Frame{{Symbol: "made", File: "made.c", Line: 7, Trusted: true}, {Symbol: "outer", Trusted: true}}
	at(tr, "back").Stack = []trace.Frame{{Symbol: "back", Trusted: true}}
	second := *at(tr, "back")
	second.Round = 2
	tr.Events = slices.Insert(tr.Events, len(tr.Events)-2, second)
	renumber(tr)
	type seen struct {
		Point, Why, Source string
		Sources            []string
		Values             []string // a value that is not there is its reason
	}
	var got []seen
	for _, s := range judge(tr, taskRules()).Steps {
		step := seen{Point: s.Point, Why: s.Why, Source: s.Source, Sources: s.Sources}
		for _, v := range s.Values {
			if v.Why != nil {
				v.Text = v.Why.Case
			}
			step.Values = append(step.Values, v.Text)
		}
		got = append(got, step)
	}
	want := []seen{
		{Point: "enter"},
		{Point: "made", Why: "a clone of it", Source: "kernel/made.c:7", Sources: []string{"made.c:7", ""}},
		{Point: "starts"},
		{Point: "back", Why: "where it was inlined", Values: []string{"2048", "0"}},
		{Point: "tick"},
		{Point: "ends"},
		{Point: "seen"},
		{Point: "back", Why: "where it was inlined", Values: []string{"not-hit", "0"}}, // in another round
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestOutputLines checks which lines of the output are shown, and how.
func TestOutputLines(t *testing.T) {
	many := func(n int, last ...string) (lines []string) {
		for range n {
			lines = append(lines, "done")
		}
		return append(lines, last...)
	}
	for name, tt := range map[string]struct {
		output []string
		want   string // a mark a line: Good, Bad, Context, Missing
		near   []string
	}{
		"right":                      {[]string{"done", "finished"}, "GG", nil},
		"the ends of noise":          {[]string{"a", "b", "c", "d"}, "CCMM", nil},
		"around a line":              {[]string{"a", "b", "c", "done", "e", "f", "g", "h", "i"}, "CCGCCCCM", nil},
		"before the last line":       {[]string{"a", "b", "c", "done"}, "CCGM", nil},
		"nearly, as the first":       {[]string{"Finished!", "done"}, "BGM", []string{"Finished!"}},
		"one letter of eight":        {[]string{"done", "finisked"}, "GBM", []string{"finisked"}},
		"two letters of eight":       {[]string{"done", "finizked"}, "GCM", nil},
		"no letters":                 {[]string{"done", "!"}, "GCM", nil},
		"as many lines as are shown": {many(59, "finished"), strings.Repeat("G", 60), nil},
		"more":                       {many(60, "finished"), strings.Repeat("G", 60), nil},
	} {
		r := taskRules()
		r.Output, r.Patterns = []string{"done", "finished"}, nil
		tr := taskTrace()
		exit(tr).Output = strings.Join(tt.output, "\n") + "\n"
		res := judge(tr, r)
		marks := ""
		for _, l := range res.Checks[slices.IndexFunc(res.Checks, func(c verdict.Check) bool { return len(c.Lines) > 0 })].Lines {
			marks += map[verdict.Mark]string{verdict.Good: "G", verdict.Bad: "B", verdict.Context: "C", verdict.Missing: "M"}[l.Mark]
		}
		var near []string
		for _, f := range res.Findings {
			if f.Case == verdict.CaseOutput {
				near = f.Output.Near
			}
		}
		if marks != tt.want || !slices.Equal(near, tt.near) {
			t.Errorf("%s: %s %q, want %s %q", name, marks, near, tt.want, tt.near)
		}
	}
}
