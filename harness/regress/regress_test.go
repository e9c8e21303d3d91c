package regress_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kernellab/harness/grade"
	"kernellab/harness/plan"
	"kernellab/harness/regress"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// rules are those of a lab with the path of fork-new and two of its checks.
func rules(arch string) grade.Rules {
	r := grade.Rules{Lab: "fork-new", Arch: arch, Output: strings.Split(strings.TrimSpace(tracetest.Output), "\n")}
	for _, name := range tracetest.Points() {
		p := plan.Point{Name: name, Role: "parent", Step: true}
		switch name {
		case "sys_clone":
			p.Entry = true
		case "ret_from_fork":
			p.Role, p.After = "child", []string{"wake_up_new_task"}
			p.Reads = []plan.Named{{Name: "thread_sp"}, {Name: "stack_top"}}
		case "release_task":
			p.Step = false
		}
		r.Points = append(r.Points, p)
	}
	r.Checks = []grade.CheckRule{
		{Name: "only the saved user registers lie above it", At: "ret_from_fork", Observed: "read.stack_top - sp", Expected: "sizes.stack_top", Format: "bytes"},
		{Name: "its stack pointer is where copy_thread left it", At: "ret_from_fork", Observed: "sp", Expected: "read.thread_sp + switch_frame", Format: "address"},
	}
	return r
}

// seen grades a trace and records it.
func seen(t *trace.Trace) (regress.Entry, verdict.Result) {
	r := grade.Grade(t, rules(t.Header.Arch))
	return regress.Record(t, r), r
}

// on returns a passing run on a kernel, made other by change.
func on(arch, release string, change func(*trace.Trace)) *trace.Trace {
	t := tracetest.Fork(arch)
	t.Header.Kernel.Release = release
	if change != nil {
		change(t)
	}
	return t
}

const (
	x86   = "6.1.0-50-cloud-amd64"
	riscv = "6.12.107+deb13-riscv64"
)

// baseline has the passing runs of both architectures.
func baseline() regress.Baseline {
	var b regress.Baseline
	for arch, release := range map[string]string{"x86_64": x86, "riscv64": riscv} {
		e, _ := seen(on(arch, release, nil))
		b.Update(e)
	}
	return b
}

// symbol renames what a point resolved to.
func symbol(t *trace.Trace, point, name string) {
	for i := range t.Header.Points {
		if t.Header.Points[i].Point == point {
			t.Header.Points[i].Symbol = name
		}
	}
	for i := range t.Events {
		if t.Events[i].Point == point {
			t.Events[i].Symbol = name
		}
	}
}

// sized changes the size of what lies at the top of the stack, and where the
// child starts with it when both is set.
func sized(t *trace.Trace, size int, both bool) {
	delta := trace.Word(size - t.Header.Sizes["stack_top"])
	t.Header.Sizes = map[string]int{"pt_regs": t.Header.Sizes["pt_regs"], "stack_top": size}
	if both {
		e := &t.Events[tracetest.Index(t, "ret_from_fork")]
		e.Registers[t.Header.Roles["sp"]] -= delta
		tracetest.SetRead(t, "ret_from_fork", "thread_sp", e.Reads["thread_sp"]-delta)
	}
}

func field(t *trace.Trace, path string, f trace.Field) {
	for i := range t.Events {
		if _, ok := t.Events[i].Fields[path]; ok {
			t.Events[i].Fields[path] = f
		}
	}
}

func arguments(t *trace.Trace, point string, args ...trace.Arg) {
	t.Events[tracetest.Index(t, point)].Args = args
}

