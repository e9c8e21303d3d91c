package harness_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/snapshot"
	"kernellab/harness/trace"
	"kernellab/images"
)

// store is a store of the test's own.
func store(t *testing.T) *snapshot.Store {
	t.Helper()
	return &snapshot.Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Warn: func(text string) { t.Errorf("warned: %s", text) }}
}

func pass(t *testing.T, j harness.Job) *harness.Outcome {
	t.Helper()
	out, err := harness.Run(t.Context(), j)
	if err != nil {
		t.Fatalf("run: %v\n%s", err, strings.Join(harness.Console(err), "\n"))
	}
	if out.Result.Verdict != grade.Pass {
		t.Errorf("verdict %s, findings %+v", out.Result.Verdict, out.Result.Findings)
	}
	return out
}

// The trace of a run that starts from a snapshot is that of one that boots, but
// for times, pids and addresses.
func TestWarmEqualsCold(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		j := job(t, a, k, nil)
		j.Snapshots = store(t)
		j.Cold = true
		cold := pass(t, j)
		if left, _ := filepath.Glob(filepath.Join(j.Snapshots.Dir, "*", "ram")); len(left) > 0 {
			t.Errorf("a cold run made a snapshot: %v", left)
		}
		j.Cold = false
		for _, name := range []string{
			"the run that makes the snapshot", "the run after it", "one whose program is brought",
			"the run that makes the program's snapshot", "one from the program's snapshot",
		} {
			began := false
			j.Bring, j.Keep = strings.Contains(name, "brought"), strings.Contains(name, "program's")
			j.Began = func(_ trace.Header, m *harness.Machine) { began = m.Restored > 0 }
			warm := pass(t, j)
			if !began {
				t.Errorf("%s booted", name)
			}
			if strings.HasPrefix(name, "one from") && warm.Boot == 0 {
				t.Errorf("%s does not tell how long the boot took", name)
			}
			t.Logf("%s: driven in %.2f s, cold %.2f s", name, warm.Drive.Seconds(), cold.Drive.Seconds())
			if diff := cmp.Diff(essence(cold), essence(warm)); diff != "" {
				t.Errorf("%s differs -cold +warm:\n%s", name, diff)
			}
		}
		// What is too large to be written into the guest is brought to it.
		program, err := os.ReadFile(j.Program)
		if err != nil {
			t.Fatal(err)
		}
		j.Bring, j.Keep, j.Program = true, false, filepath.Join(t.TempDir(), j.ProgramName)
		if err := os.WriteFile(j.Program, append(program, make([]byte, 5<<20)...), 0o700); err != nil {
			t.Fatal(err)
		}
		pass(t, j)
		if made, _ := filepath.Glob(filepath.Join(j.Snapshots.Dir, "*", "ram")); len(made) != 2 {
			t.Errorf("snapshots %v, want one of the guest and one of the program in it", made)
		}
		log, err := os.ReadFile(filepath.Join(j.Out, harness.ConsoleFile))
		if err != nil || strings.Contains(string(log), "Kernel panic") {
			t.Errorf("the console's log: %v\n%s", err, log)
		}
	})
}

// essence is what has to be the same of two runs of a lab: who did what where
// in which order, with which values, pids by the order in which they appear and
// addresses as such.
func essence(o *harness.Outcome) []string {
	h := o.Trace.Header
	lines := []string{fmt.Sprintf("%s %s %+v %+v %+v %v %d %v %s", h.Lab, h.Arch, h.Kernel, h.Program, h.Points, h.Sizes, h.SwitchFrame, h.Roles, h.QEMU)}
	pids := map[int]string{}
	pid := func(n int) string {
		if pids[n] == "" {
			pids[n] = fmt.Sprintf("task %d", len(pids)+1)
		}
		return pids[n]
	}
	value := func(v trace.Word) string {
		if s, ok := pids[int(v)]; ok {
			return s
		}
		if v >= 1<<16 && v < 1<<63 || v > 1<<63 && v < 1<<64-4096 {
			return "address" // or flags, which the checks compare
		}
		return fmt.Sprint(uint64(v))
	}
	for _, e := range o.Trace.Events {
		if e.Aside != "" {
			continue // other tasks and runtime's threads come as the scheduler lets them
		}
		line := fmt.Sprintf("%s %s %s %x round %d %s cpu %d", e.Kind, e.Point, e.Symbol, uint64(e.Address), e.Round, e.Role, e.CPU)
		if e.Task != nil {
			line += fmt.Sprintf(" %s in %s %q", pid(e.Task.PID), pid(e.Task.TGID), e.Task.Comm)
		}
		for _, arg := range e.Args {
			line += fmt.Sprintf(" %s %s=%s", arg.Type, arg.Name, value(arg.Value))
		}
		for _, name := range slices.Sorted(keys(e.Reads)) {
			if strings.HasSuffix(name, "pid") {
				line += " " + name // told of before the task is seen
				continue
			}
			line += fmt.Sprintf(" %s=%s", name, value(e.Reads[name]))
		}
		line += fmt.Sprintf(" unread %v registers %v", e.Unread, slices.Sorted(keys(e.Registers)))
		if e.Exit != nil {
			// Parent and child print in the order that the scheduler lets them.
			printed := slices.Sorted(strings.Lines(e.Exit.Output))
			line += fmt.Sprintf(" exit %d %s %q %d", e.Exit.Code, e.Exit.Signal, printed, e.Exit.Dropped)
		}
		lines = append(lines, line)
	}
	for _, c := range o.Result.Checks {
		lines = append(lines, fmt.Sprintf("check %s: %s %v/%v", c.Name, c.Verdict, c.Score, c.MaxScore))
	}
	return append(lines, string(o.Result.Verdict))
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// A program that does it wrong fails from a snapshot as it does from a boot.
func TestWarmWrongProgram(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		j := job(t, a, k, os.DirFS("../labs/fork-new/testdata/wrong/no-wait"))
		j.Snapshots = store(t)
		for range 2 {
			out, err := harness.Run(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			if out.Result.Verdict != grade.Fail {
				t.Errorf("verdict %s, want fail", out.Result.Verdict)
			}
		}
	})
}

