package machine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/machine"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/qemu"
	"kernellab/harness/rsp"
	"kernellab/harness/snapshot"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/guest"
	"kernellab/images/guest/mailbox"
	"kernellab/images/initramfs"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/internal/labtest"
)

// These tests run the kernels in the cache, which make test fetches. They fail without
// one if LAB_REQUIRE names the architecture.

// kernels returns the cached kernels of an architecture, the default one first.
func kernels(t *testing.T, a arch.Arch) []linux.Kernel {
	t.Helper()
	labtest.Long(t)
	all, err := linux.In(&images.Cache{}).Kernels(a.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		labtest.Lacking(t, a.Name, "the cache holds no kernel for "+a.Name+": lab kernels fetch brings one")
	}
	standard := linux.DefaultSpec(a.Name)
	slices.SortStableFunc(all, func(x, y linux.Kernel) int {
		first := func(k linux.Kernel) int {
			if k.Series == standard {
				return 0
			}
			return 1
		}
		return first(x) - first(y)
	})
	return all
}

// eachArch runs a subtest for each architecture on its default kernel.
func eachArch(t *testing.T, test func(t *testing.T, s machine.Spec)) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			test(t, spec(t, a, kernels(t, a)[0]))
		})
	}
}

// eachKernel runs a subtest for each cached kernel.
func eachKernel(t *testing.T, test func(t *testing.T, s machine.Spec)) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			for _, k := range kernels(t, a) {
				t.Run(k.Release, func(t *testing.T) {
					t.Parallel()
					test(t, spec(t, a, k))
				})
			}
		})
	}
}

// spec describes a machine that starts from the cache's snapshot of its booted guest, so
// that each kernel boots once and not for each test.
func spec(t *testing.T, a arch.Arch, k linux.Kernel) machine.Spec {
	t.Helper()
	cache := &images.Cache{}
	snapshots, err := cache.Path("snapshots")
	if err != nil {
		t.Fatal(err)
	}
	image, err := kernel.Open(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := initramfs.Base(t.Context(), cache, a.GOARCH, nil)
	if err != nil {
		t.Fatal(err)
	}
	return machine.Spec{
		Arch: a, Image: image, Kernel: k.Path, Initrd: initrd, QEMU: qemutest.Command(t, a.Name, a.QEMU.Binary), Seed: 1,
		Snapshots: &snapshot.Store{Dir: snapshots, Warn: func(text string) { t.Log(text) }},
	}
}

// store returns a store of snapshots for one test.
func store(t *testing.T) *snapshot.Store {
	t.Helper()
	return &snapshot.Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Warn: func(text string) { t.Errorf("warned: %s", text) }}
}