func TestCompare(t *testing.T) {
	tests := []struct {
		name          string
		arch, release string
		change        func(*trace.Trace)
		want          string
		regressed     bool
	}{
		{"nothing", "x86_64", x86, nil, "6.1.0-50 x86_64: fork-new is unchanged", false},
		{"a new kernel that renamed", "riscv64", "7.2.12+deb14-riscv64",
			func(t *trace.Trace) { symbol(t, "ret_from_fork", "ret_from_fork_user_asm") },
			"7.2.12 riscv64 (against 6.12.107): ret_from_fork is now ret_from_fork_user_asm; the child's stack geometry is unchanged", false},
		{"another name renamed", "riscv64", riscv,
			func(t *trace.Trace) { symbol(t, "sys_clone", "__se_sys_clone") },
			"6.12.107 riscv64: sys_clone is now __se_sys_clone, was __riscv_sys_clone; the child's stack geometry is unchanged", false},
		{"two events swapped", "x86_64", x86,
			func(t *trace.Trace) { tracetest.Move(t, "copy_thread", "dup_task_struct") },
			"6.1.0-50 x86_64: fork-new passed and now fails: ", true},
		{"a missing point", "x86_64", x86,
			func(t *trace.Trace) { tracetest.Drop(t, "copy_thread") },
			"copy_thread is no longer hit (once before)", true},
		{"a point hit twice", "x86_64", x86,
			func(t *trace.Trace) { tracetest.SecondCall(t, "copy_process") },
			"copy_process is hit twice, was once", true},
		{"a geometry that is whole", "x86_64", "7.2.12+deb14-cloud-amd64",
			func(t *trace.Trace) { sized(t, 184, true) },
			"7.2.12 x86_64 (against 6.1.0-50): the child's stack geometry changed: the structure at its top has 184 bytes, was 168, " +
				"stack is 16200 bytes below the stack pointer, was 16216, stack_top is 184 bytes above the stack pointer, was 168", false},
		{"a geometry that is broken", "x86_64", x86,
			func(t *trace.Trace) { sized(t, 184, false) },
			"“only the saved user registers lie above it” passed and now fails: expected 184 bytes, observed 168 bytes", true},
		{"a frame of another size", "x86_64", x86,
			func(t *trace.Trace) { t.Header.SwitchFrame = 0x40 },
			"the switch pops 64 bytes, was 56", true},
		{"a member moved", "x86_64", x86,
			func(t *trace.Trace) { field(t, "task_struct.pid", trace.Field{Offset: 1264, Size: 4, Type: "pid_t"}) },
			"6.1.0-50 x86_64: task_struct.pid moved from offset 1256 to 1264; the child's stack geometry is unchanged", false},
		{"a member shrank", "x86_64", x86,
			func(t *trace.Trace) { field(t, "task_struct.tgid", trace.Field{Offset: 1260, Size: 1, Type: "u8"}) },
			"6.1.0-50 x86_64: task_struct.tgid shrank from 4 to 1 byte; the child's stack geometry is unchanged", false},
		{"an argument of another type", "x86_64", x86,
			func(t *trace.Trace) {
				arguments(t, "sys_clone", trace.Arg{Name: "clone_flags", Type: "u64", Value: 0x01200011}, trace.Arg{Name: "newsp", Type: "unsigned long"})
			},
			"6.1.0-50 x86_64: argument clone_flags of sys_clone is now u64, was unsigned long; the child's stack geometry is unchanged", false},
		{"an argument of another name", "x86_64", x86,
			func(t *trace.Trace) {
				arguments(t, "sys_clone", trace.Arg{Name: "flags", Type: "unsigned long", Value: 17}, trace.Arg{Name: "newsp", Type: "unsigned long"})
			},
			"argument clone_flags of sys_clone is now called flags", false},
		{"an argument more", "x86_64", x86,
			func(t *trace.Trace) {
				arguments(t, "wake_up_new_task", trace.Arg{Name: "p", Type: "struct task_struct *"}, trace.Arg{Name: "flags", Type: "int"})
			},
			"wake_up_new_task now takes (struct task_struct *p, int flags), was (struct task_struct *p)", false},
		{"older than all", "x86_64", "5.10.0-46-cloud-amd64", nil,
			"5.10.0-46 x86_64: the baseline has neither this kernel nor an older one to compare fork-new with", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := baseline().Compare(seen(on(tt.arch, tt.release, tt.change)))
			if !strings.Contains(got.Sentence, tt.want) {
				t.Errorf("sentence %q, want %q in it", got.Sentence, tt.want)
			}
			if got.Regressed() != tt.regressed {
				t.Errorf("regressed %t, want %t: %s", got.Regressed(), tt.regressed, got.Sentence)
			}
		})
	}
}

