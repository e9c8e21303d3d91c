package harness_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/trace"
	"kernellab/images"
)

// source is a program of one file.
func source(text string) fstest.MapFS { return fstest.MapFS{"main.go": {Data: []byte(text)}} }

// exit returns a run's account of how its program ended.
func exit(t *testing.T, out *harness.Outcome) trace.Exit {
	t.Helper()
	for _, e := range out.Trace.Events {
		if e.Exit != nil {
			return *e.Exit
		}
	}
	t.Fatal("the run does not say how the program ended")
	return trace.Exit{}
}

// What a program does without end is ended by a limit that is not the host's, so
// that it ends at the same instruction each time: that of the guest's time, or of the
// number of stops. It is the program's own fault.
func TestWithoutEnd(t *testing.T) {
	const limit = 300 * time.Millisecond
	for name, tt := range map[string]struct {
		program string
		want    func(trace.Exit) bool
		told    string
	}{
		"loops": {"package main\n\nfunc main() {\n\tfor {\n\t}\n}\n",
			func(e trace.Exit) bool { return e.TimedOut && !e.Stuck && e.Limit == limit && e.Signal == "SIGKILL" }, "did not end within 300ms"},
		"sleeps": {"package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(1000 * time.Hour) }\n",
			func(e trace.Exit) bool { return e.TimedOut && !e.Stuck && e.Limit == limit && e.Signal == "SIGKILL" }, "did not end within 300ms"},
		"floods": {`package main

import "syscall"

func main() {
	for {
		syscall.RawSyscall6(syscall.SYS_CLONE, syscall.CLONE_THREAD, 0, 0, 0, 0, 0) // EINVAL
	}
}
`, func(e trace.Exit) bool { return e.Stops > 1000 && !e.TimedOut }, "stop"},
	} {
		t.Run(name, func(t *testing.T) {
			eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
				j := job(t, a, k, source(tt.program))
				j.Out, j.Limit = "", limit
				if name == "floods" {
					j.Limit = time.Hour
				}
				j.Retry = func(err error) { t.Errorf("tried again because of %v", err) }
				first := run(t, j)
				if e := exit(t, first); !tt.want(e) {
					t.Errorf("the program ended with %+v", e)
				}
				if first.Result.Verdict != grade.Fail {
					t.Errorf("verdict %s, want fail", first.Result.Verdict)
				}
				var told strings.Builder
				for _, f := range first.Result.Findings {
					told.WriteString(f.Message + "\n")
				}
				if !strings.Contains(told.String(), tt.told) {
					t.Errorf("findings %q, want %q in them", told.String(), tt.told)
				}
				again := j
				again.Again = true
				alike(t, []way{{"once more", j, first, nil}, {"from a snapshot, if there is one", again, first, nil}})
			})
		})
	}
}

// A kernel that dies in the middle of a run does so each time: it is not tried again,
// and it is the kernel's fault.
func TestOopsIsNotRetried(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		j := job(t, a, k, nil)
		j.Retry = func(err error) { t.Errorf("tried again because of %v", err) }
		at(&j, "wake_up_new_task", func(m *machine.Machine, _ int) {
			// The task that is to be woken.
			if err := m.Stub.WriteRegister(t.Context(), a.Registers.Args[0], 0); err != nil {
				t.Error(err)
			}
		})
		_, err := harness.Run(t.Context(), j)
		t.Log(err)
		var guest *machine.GuestError
		if !errors.As(err, &guest) || !guest.Oops || !machine.Died(err) || machine.Retryable(err) {
			t.Fatalf("error %#v, want that the kernel died", err)
		}
		if console := strings.Join(machine.Console(err), "\n"); !strings.Contains(err.Error(), "panicked") || console == "" {
			t.Errorf("error %v with the console's %q", err, console)
		}
	})
}

// Every lab passes on two processors: what it promises is an order within each task,
// and between tasks where the lab says so. Whose turn it is depends on the host, so
// that the traces are not alike.
func TestTwoProcessors(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		seen := map[int]bool{}
		for _, l := range everyLab(t) {
			t.Run(l.Name, func(t *testing.T) {
				j := jobOf(t, a, k, l, nil)
				j.Machine.CPUs = 2
				j.Again = l.Name == lab(t).Name // a machine of several is saved at its first stop too
				for _, e := range pass(t, j).Trace.Events {
					seen[e.CPU] = seen[e.CPU] || e.Kind == trace.KindStop
				}
			})
		}
		if !seen[1] {
			t.Error("nothing stopped on the second processor")
		}
	})
}
