package harness_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/machine"
	"kernellab/harness/qemu"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/linux"
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
		on      string // the architecture, "" for both
		want    func(trace.Exit) bool
		told    string
	}{
		"loops": {"package main\n\nfunc main() {\n\tfor {\n\t}\n}\n", "riscv64",
			func(e trace.Exit) bool { return e.TimedOut && !e.Stuck && e.Limit == limit && e.Signal == "SIGKILL" }, "did not end within 300ms"},
		"sleeps": {"package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(1000 * time.Hour) }\n", "x86_64",
			func(e trace.Exit) bool { return e.TimedOut && !e.Stuck && e.Limit == limit && e.Signal == "SIGKILL" }, "did not end within 300ms"},
		"floods": {`package main

import "syscall"

func main() {
	for {
		syscall.RawSyscall6(syscall.SYS_CLONE, syscall.CLONE_THREAD, 0, 0, 0, 0, 0) // EINVAL
	}
}
`, "", func(e trace.Exit) bool { return e.Stops > 1000 && !e.TimedOut }, "stop"},
	} {
		t.Run(name, func(t *testing.T) {
			eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
				if only := tt.on; only != "" && only != a.Name {
					return
				}
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
				if first.Result.Verdict != verdict.Fail {
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
				alike(t, []way{{"from a snapshot, if there is one", again, first, nil}})
			})
		})
	}
}

// A program can take so much of what the kernel keeps for nobody's process, and no more.
func TestBounds(t *testing.T) {
	const program = `package main

import (
	"fmt"
	"syscall"
)

func count(take func() error) (n int) {
	for ; n < 100_000 && take() == nil; n++ {
	}
	return n
}

func call(nr, a, b, c, d uintptr) error {
	if _, _, errno := syscall.Syscall6(nr, a, b, c, d, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func main() {
	n := 0
	fmt.Println("sets of semaphores:", count(func() error { return call(syscall.SYS_SEMGET, 0, 250, 0o600, 0) }))
	fmt.Println("message queues:", count(func() error { return call(syscall.SYS_MSGGET, 0, 0o600, 0, 0) }))
	fmt.Println("segments of a page:", count(func() error { return call(syscall.SYS_SHMGET, 0, 4096, 0o600, 0) }))
	fmt.Println("segments of all:", count(func() error { return call(syscall.SYS_SHMGET, 0, 64<<20, 0o600, 0) }))
	fmt.Println("folders:", count(func() error { n++; return syscall.Mkdir(fmt.Sprint("/tmp/", n), 0o700) }))
	fmt.Println("instances of inotify:", count(func() error { return call(syscall.SYS_INOTIFY_INIT1, 0, 0, 0, 0) }))
	fmt.Println("contexts of events:", count(func() error { var c uintptr; return setup(&c) }))
	var keep [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		if keep = append(keep, b); len(keep) == 120 {
			fmt.Println("memory: 120 MiB and more")
		}
	}
}
`
	const setup = `package main

import (
	"syscall"
	"unsafe"
)

func setup(c *uintptr) error { return call(syscall.SYS_IO_SETUP, 256, uintptr(unsafe.Pointer(c)), 0, 0) }
`
	want := []string{
		"sets of semaphores: 16", "message queues: 16", "segments of a page: 64", "segments of all: 0", "folders: ",
		"instances of inotify: 16", "contexts of events: ",
	}
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, fstest.MapFS{"main.go": {Data: []byte(program)}, "setup.go": {Data: []byte(setup)}})
		j.Out = ""
		e := exit(t, run(t, j))
		t.Logf("%+v", e)
		lines := strings.Split(strings.TrimSpace(e.Output), "\n")
		if e.Signal != "SIGKILL" || e.TimedOut || len(lines) != len(want) {
			t.Fatalf("the program ended with %+v", e)
		}
		for i, line := range lines {
			var n int
			if name, number, _ := strings.Cut(line, ": "); name != "" {
				fmt.Sscan(number, &n)
			}
			if !strings.HasPrefix(line, want[i]) || n > 128 {
				t.Errorf("%q, want %q and at most 128", line, want[i])
			}
		}
	})
}

