package harness_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/snapshot"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/guest"
	"kernellab/images/guest/mailbox"
	"kernellab/images/linux"
)

// ownStore is a store of the test's own.
func ownStore(t *testing.T) *snapshot.Store {
	t.Helper()
	return &snapshot.Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Warn: func(text string) { t.Errorf("warned: %s", text) }}
}

// A program of any size that a guest has room for is brought to it, and a larger one
// is refused.
func TestLargeProgram(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, nil)
		program, err := os.ReadFile(j.Program)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{mailbox.LandingSize + 1, guest.MaxProgram, guest.MaxProgram + 1} {
			// Not zeros alone, which are not brought.
			padded := append(slices.Clone(program), bytes.Repeat([]byte("lab!"), (size-len(program))/4+1)...)[:size]
			j.Program = filepath.Join(t.TempDir(), j.ProgramName)
			if err := os.WriteFile(j.Program, padded, 0o700); err != nil {
				t.Fatal(err)
			}
			if size <= guest.MaxProgram {
				pass(t, j)
			} else if _, err := harness.Run(t.Context(), j); !errors.Is(err, guest.ErrTooLarge) {
				t.Errorf("a program of %d bytes: %v, want ErrTooLarge", size, err)
			}
		}
		log, err := os.ReadFile(filepath.Join(j.Out, harness.ConsoleFile))
		if err != nil || strings.Contains(string(log), "Kernel panic") {
			t.Errorf("the console's log: %v\n%s", err, log)
		}
	})
}

// A snapshot that was damaged is told of and made anew, and the run passes.
func TestWarmDamaged(t *testing.T) {
	t.Parallel()
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, nil)
		j.Machine.Snapshots = machinetest.Copied(t, j.Machine)
		var told []string
		j.Machine.Snapshots.Warn = func(text string) { told = append(told, text) }
		pass(t, j)
		rams, err := filepath.Glob(filepath.Join(j.Machine.Snapshots.Dir, "*", "ram"))
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
	t.Parallel()
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		j := job(t, a, k, nil)
		j.Machine.Snapshots = &snapshot.Store{Dir: filepath.Join(file, "snapshots")}
		var said []string
		j.Machine.Stage = func(what string) { said = append(said, what) }
		pass(t, j)
		if all := strings.Join(said, "\n"); !strings.Contains(all, "booting instead") {
			t.Errorf("said %q, want that it booted instead", all)
		}
	})
}

// Many runs at once, of two programs, half of them from a snapshot of the program,
// lose none and mix nothing up: all runs of a program have one trace.
func TestManyWarmRuns(t *testing.T) {
	t.Parallel()
	const queued, atOnce = 16, 8
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		right := job(t, a, k, nil)
		right.Out = "" // each has a trace of its own in its outcome
		wrong := job(t, a, k, os.DirFS("../labs/fork-new/testdata/wrong/fork-twice"))
		wrong.Out = ""
		shared := machinetest.Copied(t, right.Machine)
		right.Machine.Snapshots, wrong.Machine.Snapshots = shared, shared
		var wg sync.WaitGroup
		var mu sync.Mutex
		var traces [2]*trace.Trace
		slots := make(chan struct{}, atOnce)
		for i := range queued {
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				j, want := right, verdict.Pass
				if i%2 == 1 {
					j, want = wrong, verdict.Fail
				}
				j.Again = i%4 < 2
				out, err := harness.Run(t.Context(), j)
				if err != nil {
					t.Errorf("run %d: %v", i, err)
					return
				}
				if out.Result.Verdict != want {
					t.Errorf("run %d: verdict %s, want %s; checks %+v", i, out.Result.Verdict, want, out.Result.Checks)
				}
				mu.Lock()
				defer mu.Unlock()
				first := &traces[i%2]
				if *first == nil {
					*first = out.Trace
				}
				if diff := difference(*first, out.Trace); diff != "" {
					t.Errorf("run %d differs from another: %s", i, diff)
				}
			})
		}
		wg.Wait()
		if rams, _ := filepath.Glob(filepath.Join(shared.Dir, "*", "ram")); len(rams) != 3 {
			t.Errorf("%d snapshots made, want one of the guest and one of each program in it", len(rams))
		}
	})
}
