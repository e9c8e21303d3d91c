package harness_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/ftrace"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/linux"
	"kernellab/labs"
)

// script has a line that is wrong on every kernel, and one that is right on each.
const script = `# by hand
cd /sys/kernel/tracing
echo sys_clone > set_ftrace_filter
echo *_sys_clone kernel_clone copy_process wake_up_new_task > set_ftrace_filter
echo function > current_tracer
echo 1 > options/func_stack_trace
echo sym-offset > trace_options
echo sched_process_fork sched_process_exit > set_event
fork-new
echo nop > current_tracer
`

// A script's lines are run one by one, and ftrace records the same calls with the same
// stacks as lab's breakpoints, and the same again in a run from the snapshot of the first.
func TestScript(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, nil)
		j.Script, j.Again = script, true
		out, err := harness.Run(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		f := out.Trace.Ftrace()
		if f == nil || !f.Ran || !f.On || f.Tracer != "function" || !slices.Contains(f.Options, "func_stack_trace") || !slices.Contains(f.Options, "sym-offset") {
			t.Fatalf("%+v", f)
		}
		wrong := slices.DeleteFunc(slices.Clone(f.Script), func(l trace.ScriptLine) bool { return l.Problem == "" })
		entry := a.Syscall.Prefix + "sys_clone"
		if len(f.Script) != 9 || len(wrong) != 1 || wrong[0].Line != 3 || wrong[0].Instead != entry || !strings.HasPrefix(wrong[0].Problem, "sys_clone is not in") {
			t.Errorf("%d lines, wrong are %+v", len(f.Script), wrong)
		}
		same := map[string]bool{}
		rows, _ := ftrace.Compare(out.Trace)
		for _, r := range rows {
			if same[r.Stop.Point] = r.Case == ftrace.SameStack; !r.Agrees() {
				t.Errorf("at %s: %s, %d frames, %q", r.Stop.Point, r.Case, r.Frames, r.Differ)
			}
		}
		want := map[string]bool{
			"sys_clone": true, "kernel_clone": true, "copy_process": true, "wake_up_new_task": true,
			"dup_task_struct": false, "copy_thread": false, "pid_vnr": false, "clone_returns": false, "ret_from_fork": false, "release_task": false,
		}
		if diff := cmp.Diff(want, same); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		text, err := os.ReadFile(filepath.Join(j.Out, harness.FtraceFile))
		if records, _ := ftrace.ParseRecord(string(text), out.Trace.Events[0].Task.PID); err != nil || len(records) != len(f.Records) {
			t.Errorf("%d records in %s, %v, %d in the trace", len(records), harness.FtraceFile, err, len(f.Records))
		}
		first, err := os.ReadFile(filepath.Join(j.Out, harness.TraceFile))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := harness.Run(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(filepath.Join(j.Out, harness.TraceFile)); err != nil || !bytes.Equal(first, again) {
			t.Errorf("the second run's trace differs, %v", err)
		}
	})
}

// A line that fails ends the script after set -e, or the run when whoever watches says so.
func TestScriptEnds(t *testing.T) {
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, nil)
		j.Script = "set -e\ncat /etc/passwd\nfork-new\n"
		out, err := harness.Run(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		var skipped []bool
		for _, l := range out.Trace.Ftrace().Script {
			skipped = append(skipped, l.Skipped)
		}
		if f := out.Trace.Ftrace(); f.Ran || !slices.Equal(skipped, []bool{false, false, true}) {
			t.Errorf("%+v", f.Script)
		}
		j.Line = func(out trace.ScriptLine, _ string) bool { return out.Problem == "" }
		if _, err := harness.Run(t.Context(), j); !errors.Is(err, harness.ErrStopped) {
			t.Errorf("%v, want %v", err, harness.ErrStopped)
		}
	})
}

// A student's script takes the place of the lab's, and the lab's own program runs: what is
// graded is what the kernel recorded.
func TestSubmittedScript(t *testing.T) {
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		l, err := labs.Get("ftrace-process")
		if err != nil {
			t.Fatal(err)
		}
		own := jobOf(t, a, k, l, nil)
		without := strings.Replace(l.Script, "echo 1 > options/sym-offset\n", "cat /proc/kallsyms\n", 1)
		without = strings.Replace(without, "set -e\n", "", 1)
		s := harness.Submitted{Own: own, Submission: &submission.Submission{
			Program: &submission.Program{Language: submission.Script, File: submission.ScriptFile, Source: []byte(without)},
		}}
		out, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Trace.Header; got.Program.Script != without || got.Program.Name != l.Name {
			t.Errorf("the header has %+v", got.Program)
		}
		var missed []string
		for _, c := range out.Result.Checks {
			if c.Verdict != verdict.Pass && c.Kind == "" {
				missed = append(missed, c.Name)
			}
		}
		if diff := cmp.Diff([]string{"the lines of the script that fail", "stacks with offsets"}, missed); diff != "" {
			t.Errorf("-want +missed\n%s", diff)
		}
	})
}