// A kernel that dies in the middle of a run does so each time: it is not tried again,
// and it is the kernel's fault.
func TestOopsIsNotRetried(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
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

// Every lab passes on two processors: it promises an order within each task, and between
// tasks where the lab says so. QEMU's threads are scheduled so that runs repeat, but for
// those with a script of ftrace's.
func TestTwoProcessors(t *testing.T) {
	repeat := qemu.TurnsRepeat()
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		var ways []way
		for n, l := range everyLab(t) {
			if !turn(t, a, k, n, wayCPUs) {
				continue
			}
			if l.Script != "" {
				// Not promised: on a busy host 3 of 28 such runs had other times in ftrace's
				// record, and in one gate QEMU stood still in two of two runs on 5.10, with
				// all processors waiting, until lab's guard ended it. The cause is not known.
				continue
			}
			j := jobOf(t, a, k, l, nil)
			j.Out, j.Machine.CPUs = "", 2
			out := pass(t, j)
			if n := out.Trace.Header.Machine.CPUs; n != 2 {
				t.Errorf("%s: the trace says %d processors", l.Name, n)
			}
			j.Again = true // a machine of several is saved at its first stop too
			ways = append(ways, way{"two processors, from its first stop", j, out, nil})
		}
		if repeat != nil {
			t.Logf("runs on several processors may differ: %v", repeat)
			return
		}
		alike(t, ways)
	})
}

// A guest of two processors has both, and one thread of QEMU runs them while all others
// have a real-time priority.
func TestTurns(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		spec := job(t, a, k, nil).Machine
		spec.CPUs = 2
		m, err := spec.Start(t.Context(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		online, err := m.Agent.ReadFile(t.Context(), "/sys/devices/system/cpu/online")
		if err != nil || string(online) != "0-1\n" {
			t.Errorf("the guest's processors are %q, %v, want 0-1", online, err)
		}
		if err := qemu.TurnsRepeat(); err != nil {
			t.Logf("QEMU's threads are not looked at: %v", err)
			return
		}
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", m.VM.PID()))
		if err != nil {
			t.Fatal(err)
		}
		ordinary := 0
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				t.Fatal(err)
			}
			var cpus unix.CPUSet
			attr, err := unix.SchedGetAttr(id, 0)
			if err == nil {
				err = unix.SchedGetaffinity(id, &cpus)
			}
			if err != nil || cpus.Count() != 1 {
				t.Errorf("thread %d may run on %d of the host's processors, %v, want 1", id, cpus.Count(), err)
				continue
			}
			if attr.Policy == unix.SCHED_NORMAL {
				ordinary++
			}
		}
		if ordinary != 1 {
			t.Errorf("%d of QEMU's %d threads are ordinary ones, want 1, that of the vCPUs", ordinary, len(threads))
		}
	})
}

// What a processor has of floating-point exceptions, which no trace shows, is the
// program's before and after the stop at which its machine is moved or saved.
func TestFloatFlags(t *testing.T) {
	files := source(`package main

import (
	"fmt"
	"os"
	"syscall"
)

func flags() uint64

func main() {
	third := float64(len(os.Args)) / float64(2+len(os.Args)) // inexact
	before := flags()
	pid, _, _ := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid == 0 {
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	after := flags()
	syscall.Wait4(int(pid), nil, 0, nil)
	fmt.Printf("%.1f %#x %#x\n", third, before, after)
}
`)
	files["flags_amd64.s"] = &fstest.MapFile{Data: []byte(`#include "textflag.h"

TEXT ·flags(SB), NOSPLIT, $8-8
	STMXCSR x-8(SP)
	MOVL x-8(SP), AX
	ANDL $0x3f, AX
	MOVQ AX, ret+0(FP)
	RET
`)}
	files["flags_riscv64.s"] = &fstest.MapFile{Data: []byte(`#include "textflag.h"

TEXT ·flags(SB), NOSPLIT, $0-8
	WORD $0x00102573 // frflags a0
	MOV X10, ret+0(FP)
	RET
`)}
	want := map[string]string{"x86_64": "0.3 0x20 0x20\n", "riscv64": "0.3 0x1 0x1\n"}
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		for _, again := range []bool{false, true} {
			j := job(t, a, k, files)
			j.Again = again
			if got := exit(t, run(t, j)).Output; got != want[a.Name] {
				t.Errorf("again %t: %q, want %q", again, got, want[a.Name])
			}
		}
	})
}
