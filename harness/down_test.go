package harness_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/machine"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/linux"
)

// A submission that brings its machine down where the lab's own program runs is graded;
// what only somebody on the host can do to a machine is not the submission's fault; and
// the snapshots that the neighbours start from stay.
func TestBroughtDown(t *testing.T) {
	kill := func(sig syscall.Signal) func(*testing.T, arch.Arch, *machine.Machine) {
		return func(t *testing.T, _ arch.Arch, m *machine.Machine) { signal(t, m, sig) }
	}
	cases := []struct {
		name   string
		do     func(t *testing.T, a arch.Arch, m *machine.Machine)
		begun  bool // it is done as the program begins, else at its last stop in the parent
		tries  int  // in which it is done
		graded verdict.Verdict
		want   string // in the findings, the notes or the error
		fault  any    // what the error is as, nil where there is none
	}{
		{"kills its kernel", func(t *testing.T, a arch.Arch, m *machine.Machine) {
			if err := m.Stub.WriteRegister(t.Context(), a.Registers.Args[0], 0); err != nil { // the task that is to be woken
				t.Error(err)
			}
		}, false, 2, verdict.Fail, "brought its machine down, where the lab's own program runs: the kernel panicked", nil},
		{"crashes QEMU", kill(syscall.SIGABRT), false, 2, verdict.Fail, "brought its machine down, where the lab's own program runs: QEMU ended (signal: aborted", nil},
		{"crashes QEMU once", kill(syscall.SIGABRT), false, 1, verdict.Pass, "The first try was thrown away", nil},
		{"QEMU is killed", kill(syscall.SIGKILL), false, 2, verdict.Error, "signal: killed", new(*machine.Error)},
		{"QEMU is stopped", func(t *testing.T, _ arch.Arch, m *machine.Machine) {
			signal(t, m, syscall.SIGSTOP)
			m.Patience = hangs
		}, true, 2, verdict.Error, "hung: the run took more than " + hangs.String(), new(*machine.GuestError)},
	}
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		own := job(t, a, k, nil)
		own.Machine.Snapshots = machinetest.Copied(t, own.Machine)
		pass(t, own)
		kept := snapshots(t, own)
		for i, c := range cases {
			if i > 0 && a.Name != arch.Names()[0] {
				continue // these are signals to QEMU: the guest has no part in them
			}
			t.Run(c.name, func(t *testing.T) {
				s := harness.Submitted{Submission: &submission.Submission{Program: &submission.Program{File: "prog.go"}}, Own: own}
				s.Compile = func(context.Context, submission.Program) (string, string, error) { return own.Program, "", nil }
				tries := 0
				do := func(m *machine.Machine, try int) {
					if tries = try; try <= c.tries {
						c.do(t, a, m)
					}
				}
				if at(&s.Own, "wake_up_new_task", do); c.begun {
					s.Own.Event = nil
					s.Own.Began = func(_ trace.Header, m *machine.Machine) { do(m, tries+1) }
				}
				out, err := s.Run(t.Context())
				got, said := verdict.Error, ""
				if err == nil {
					got, said = out.Result.Verdict, strings.Join(out.Result.Notes, "\n")
					for _, f := range out.Result.Findings {
						said += f.Kind + ": " + f.Message + "\n"
					}
				} else {
					said = err.Error()
				}
				if (err != nil) != (c.fault != nil) || err != nil && (!errors.As(err, c.fault) || !strings.Contains(said, "(tried twice)")) {
					t.Errorf("error %v, want a %T after two tries", err, c.fault)
				}
				if got != c.graded || !strings.Contains(said, c.want) || tries != 2 {
					t.Errorf("%s after %d tries: %s, want %s with %q", got, tries, said, c.graded, c.want)
				}
				if err == nil && got == verdict.Fail && (out.Result.Score != 0 || !strings.HasPrefix(said, verdict.FindMachine)) {
					t.Errorf("%d points: %s", out.Result.Score, said)
				}
				if now := snapshots(t, s.Own); !slices.Equal(now, kept) {
					t.Errorf("snapshots %v, were %v", now, kept)
				}
			})
		}
		pass(t, own) // the neighbour
	})
}

// snapshots are those of a job's store, with when each was made.
func snapshots(t *testing.T, j harness.Job) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(j.Machine.Snapshots.Dir, "*", "ram"))
	if err != nil || len(files) == 0 {
		t.Fatalf("snapshots %v, %v", files, err)
	}
	for i, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		files[i] += info.ModTime().String()
	}
	return files
}