// A snapshot that was damaged is told of and made anew, and the run passes.
func TestWarmDamaged(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		j := job(t, a, k, nil)
		j.Snapshots = store(t)
		var told []string
		j.Snapshots.Warn = func(text string) { told = append(told, text) }
		pass(t, j)
		rams, err := filepath.Glob(filepath.Join(j.Snapshots.Dir, "*", "ram"))
		if err != nil || len(rams) != 1 {
			t.Fatalf("snapshots %v, %v, want one", rams, err)
		}
		if err := os.Truncate(rams[0], 1<<20); err != nil {
			t.Fatal(err)
		}
		pass(t, j)
		if len(told) != 1 || strings.Contains(told[0], "\n") {
			t.Errorf("told %q, want one line", told)
		}
		told = nil
		pass(t, j)
		if len(told) > 0 {
			t.Errorf("told %q of a whole snapshot", told)
		}
	})
}

// A folder that can not hold snapshots does not keep a lab from being run.
func TestWarmWithoutAPlace(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		j := job(t, a, k, nil)
		j.Snapshots = &snapshot.Store{Dir: filepath.Join(file, "snapshots")}
		var said []string
		j.Stage = func(what string) { said = append(said, what) }
		pass(t, j)
		if all := strings.Join(said, "\n"); !strings.Contains(all, "booting instead") {
			t.Errorf("said %q, want that it booted instead", all)
		}
	})
}

// told says what a run saw, in short.
func told(t *trace.Trace) string {
	var all []string
	for _, e := range t.Events {
		task := 0
		if e.Task != nil {
			task = e.Task.PID
		}
		all = append(all, fmt.Sprintf("%v %s %s pid %d round %d %s", e.Elapsed.Round(time.Millisecond), e.Kind, e.Point, task, e.Round, e.Aside))
	}
	return strings.Join(all, "\n")
}

// Many runs at once, of two programs, half of them from a snapshot of the program,
// lose none and mix nothing up.
func TestManyWarmRuns(t *testing.T) {
	const queued, atOnce = 50, 8
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		right := job(t, a, k, nil)
		right.Out = "" // each has a trace of its own in its outcome
		wrong := job(t, a, k, os.DirFS("../labs/fork-new/testdata/wrong/fork-twice"))
		wrong.Out = ""
		shared := store(t)
		right.Snapshots, wrong.Snapshots = shared, shared
		var wg sync.WaitGroup
		slots := make(chan struct{}, atOnce)
		for i := range queued {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				j, want, children := right, grade.Pass, 1
				if i%2 == 1 {
					j, want, children = wrong, grade.Fail, 2
				}
				j.Keep = i%4 < 2
				out, err := harness.Run(t.Context(), j)
				if err != nil {
					t.Errorf("run %d: %v", i, err)
					return
				}
				var output strings.Builder
				for _, e := range out.Trace.Events {
					if e.Exit != nil {
						io.WriteString(&output, e.Exit.Output)
					}
				}
				if got := strings.Count(output.String(), "This is Child Process!"); out.Result.Verdict != want || got != children {
					t.Errorf("run %d: verdict %s and %d children, want %s and %d; output %q; checks %+v; events %s",
						i, out.Result.Verdict, got, want, children, output.String(), out.Result.Checks, told(out.Trace))
				}
			})
		}
		wg.Wait()
		if rams, _ := filepath.Glob(filepath.Join(shared.Dir, "*", "ram")); len(rams) != 3 {
			t.Errorf("%d snapshots made, want one of the guest and one of each program in it", len(rams))
		}
	})
}