// TestSwapped checks that the order itself is named, beside the verdict.
func TestSwapped(t *testing.T) {
	swapped := on("x86_64", x86, func(t *trace.Trace) { tracetest.Move(t, "copy_thread", "dup_task_struct") })
	got := baseline().Compare(seen(swapped))
	want := regress.Change{Kind: regress.KindOrder, Text: "in the parent, copy_thread now comes before dup_task_struct"}
	if !slices.Contains(got.Changes, want) {
		t.Errorf("changes %+v, want one %+v", got.Changes, want)
	}
}

// TestNotGraded checks kernels that gave no trace.
func TestNotGraded(t *testing.T) {
	for _, why := range []string{"the kernel 6.1.0-50-cloud-amd64 panicked: Kernel panic - not syncing", "the kernel did not come up: the boot took more than 3m0s"} {
		r := grade.Failure(rules("x86_64"), x86, errors.New(why))
		got := baseline().Compare(regress.Record(nil, r), r)
		if want := "6.1.0-50 x86_64: fork-new passed and now cannot be graded: " + why; got.Sentence != want || !got.Regressed() {
			t.Errorf("regressed %t, %q, want %q", got.Regressed(), got.Sentence, want)
		}
	}
}

// TestKnown checks that a lab that failed before is no regression, and what is
// new about it is one.
func TestKnown(t *testing.T) {
	broken := func(t *trace.Trace) { sized(t, 184, false) }
	var b regress.Baseline
	e, r := seen(on("x86_64", x86, broken))
	b.Update(e)
	if got := b.Compare(e, r); !got.Known || got.Regressed() || !strings.Contains(got.Sentence, "fails as before, nothing else changed") {
		t.Errorf("the same failure: %+v", got)
	}
	worse := on("x86_64", x86, func(t *trace.Trace) { broken(t); t.Header.SwitchFrame = 0x40 })
	if got := b.Compare(seen(worse)); got.Known || !got.Regressed() {
		t.Errorf("one more check that fails: %+v", got)
	}
	if got := b.Compare(seen(on("x86_64", x86, nil))); got.Regressed() || !strings.Contains(got.Sentence, "failed and now passes") {
		t.Errorf("passes now: %+v", got)
	}
}

// TestFor checks which kernel a new one is compared with.
func TestFor(t *testing.T) {
	var b regress.Baseline
	for _, r := range []string{"5.10.0-46-cloud-amd64", "6.1.0-50-cloud-amd64", "6.12.107+deb13-cloud-amd64", "6.12.107+deb13-rt-amd64", "7.2.12+deb14-cloud-amd64"} {
		b.Update(regress.Entry{Lab: "l", Arch: "x86_64", Kernel: r, Verdict: verdict.Pass})
	}
	b.Update(regress.Entry{Lab: "l", Arch: "riscv64", Kernel: "6.18.0-riscv64", Verdict: verdict.Pass})
	for release, want := range map[string]string{
		"6.1.0-50-cloud-amd64":        "6.1.0-50-cloud-amd64",
		"6.1.0-56-cloud-amd64":        "6.1.0-50-cloud-amd64",
		"6.19.0-rc3":                  "6.12.107+deb13-cloud-amd64",
		"6.12.117+deb13-rt-amd64":     "6.12.107+deb13-rt-amd64",
		"7.3.4+deb13-cloud-amd64":     "7.2.12+deb14-cloud-amd64",
		"7.2.12+deb13-cloud-amd64":    "6.12.107+deb13-cloud-amd64",
		"7.2.12+deb14-amd64":          "7.2.12+deb14-cloud-amd64",
		"4.19.0-27-amd64":             "",
		"6.2.0-0.deb11.1-cloud-amd64": "6.1.0-50-cloud-amd64",
	} {
		got, _ := b.For(regress.Entry{Lab: "l", Arch: "x86_64", Kernel: release})
		if got.Kernel != want {
			t.Errorf("%s is compared with %q, want %q", release, got.Kernel, want)
		}
	}
}

