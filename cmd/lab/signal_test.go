package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/prepare"
	"kernellab/images"
)

// Whenever lab is told to end, or is killed, no QEMU and no temporary file is
// left: what a killed one could not remove, the next run does.
func TestSignalsLeaveNothing(t *testing.T) {
	lab, err := exec.LookPath("lab")
	if err != nil {
		t.Fatal(err)
	}
	// In this order: the first two are to boot.
	tests := []struct {
		name   string
		signal syscall.Signal
		when   string // output after which the signal is sent; "" is as soon as a QEMU runs
	}{
		{"Ctrl-C in the boot", syscall.SIGINT, "booting"},
		{"killed in the boot", syscall.SIGKILL, "booting"},
		{"Ctrl-C in the run", syscall.SIGINT, ""},
		{"TERM in the run", syscall.SIGTERM, ""},
		{"killed in the run", syscall.SIGKILL, ""},
	}
	onKernel(t, nil, func(t *testing.T, a *app, tg prepare.Target) {
		if tg.Arch.Name == arch.Names()[0] {
			return // TestKilledRuns has it
		}
		l, err := prepare.Lab("fork-new")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.host().GuestFor(t.Context(), l, tg.Arch); err != nil {
			t.Fatal(err)
		}
		cache := &images.Cache{Dir: borrowedCache(t, tg.Arch)}
		dir := t.TempDir() // of a program that does not end
		writeFiles(t, dir, map[string]string{"prog.c": readFile(t, "../../labs/fork-new/testdata/hostile/endless-loop/prog.c"), "answers.yaml": ""})
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if tt.when == "" { // so that it starts from a snapshot
					first := exec.Command(lab, "run", "fork-new", "--kernel", tg.Path)
					first.Env = append(os.Environ(), "LAB_CACHE="+cache.Dir)
					if text, err := first.CombinedOutput(); err != nil {
						t.Fatalf("%v\n%s", err, text)
					}
				}
				out := &waiter{mark: tt.when, seen: make(chan struct{})}
				cmd := exec.Command(lab, "run", "fork-new", "--kernel", tg.Path, "--submission", dir, "--timeout", "24h")
				cmd.Env = append(os.Environ(), "LAB_CACHE="+cache.Dir)
				cmd.Stdout, cmd.Stderr = out, out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				defer cmd.Process.Kill()
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				seen, limit, tick := out.seen, time.After(sessionLimit), time.NewTicker(20*time.Millisecond)
				defer tick.Stop()
				if tt.when == "" {
					seen = nil
				}
				for waiting := true; waiting; {
					select {
					case <-seen:
						waiting = false
					case <-tick.C:
						waiting = tt.when != "" || len(machinesOf(cmd.Process.Pid)) == 0
					case err := <-ended:
						t.Fatalf("lab ended before it said %q: %v\n%s", tt.when, err, out)
					case <-limit:
						t.Fatalf("lab never said %q, or started no QEMU:\n%s", tt.when, out)
					}
				}
				cmd.Process.Signal(tt.signal)
				select {
				case <-ended:
				case <-time.After(sessionLimit):
					t.Fatalf("lab did not end:\n%s", out)
				}
				if code := cmd.ProcessState.ExitCode(); tt.signal != syscall.SIGKILL && code != exitError {
					t.Errorf("exit code %d, want %d:\n%s", code, exitError, out)
				}
				noProcess(t, cache.Dir)
				// A process that dies lets go of its locks a moment after it is gone.
				deadline := time.After(sessionLimit)
				for tick := time.NewTicker(50 * time.Millisecond); ; {
					if tt.signal == syscall.SIGKILL {
						if err := cache.Sweep(); err != nil {
							t.Error(err)
						}
					}
					left := leftBehind(t, cache)
					if len(left) == 0 {
						break
					}
					select {
					case <-tick.C:
						continue
					case <-deadline:
						t.Errorf("left behind: %s", strings.Join(left, " "))
					}
					break
				}
			})
		}
	})
}

// An interrupted class says what is kept, and does not say that nothing is.
func TestInterruptedGrade(t *testing.T) {
	lab, err := exec.LookPath("lab")
	if err != nil {
		t.Fatal(err)
	}
	onKernel(t, nil, func(t *testing.T, a *app, tg prepare.Target) {
		dir := t.TempDir()
		answers := honestAnswers(t, tg.Image)
		writeFiles(t, filepath.Join(dir, "first"), map[string]string{"prog.go": readFile(t, "../../labs/fork-new/main.go"), "answers.yaml": answers})
		writeFiles(t, filepath.Join(dir, "second"), map[string]string{
			"prog.c": readFile(t, "../../labs/fork-new/testdata/hostile/endless-loop/prog.c"), "answers.yaml": answers,
		})
		out := &waiter{mark: "lab: [1/2] first: ", seen: make(chan struct{})}
		cmd := exec.Command(lab, "grade", "fork-new", "--kernel", tg.Path, "--arch", tg.Arch.Name, "--submissions", dir, "--out", filepath.Join(t.TempDir(), "graded"),
			"--jobs", "1", "--timeout", "24h") // of the guest's time, so that the second is not graded before the signal comes
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-out.seen:
			cmd.Process.Signal(syscall.SIGINT)
			<-ended
		case <-ended:
		}
		if code := cmd.ProcessState.ExitCode(); code != exitError {
			t.Errorf("exit code %d, want %d:\n%s", code, exitError, out)
		}
		want := "lab: interrupted; 1 of 2 submissions are graded and kept: the same command resumes there\n"
		if got := out.String(); !strings.HasSuffix(got, "\n"+want) || strings.Count(got, "kept") != 1 || strings.Contains(got, "left behind") {
			t.Errorf("the output is to end with one line, %q:\n%s", want, got)
		}
	})
}

// leftBehind is what lies in the cache's folder of temporary files.
func leftBehind(t *testing.T, cache *images.Cache) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(cache.Dir, "tmp"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var left []string
	for _, f := range list {
		if f.Name() != ".lock" { // of the folder itself, which stays
			left = append(left, "tmp/"+f.Name())
		}
	}
	return left
}

// noProcess waits until no process has the word in its command line.
func noProcess(t *testing.T, word string) {
	t.Helper()
	deadline := time.After(sessionLimit)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		left := processes(word)
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("still running: %s", strings.Join(left, "\n"))
			return
		}
	}
}

func processes(word string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []string
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err == nil && bytes.Contains(line, []byte(word)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
}
