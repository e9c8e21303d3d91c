package grade_test

import (
	"strings"
	"testing"

	"kernellab/harness/expr"
	"kernellab/harness/grade"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// observe grades a passing run with one more check and returns that check.
func observe(t *testing.T, arch, at, src, expected, format string) verdict.Check {
	t.Helper()
	r := forkRules(arch)
	r.Checks = []grade.CheckRule{{Name: "probe", At: at, Observed: src, Expected: expected, Format: format}}
	res := judge(tracetest.Fork(arch), r)
	for _, c := range res.Checks {
		if c.Name == "probe" {
			return c
		}
	}
	t.Fatalf("not graded: %s", res.Error)
	return verdict.Check{}
}

func TestLanguage(t *testing.T) {
	const at = "ret_from_fork"
	for src, want := range map[string]string{
		"pc":                               "0xffffffff81097380 (ret_from_fork)",
		"address == pc":                    "true",
		"symbol":                           "ret_from_fork",
		"point + \"!\"":                    "ret_from_fork!",
		"task.pid":                         "84",
		"task.tgid - sys_clone.task.tgid":  "1",
		"task.comm":                        "fork-new",
		"child == task.address":            "true",
		"parent == sys_clone.task.address": "true",
		"reg.rip == pc":                    "true",
		"reg[\"rip\"] == pc":               "true",
		"dup_task_struct.arg.dst == child": "true",
		"read.stack_top - sp":              "168",
		"sizes.pt_regs + switch_frame":     "224",
		"arch":                             "x86_64",
		"kernel startsWith \"6.1\"":        "true",
		"program.exit":                     "0",
		"program.signal == \"\"":           "true",
		"program.output contains \"Child Complete!\\n\"": "true",
		"hits(\"copy_process\")":                         "1",
		"flags(sys_clone.arg.clone_flags)":               "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD",
		"signal(kernel_clone.read.exit_signal)":          "SIGCHLD",
		"CLONE_VM + CLONE_VFORK":                         "16640",
		"bitand(sp, 0xfff)":                              "3928",
		"bitshl(1, 16)":                                  "0x10000",
		"round == 1 ? \"first\" : read.user_pc":          "first",
		"round == 2 ? read.stack_end : 7":                "7",
		"round == 1 or read.user_ret == 1":               "true",
		"-1":                                             "-1",
		"0xffff":                                         "65535",
		"9223372036854775807 + 1":                        "0x8000000000000000",
		"7 / 2":                                          "3.5",
		"cpu":                                            "0",
	} {
		if got := observe(t, "x86_64", at, src, "0", ""); got.Observed != want {
			t.Errorf("%s = %s, want %s", src, got.Observed, want)
		}
	}
	for src, want := range map[string]string{
		"168": "168 bytes", "1": "1 byte", "0x20000": "131072 bytes", "-16": "-16 bytes", "sp": "0xffffc9000021bf58",
	} {
		if got := observe(t, "x86_64", at, src, "0", expr.FormatBytes); got.Observed != want {
			t.Errorf("%s in bytes = %s, want %s", src, got.Observed, want)
		}
	}
	if got := observe(t, "x86_64", at, "16", "0", expr.FormatAddress); got.Observed != "0x10" {
		t.Errorf("16 as an address = %s", got.Observed)
	}
}

// TestLanguageMissing checks that what is not there is told and is no zero.
func TestLanguageMissing(t *testing.T) {
	for src, want := range map[string]string{
		"reg.r99":               "not recorded: ret_from_fork's reg r99",
		"arg.flags":             "not recorded: ret_from_fork's arg flags",
		"sizes.task_struct":     "not recorded: the size of task_struct",
		"link":                  "not recorded: ret_from_fork's link",
		"kernel_clone.arg.none": "not recorded: kernel_clone's arg none",
		"1 % (pc - pc)":         "not computed: ",
		"flags(address / 2)":    "not computed: flags(address / 2): ",
	} {
		for _, expected := range []string{"0", src} {
			got := observe(t, "x86_64", "ret_from_fork", src, expected, "")
			if got.Verdict != verdict.Skip || got.Score != 0 || !strings.HasPrefix(got.Observed, want) {
				t.Errorf("%s == %s: %s: %s, want skip: %s", src, expected, got.Verdict, got.Observed, want)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	check := func(observed string) func(*grade.Rules) {
		return func(r *grade.Rules) { r.Checks[0].Observed = observed }
	}
	tests := map[string]struct {
		change func(*grade.Rules)
		want   string
	}{
		"good":                   {func(*grade.Rules) {}, ""},
		"empty":                  {check(" "), "checks[0].observed: an empty expression"},
		"syntax":                 {check("1 +"), "checks[0].observed: unexpected token"},
		"unknown name":           {check("pcc"), `unknown name "pcc": did you mean "pc"?`},
		"unknown point":          {check("ret_from_frok.pc"), `unknown name "ret_from_frok": did you mean "ret_from_fork"?`},
		"unknown member":         {check("task.pdi"), `task has no "pdi": did you mean "pid"?`},
		"unknown of a point":     {check("sys_clone.taks.pid"), `sys_clone has no "taks": did you mean "task"?`},
		"unknown of the program": {check("program.status"), `program has no "status": it is one of exit, output, panic, signal`},
		"reads nothing":          {check("sys_clone.read.flags"), "sys_clone reads nothing"},
		"a number and a text":    {check("pc + symbol"), "pc + symbol: + takes two numbers, not a text"},
		"an object":              {check("task + 1"), "task is no value by itself"},
		"a member of a number":   {check("pc.x"), "pc is a number, it has no members"},
		"unknown read":           {check("read.user_rte"), `read has no "user_rte": did you mean "user_ret"?`},
		"unknown function":       {check("sum(1)"), `no function "sum"`},
		"too many arguments":     {check("flags(1, 2)"), "flags takes one argument, not 2"},
		"hits of nothing":        {check(`hits("sys_clon")`), `no point "sys_clon": did you mean "sys_clone"?`},
		"hits of a value":        {check("hits(pc)"), "hits takes the name of a point"},
		"a loop":                 {check("all(1..9, # > 0)"), "checks[0].observed: "},
		"a range":                {check("1..1000000000"), `no operator ".."`},
		"a power":                {check("2 ** 64"), `no operator "**"`},
		"a variable":             {check("let x = 1; x"), "the language has no variabledeclarator"},
		"a map":                  {check("{a: 1}"), "the language has no"},
		"division by zero":       {check("1 % 0"), "checks[0].observed: "},
		"nil":                    {check("nil"), "the language has no nil"},
		"a method":               {check("symbol.x()"), "only a function can be called"},
		"an index":               {check("task[pc]"), "a name follows a dot"},
		"optional":               {check("task?.pid"), "checks[0].observed: "},
		"the environment":        {check("$env"), `unknown name "$env"`},
		"our own names":          {check("scope"), `unknown name "scope"`},
		"a lookup":               {check(`lookup("a")`), `no function "lookup"`},
		"long":                   {check(strings.Repeat("1+", 600) + "1"), "over the limit of 1024"},
		"many parts":             {check(strings.Repeat("1+", 200) + "1"), "over the limit of 256"},
		"event without at":       {func(r *grade.Rules) { r.Checks[0].At = "" }, `checks[0].expected: "pc" is of one event`},
		"no name":                {func(r *grade.Rules) { r.Checks[0].Name = "" }, "checks[0]: a check without a name"},
		"a name twice":           {func(r *grade.Rules) { r.Checks[0].Name = r.Checks[1].Name }, "checks[1].name: "},
		"a name of ours":         {func(r *grade.Rules) { r.Checks[0].Name = "the path" }, "checks[0].name: "},
		"one name for both":      {func(r *grade.Rules) { r.Hits.Name = r.Sequence.Name }, "hits.name: "},
		"no such format":         {func(r *grade.Rules) { r.Checks[0].Format = "adress" }, `unknown format "adress": did you mean "address"?`},
		"no such at":             {func(r *grade.Rules) { r.Checks[0].At = "x" }, `checks[0].at: no point "x"`},
		"a reserved point":       {func(r *grade.Rules) { r.Points[1].Name = "task" }, `points[1].point: "task" has a meaning`},
		"a nameless point":       {func(r *grade.Rules) { r.Points[1].Name = "" }, "points[1]: a point without a name"},
		"entry is no step":       {func(r *grade.Rules) { r.Points[0].Step = false }, "points[0].entry: "},
		"show":                   {func(r *grade.Rules) { r.Points[0].Show[0].Expr = "arg." }, "points[0].show[0]: "},
		"no points":              {func(r *grade.Rules) { *r = grade.Rules{} }, "points: 0 points are the entry"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := forkRules("x86_64")
			tt.change(&r)
			err := r.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("error %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			case tt.want != "":
				if res := judge(tracetest.Fork("x86_64"), r); res.Verdict != verdict.Error {
					t.Errorf("graded by broken rules: %s", res.Verdict)
				}
			}
		})
	}
}

// TestForkBomb checks that a trace without measure is graded in measure.
func TestForkBomb(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	var calls []trace.Event
	for _, e := range tr.Events {
		if e.Kind == trace.KindStop {
			calls = append(calls, e)
		}
	}
	events := tr.Events[:1:1]
	for n := 1; n <= 3000; n++ {
		for _, e := range calls {
			e.Round = n
			events = append(events, e)
		}
	}
	tr.Events = append(events, tr.Events[len(tr.Events)-2:]...)
	tracetest.Renumber(tr)
	res := judge(tr, forkRules("x86_64"))
	consistent(t, res)
	if res.Verdict != verdict.Fail || len(res.Findings) > 20 || len(res.Steps) > 256 {
		t.Errorf("%s with %d findings and %d steps", res.Verdict, len(res.Findings), len(res.Steps))
	}
	if want := "called sys_clone 3000 times"; !strings.Contains(res.Findings[0].Message, want) {
		t.Errorf("first finding %q, want one with %q", res.Findings[0].Message, want)
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"pc", "read.user_ret == 0 ? 1 % 0 : -sp", `flags(arg.x) + hits("sys_clone")`, "let a = 1; a", "[1][0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		r := forkRules("x86_64")
		r.Checks = []grade.CheckRule{{Name: "fuzz", At: "ret_from_fork", Observed: src, Expected: "\"\u0000\""}}
		res := judge(tracetest.Fork("x86_64"), r)
		if (res.Verdict == verdict.Error) == (r.Validate() == nil) && !strings.Contains(res.Error, "fuzz: not") {
			t.Errorf("verdict %s %s, and the rules are %v", res.Verdict, res.Error, r.Validate())
		}
	})
}