func TestCompareReleases(t *testing.T) {
	ordered := []string{
		"4.19.0-27-amd64", "5.10.0-9-amd64", "5.10.0-46-amd64", "6.1.0-0.deb11.5-amd64", "6.1.0-50-cloud-amd64", "6.12.9",
		"6.12.107+deb13-amd64", "6.19.0-rc3", "6.19.0", "6.19.1", "7.2.12+deb13-amd64", "7.2.12+deb14-amd64", "10.0.0",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := regress.CompareReleases(a, b); got != want {
				t.Errorf("CompareReleases(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
}

// TestBaseline checks the document: its order, and that it round-trips.
func TestBaseline(t *testing.T) {
	b := baseline()
	var out bytes.Buffer
	if err := b.Encode(&out); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "baseline.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("baseline -want +got:\n%s", diff)
	}
	got, err := regress.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.Entries, got.Entries, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("entries -want +got:\n%s", diff)
	}
}

func TestUpdateLeavesErrors(t *testing.T) {
	b := baseline()
	left := b.Update(regress.Entry{Lab: "fork-new", Arch: "x86_64", Kernel: x86, Verdict: verdict.Error})
	if len(left) != 1 || len(b.Entries) != 2 {
		t.Errorf("%d left out and %d kept, want 1 and 2", len(left), len(b.Entries))
	}
	for _, e := range b.Entries {
		if e.Verdict != verdict.Pass {
			t.Errorf("%s: verdict %s", e.Kernel, e.Verdict)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	entry := `{"lab":"l","arch":"a","kernel":"k","verdict":"pass","score":1,"max_score":1}`
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":         {"", "EOF"},
		"another version": {`{"schema":"lab.baseline/2","entries":[]}`, "--update-baseline"},
		"unknown field":   {"{\n\"schema\":\"lab.baseline/1\",\n\"entry\":[]}\n", `line 3: unknown field "entry"`},
		"no JSON":         {"{\n\"schema\" 1}\n", "line 2: invalid character '1'"},
		"another type":    {"{\n\"schema\":\n1}\n", "line 3: cannot unmarshal number"},
		"no kernel":       {`{"schema":"lab.baseline/1","entries":[{"lab":"l","arch":"a"}]}`, "entry 1 lacks a lab"},
		"an error":        {`{"schema":"lab.baseline/1","entries":[` + strings.Replace(entry, "pass", "error", 1) + `]}`, "want pass or fail"},
		"twice":           {fmt.Sprintf(`{"schema":"lab.baseline/1","entries":[%s,%s]}`, entry, entry), "entries 1 and 2 are both l on k a"},
		"two":             {`{"schema":"lab.baseline/1","entries":[]} {}`, "more than one"},
	} {
		if _, err := regress.Decode(strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	var out bytes.Buffer
	if err := baseline().Encode(&out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte(`{"schema":"lab.baseline/1","entries":[{"lab":"l","arch":"a","kernel":"6..1-+","verdict":"fail"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := regress.Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, e := range b.Entries {
			b.Compare(e, verdict.Result{})
		}
		var again bytes.Buffer
		if err := b.Encode(&again); err != nil {
			t.Fatal(err)
		}
		if _, err := regress.Decode(&again); err != nil {
			t.Fatal(err)
		}
	})
}

// A change of one field of a structure changes one line of the document.
func TestOneChangeOneLine(t *testing.T) {
	f, err := os.Open("../../labs/baseline.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := regress.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := func() []string {
		var w strings.Builder
		if err := b.Encode(&w); err != nil {
			t.Fatal(err)
		}
		return strings.Split(w.String(), "\n")
	}
	was := lines()
	e := &b.Entries[0]
	field := e.Fields["task_struct.pid"]
	field.Offset += 8
	e.Fields["task_struct.pid"] = field
	changed := 0
	for i, line := range lines() {
		if line != was[i] {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d lines changed, want 1", changed)
	}
}