// exercise is the path of the compiled program in testdata/exercise.
func exercise(t *testing.T, a arch.Arch) []byte {
	t.Helper()
	path, err := compile.Program(t.Context(), &images.Cache{}, a.GOARCH, "exercise", os.DirFS("testdata/exercise"), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// text collects a console's output and may be read while it is written.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// start starts a machine and closes it at the end of the test.
func start(t *testing.T, s machine.Spec) *machine.Machine {
	t.Helper()
	var console text
	m, err := s.Start(t.Context(), &console)
	if err != nil {
		t.Fatalf("start: %v\n%s", err, strings.Join(machine.Console(err), "\n"))
	}
	t.Cleanup(func() {
		m.Close()
		if t.Failed() {
			t.Logf("console:\n%s\nby hand: %s", console.String(), s.Config().Replay())
		}
	})
	return m
}

// run runs the exercise. It first brings the program to the guest if program is set.
func run(t *testing.T, m *machine.Machine, program []byte, limit time.Duration, p guest.Program) (guest.Exit, int) {
	t.Helper()
	ctx := t.Context()
	p.Binary = program
	if p.Path == "" {
		p.Path = "/bin/exercise"
	}
	proc, err := m.Agent.Start(ctx, p)
	var e guest.Exit
	if err == nil {
		e, err = proc.Run(ctx, limit)
	}
	if err != nil {
		t.Fatal(m.Explain(ctx, "run", err))
	}
	return e, proc.PID
}

// clock returns the guest's time.
func clock(t *testing.T, m *machine.Machine) time.Duration {
	t.Helper()
	now, err := m.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(now)
}

// programs are situations that a program in the guest can meet. Programs run as an
// ordinary user in a sandbox, and their ends are reported exactly.
var programs = []struct {
	name  string
	args  []string      // exercise's
	with  guest.Program // and more
	limit time.Duration
	costs bool // it takes much processor time, so it runs on the default kernels only
	ok    func(e guest.Exit, pid int) bool
}{
	{name: "report", args: []string{"report", "ü", ""}, ok: func(e guest.Exit, pid int) bool {
		want := fmt.Sprintf("pid %d uid 1000 gid 1000 groups [] cwd /tmp\nargs report ü  env [PATH=/bin:/bbin HOME=/tmp]\n"+
			"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nchild said \"hello\" <nil>\n", pid)
		return string(e.Stdout()) == want && string(e.Stderr()) == "on stderr\n" && e.Code == 3 && e.Signal == 0 && e.Leftover == 0
	}},
	{name: "environment", args: []string{"report"}, with: guest.Program{Env: []string{"X=y"}}, ok: func(e guest.Exit, _ int) bool {
		return strings.Contains(string(e.Stdout()), "env [X=y]\n")
	}},
	{name: "may not open", args: []string{"write", hostname}, ok: func(e guest.Exit, _ int) bool { return e.Code == 1 }},
	{name: "inherits open files", args: []string{"inherited"}, with: guest.Program{Open: []string{"/proc/self/comm", hostname}}, ok: func(e guest.Exit, _ int) bool {
		return e.Code == 0 && string(e.Merged()) == "3 /proc/1/comm\n4 "+hostname+"\n"
	}},
	{name: "inherits nothing", args: []string{"inherited"}, ok: func(e guest.Exit, _ int) bool { return e.Code == 0 && len(e.Output) == 0 }},
	{name: "flood", args: []string{"flood"}, ok: func(e guest.Exit, _ int) bool {
		return len(e.Stdout()) == 256<<10 && e.Dropped == 32<<16-256<<10 && e.Code == 0
	}},
	{name: "keeps little", args: []string{"flood"}, with: guest.Program{Keep: 10}, ok: func(e guest.Exit, _ int) bool {
		return string(e.Stdout()) == "xxxxxxxxxx" && e.Dropped == 32<<16-10
	}},
	{name: "keeps all", args: []string{"flood"}, with: guest.Program{Keep: 4 << 20}, ok: func(e guest.Exit, _ int) bool {
		return len(e.Stdout()) == 32<<16 && e.Dropped == 0
	}},
	{name: "binary", args: []string{"binary"}, ok: func(e guest.Exit, _ int) bool {
		for i, c := range e.Stdout() {
			if int(c) != i {
				return false
			}
		}
		return len(e.Stdout()) == 256
	}},
	{name: "streams", args: []string{"streams"}, ok: func(e guest.Exit, _ int) bool {
		return string(e.Merged()) == "outerrouterrouterr" && len(e.Output) == 6
	}},
	{name: "daemons", args: []string{"daemons"}, ok: func(e guest.Exit, _ int) bool {
		return e.Leftover == 2 && e.Killed == 2 && string(e.Stdout()) == "left\n"
	}},
	{name: "closed output", args: []string{"closed"}, ok: func(e guest.Exit, _ int) bool { return e.Code == 4 }},
	{name: "SIGKILL", args: []string{"signal", "9"}, ok: ended(syscall.SIGKILL)},
	{name: "SIGSEGV", args: []string{"signal", "11"}, ok: ended(syscall.SIGSEGV)},
	{name: "SIGTERM", args: []string{"signal", "15"}, ok: ended(syscall.SIGTERM)},
	{name: "absent program", with: guest.Program{Path: "/bin/absent"}, ok: noExec(syscall.ENOENT)},
	{name: "a folder", with: guest.Program{Path: "/tmp"}, ok: noExec(syscall.EACCES)},
	{name: "no executable", with: guest.Program{Path: "/proc/version"}, ok: noExec(syscall.EACCES)},
	{name: "time limit", args: []string{"loop"}, limit: 500 * time.Millisecond, ok: func(e guest.Exit, _ int) bool {
		// Measured by the guest's clock, which kernel threads use too.
		return killed(e) && e.User > 50*time.Millisecond && e.User < 600*time.Millisecond
	}},
	{name: "sleeps over the limit", args: []string{"sleep"}, limit: 30 * time.Second, ok: killedExit},
	{name: "stubborn", args: []string{"stubborn"}, limit: 300 * time.Millisecond, ok: killedExit},
	{name: "bomb", args: []string{"bomb"}, limit: 300 * time.Millisecond, costs: true, ok: killedExit},
	{name: "makes the agent's call", args: []string{"mark"}, ok: func(e guest.Exit, _ int) bool {
		return e.Code == 0 && string(e.Merged()) == "<nil>\n"
	}},
	{name: "pries", args: []string{"pry"}, ok: func(e guest.Exit, _ int) bool { return e.Code == 0 && string(e.Merged()) == "done\n" }},
	{name: "report at the end", args: []string{"report"}, ok: func(e guest.Exit, _ int) bool { return e.Code == 3 && e.Leftover == 0 }},
}

// hostname is a file that only root may write to.
const hostname = "/proc/sys/kernel/hostname"

func ended(by syscall.Signal) func(guest.Exit, int) bool {
	return func(e guest.Exit, _ int) bool { return e.Signal == by && e.Code == -1 && !e.TimedOut && !e.CoreDumped }
}

func noExec(why syscall.Errno) func(guest.Exit, int) bool {
	return func(e guest.Exit, _ int) bool { return e.Code == 127 && e.ExecError == why.Error() }
}

func killed(e guest.Exit) bool {
	return e.TimedOut && !e.Stuck && e.Signal == syscall.SIGKILL && e.Code == -1
}

func killedExit(e guest.Exit, _ int) bool { return killed(e) }

func TestPrograms(t *testing.T) {
	eachKernel(t, func(t *testing.T, s machine.Spec) {
		m, program := start(t, s), exercise(t, s.Arch)
		standard := kernels(t, s.Arch)[0].Path == s.Kernel
		for _, c := range programs {
			if c.costs && !standard {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				if c.args != nil {
					c.with.Args = append([]string{"exercise"}, c.args...)
				}
				before := clock(t, m)
				e, pid := run(t, m, program, c.limit, c.with)
				program = nil // it is there now
				// Ending a hundred processes that fork takes some time.
				if took := clock(t, m) - before; c.limit > 0 && (took < c.limit || took > c.limit+10*time.Second) {
					t.Errorf("took %v of the guest's time, of a limit of %v", took, c.limit)
				}
				if !c.ok(e, pid) {
					out := e.Merged()
					e.Output = nil
					t.Errorf("pid %d, %+v\n%s", pid, e, out[:min(len(out), 2000)])
				}
			})
		}
	})
}

// If the agent refuses a request, that is an error and the guest continues. A program
// larger than the landing is transferred in parts.
func TestRequests(t *testing.T) {
	eachArch(t, func(t *testing.T, s machine.Spec) {
		m, ctx := start(t, s), t.Context()
		for name, p := range map[string]guest.Program{
			"too long":  {Path: "/bin/x", Args: []string{strings.Repeat("x", 5000)}},
			"a NUL":     {Path: "/bin/x", Args: []string{"x\x00y"}},
			"open /etc": {Path: "/bin/x", Open: []string{"/etc/passwd"}},
			"open up":   {Path: "/bin/x", Open: []string{"/sys/../etc/passwd"}},
			"open none": {Path: "/bin/x", Open: []string{"/sys/absent"}},
		} {
			var refused *guest.AgentError
			if _, err := m.Agent.Start(ctx, p); !errors.As(err, &refused) {
				t.Errorf("%s: %v, want a refusal", name, err)
			}
		}
		var refused *guest.AgentError
		if _, err := m.Agent.Resumed(1).Run(ctx, 0); !errors.As(err, &refused) {
			t.Errorf("run what was not started: %v, want a refusal", err)
		}
		if _, err := m.Agent.ReadFile(ctx, "/absent"); !errors.As(err, &refused) {
			t.Errorf("%v, want a refusal", err)
		}
		held, err := m.Agent.Start(ctx, guest.Program{Path: "/bin/x"})
		if err != nil {
			t.Fatal(err)
		}
		if comm, err := m.Agent.ReadFile(ctx, fmt.Sprintf("/proc/%d/comm", held.PID)); err != nil || string(comm) != "init\n" {
			t.Errorf("a held process is %q, %v, want the agent's copy", comm, err)
		}
		for i, want := range []bool{true, false} {
			_, err := held.Run(ctx, 0)
			if done := err == nil; done != want || !done && !errors.As(err, &refused) {
				t.Errorf("run %d: %v", i+1, err)
			}
		}

		program := exercise(t, s.Arch)
		for len(program) < 2*mailbox.LandingSize+5000 {
			program = append(program, byte(len(program)%251))
		}
		e, _ := run(t, m, program, 0, guest.Program{Args: []string{"exercise", "child"}})
		if e.Code != 0 || string(e.Merged()) != "hello" {
			t.Errorf("%+v", e)
		}
		there, err := m.Agent.ReadFile(t.Context(), "/bin/exercise")
		if err != nil || !bytes.Equal(there, program) {
			t.Errorf("%d bytes in the guest, which are not the %d of the program; %v", len(there), len(program), err)
		}
	})
}

// life is the observable state of a machine: the guest's clock at the agent's first
// mark and after a program, and the program's output.
type life struct {
	Ready, After time.Duration
	Exit         guest.Exit
	Printed      string
	Console      string
}

func live(t *testing.T, s machine.Spec, program []byte) (l life, restored bool) {
	t.Helper()
	ctx := t.Context()
	var console text
	m, err := s.Start(ctx, &console)
	if err != nil {
		t.Fatalf("start: %v\n%s", err, strings.Join(machine.Console(err), "\n"))
	}
	defer m.Close()
	l.Ready = clock(t, m)
	l.Exit, _ = run(t, m, program, 0, guest.Program{Args: []string{"exercise", "chance"}})
	l.After = clock(t, m)
	l.Printed, l.Exit.Output = string(l.Exit.Merged()), nil
	m.Close()
	l.Console = console.String()
	return l, m.Restored > 0
}

// The behaviour of a machine depends only on its Spec and the requests, not on how it
// was started. harness.TestSame shows this with traces on the other architecture too.
func TestRepeats(t *testing.T) {
	a := arch.All()[0]
	t.Run(a.Name, func(t *testing.T) {
		s := spec(t, a, kernels(t, a)[0])
		program := exercise(t, s.Arch)
		s.Snapshots = nil
		cold, _ := live(t, s, program)
		if cold.Ready <= 0 || cold.After <= cold.Ready || cold.Exit.Code != 0 || strings.Count(cold.Printed, "\n") < 8 {
			t.Errorf("%+v", cold)
		}
		s.Snapshots = store(t)
		for _, from := range []string{"the snapshot, just made", "the snapshot"} {
			warm, restored := live(t, s, program)
			if !restored {
				t.Errorf("%s: booted", from)
			}
			if diff := cmp.Diff(cold, warm); diff != "" {
				t.Errorf("from %s -cold +warm\n%s", from, diff)
			}
		}
		if boots := s.Snapshots.Boots(); len(boots) != 1 || boots[0].Tries != 1 || boots[0].Oopses != 0 {
			t.Errorf("boots counted: %+v, want one", boots)
		}
	})
}

// Machines with different seeds differ.
func TestSeeds(t *testing.T) {
	eachArch(t, func(t *testing.T, s machine.Spec) {
		program := exercise(t, s.Arch)
		one, _ := live(t, s, program)
		s.Seed = 2
		two, _ := live(t, s, program)
		if id := func(l life) string { return strings.SplitN(l.Printed, "\n", 3)[1] }; id(one) == id(two) {
			t.Errorf("both seeds gave the random number %s", id(one))
		}
		stack := regexp.MustCompile(`(?m)^[0-9a-f-]+ .*\[stack\]$`)
		if a, b := stack.FindString(one.Printed), stack.FindString(two.Printed); a == b || a == "" {
			t.Errorf("the stacks are %q and %q", a, b)
		}
	})
}

// A program that StartAt restored at a place continues exactly like the program that
// was run to the place, from either snapshot.
func TestStartAt(t *testing.T) {
	eachArch(t, func(t *testing.T, s machine.Spec) {
		ctx, program := t.Context(), exercise(t, s.Arch)
		reached := 0
		place := machine.Place{Key: []string{"exercise"}, Reach: func(ctx context.Context, m *machine.Machine) ([]byte, error) {
			reached++
			p, err := m.Agent.Start(ctx, guest.Program{Path: "/bin/exercise", Binary: program, Args: []string{"exercise", "chance"}})
			if err != nil {
				return nil, err
			}
			return []byte(fmt.Sprint(p.PID)), m.VM.Align(ctx)
		}}
		without := s
		without.Snapshots = nil
		if _, _, err := without.StartAt(ctx, place, io.Discard); !errors.Is(err, machine.ErrNoPlace) {
			t.Errorf("without snapshots: %v, want ErrNoPlace", err)
		}
		s.Snapshots = machinetest.Copied(t, s)
		var all []guest.Exit
		for range 2 {
			m, note, err := s.StartAt(ctx, place, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var pid int
			fmt.Sscan(string(note), &pid)
			e, err := m.Agent.Resumed(pid).Run(ctx, 0)
			if err != nil || e.Code != 0 {
				t.Fatalf("%+v, %v", e, m.Explain(ctx, "run", err))
			}
			all = append(all, e)
		}
		if diff := cmp.Diff(all[0], all[1]); diff != "" || reached != 1 {
			t.Errorf("reached %d times, -first +second\n%s", reached, diff)
		}
	})
}

// garbage is written to the agent's mailbox.
type garbage struct{ m *machine.Machine }

// Errors at a machine's end tell who is at fault and whether a retry makes sense.
func TestEnds(t *testing.T) {
	eachArch(t, func(t *testing.T, s machine.Spec) {
		s.Snapshots = machinetest.Copied(t, s)
		ctx := t.Context()
		for name, c := range map[string]struct {
			end       func(t *testing.T, m *machine.Machine) error
			what      string // of a GuestError, "" for an Error
			retryable bool
			says      string // in the error or its console's lines
		}{
			"panics": {end: func(t *testing.T, m *machine.Machine) error {
				panics, err := s.Image.Symbols.Lookup("panic")
				if err != nil {
					t.Fatal(err)
				}
				text, err := s.Image.Symbols.Lookup("linux_banner")
				if err != nil {
					t.Fatal(err)
				}
				set(t, m, s.Arch.Registers.Args[0], text.Addr)
				set(t, m, s.Arch.Registers.PC, panics.Addr)
				_, err = m.Agent.ReadFile(ctx, "/proc/version")
				return err
			}, what: "panicked", says: "Kernel panic - not syncing: Linux version"},
			"oopses": {end: func(t *testing.T, m *machine.Machine) error {
				set(t, m, s.Arch.Registers.PC, 1<<63-4096) // no address
				_, err := m.Agent.ReadFile(ctx, "/proc/version")
				return err
			}, what: "panicked", says: "Kernel panic - not syncing: "},
			"QEMU is killed while the guest stands": {end: func(t *testing.T, m *machine.Machine) error {
				syscall.Kill(m.VM.PID(), syscall.SIGKILL)
				_, err := m.Agent.ReadFile(ctx, "/proc/version")
				return err
			}, retryable: true},
			"QEMU is killed while the guest runs": {end: func(t *testing.T, m *machine.Machine) error {
				p, err := m.Agent.Start(ctx, guest.Program{Path: "/bin/exercise", Binary: exercise(t, s.Arch), Args: []string{"exercise", "loop"}})
				if err != nil {
					t.Fatal(err)
				}
				go syscall.Kill(m.VM.PID(), syscall.SIGKILL)
				_, err = p.Run(ctx, time.Hour)
				return err
			}, retryable: true},
			// The agent ends, and the guest with it.
			"switches itself off": {end: func(t *testing.T, m *machine.Machine) error {
				_, err := m.Agent.With(garbage{m}, func(ctx context.Context) error {
					if err := m.Stub.Insert(ctx, m.Mark); err != nil {
						return err
					}
					if err := m.Stub.Resume(ctx); err != nil {
						return err
					}
					stop, err := m.Stub.Wait(ctx)
					if err == nil && stop.Exited {
						err = rsp.ErrClosed
					}
					return err
				}).ReadFile(ctx, "/proc/version")
				return err
			}, what: "reset the machine", says: "agent: malformed message"},
		} {
			t.Run(name, func(t *testing.T) {
				m := start(t, s)
				err := c.end(t, m)
				if err == nil {
					t.Fatal("no error")
				}
				err = m.Explain(ctx, "run", err)
				var guestErr *machine.GuestError
				var ours *machine.Error
				var exit *qemu.ExitError
				switch {
				case c.what != "":
					if !errors.As(err, &guestErr) || guestErr.What != c.what || !guestErr.Oops || guestErr.Kernel != s.Image.Release {
						t.Errorf("%v, want that the kernel %s", err, c.what)
					}
				case !errors.As(err, &ours) || !errors.As(err, &exit) || !strings.Contains(exit.State, "killed"):
					t.Errorf("%v, want QEMU's end", err)
				}
				if got := machine.Retryable(err); got != c.retryable {
					t.Errorf("retryable: %v, want %v", got, c.retryable)
				}
				if got := err.Error() + "\n" + strings.Join(machine.Console(err), "\n"); !strings.Contains(got, c.says) {
					t.Errorf("%s\nhas no %q in it", got, c.says)
				}
			})
		}
		m := start(t, s)
		clock, err := m.Clock(ctx)
		if count, perr := m.VM.Peek(ctx, s.Arch.QEMU.Clock.Addr); err != nil || perr != nil || int64(count)*int64(s.Arch.QEMU.Clock.Tick) != clock {
			t.Errorf("the monitor says %d, %v, the debugger %d ns, %v", count, perr, clock, err)
		}
		if m.VM.Used() <= 0 {
			t.Error("QEMU has used no processor time")
		}
		if err := m.Discard(ctx); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(s.Snapshots.Dir, "*", "ram")); len(left) > 0 {
			t.Errorf("discarded, and there are %v", left)
		}
	})
}

func (g garbage) ReadPhysical(context.Context, []guest.Piece) error { return nil }

func (g garbage) WritePhysical(ctx context.Context, p []guest.Piece) error {
	return g.m.Stub.WritePhysical(ctx, []rsp.Range{{Addr: p[0].Addr, Buf: bytes.Repeat([]byte{0xff}, len(p[0].Buf))}})
}

func set(t *testing.T, m *machine.Machine, register string, v uint64) {
	t.Helper()
	if err := m.Stub.WriteRegister(t.Context(), register, v); err != nil {
		t.Fatal(err)
	}
}
