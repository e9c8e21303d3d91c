package machine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/kernel/kerneltest"
	"kernellab/harness/machine"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/qemu"
	"kernellab/harness/rsp"
	"kernellab/images/guest"
	"kernellab/images/guest/mailbox"
)

// These tests use made machines, without QEMU.

func begin(t *testing.T, s machine.Spec) *machine.Machine {
	t.Helper()
	m, err := s.Start(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// A machine works even if the guest's programs make the agent's system call before and
// while the agent runs one.
func TestRun(t *testing.T) {
	var console text
	s := machinetest.Spec(t, machinetest.Guest{
		Boot: []machinetest.Event{machinetest.Print("booting\n"), machinetest.Stranger, machinetest.Stranger},
		Serve: func(r mailbox.Request) []machinetest.Event {
			return append([]machinetest.Event{machinetest.Stranger, machinetest.Print(string(r.Op) + "\n"), machinetest.Stranger}, machinetest.Serve(r)...)
		},
	})
	m, err := s.Start(t.Context(), &console)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if diff := cmp.Diff(machinetest.Landing(), m.Agent.Landing); diff != "" || m.Boot <= 0 || m.Restored != 0 {
		t.Errorf("boot %v, restored %v, landing -want +got\n%s", m.Boot, m.Restored, diff)
	}
	before := clock(t, m)
	program := []byte("a program")
	p, err := m.Agent.Start(t.Context(), guest.Program{Path: "/bin/x", Binary: program})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.VM.(*machinetest.VM).Memory(machinetest.Landing()[0], len(program)); string(got) != string(program) {
		t.Errorf("the landing holds %q", got)
	}
	e, err := p.Run(t.Context(), time.Second)
	if err != nil || p.PID != 83 || string(e.Merged()) != "hello" {
		t.Errorf("process %d: %+v, %v", p.PID, e, err)
	}
	if after := clock(t, m); after <= before {
		t.Errorf("the clock went from %v to %v", before, after)
	}
	m.Close()
	m.Close()
	if got, want := console.String(), "booting\nstart\nrun\n"; got != want {
		t.Errorf("console %q, want %q", got, want)
	}
}

// fault describes who caused an error.
func fault(err error) string {
	var g *machine.GuestError
	var ours *machine.Error
	switch {
	case errors.As(err, &g):
		s := "the guest " + g.What
		if g.Oops {
			s += ", dead"
		}
		if g.Hung {
			s += ", hung"
		}
		return s
	case errors.As(err, &ours):
		return "the harness: " + ours.Op
	}
	return "nobody"
}

// Errors of booting and of running tell who is at fault and whether a retry makes
// sense.
func TestFaults(t *testing.T) {
	events := func(all ...machinetest.Event) []machinetest.Event { return all }
	killed := machinetest.Exit("signal: killed")
	for name, c := range map[string]struct {
		events        []machinetest.Event
		booting, runs string // whose fault, at either time
		retryable     bool
		says          string
	}{
		"panics":                     {events(machinetest.Panic), "the guest panicked, dead", "the guest panicked, dead", false, "kernel panic: Kernel panic - not syncing: made up"},
		"panics and stands":          {events(machinetest.Print("[    1.5] Oops [#1]\n---[ end Kernel panic\n"), machinetest.Hang), "the guest panicked, dead", "the guest panicked, dead", false, "Oops [#1]"},
		"resets":                     {events(machinetest.Exit("exit status 0")), "the guest reset the machine, dead", "the guest reset the machine, dead", false, kerneltest.MadeRelease},
		"QEMU is killed":             {events(killed), "the harness: boot", "the harness: run", true, "made ended by itself (signal: killed)"},
		"QEMU fails":                 {events(machinetest.Exit("exit status 1")), "the harness: boot", "the harness: run", true, "exit status 1"},
		"stops for no reason":        {events(machinetest.Stop(0x1234)), "the harness: boot", "the harness: run", false, "stopped at 0x1234"},
		"a stranger, and it is gone": {events(machinetest.Stranger, killed), "the harness: boot", "the harness: run", true, "killed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check := func(when string, err error, want string, retryable bool) {
				t.Helper()
				if got := fault(err); got != want {
					t.Errorf("%s: %s (%v), want %s", when, got, err, want)
				}
				if err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v has no %q in it", when, err, c.says)
				}
				if got := machine.Retryable(err); got != retryable {
					t.Errorf("%s: retryable %v, want %v", when, got, retryable)
				}
				if lines := strings.Join(machine.Console(err), "\n"); !strings.Contains(lines, "last words") {
					t.Errorf("%s: console %q", when, lines)
				}
			}
			last := append(events(machinetest.Print("last words\n")), c.events...)
			s := machinetest.Spec(t, machinetest.Guest{Boot: last})
			_, err := s.Start(t.Context(), io.Discard)
			check("booting", err, c.booting, c.retryable)
			if clean, err := s.TryBoot(t.Context()); clean || (err == nil) != strings.HasSuffix(c.booting, "dead") {
				t.Errorf("a boot is clean: %v, %v", clean, err)
			}
			m := begin(t, machinetest.Spec(t, machinetest.Guest{Serve: func(mailbox.Request) []machinetest.Event { return last }}))
			_, err = m.Agent.Start(t.Context(), guest.Program{Path: "/bin/x"})
			check("running", m.Explain(t.Context(), "run", err), c.runs, c.retryable)
		})
	}
}

// A guest that does not answer counts as hung, unless the caller gave up. The test's
// limits expire at once, as this guest never answers.
func TestHang(t *testing.T) {
	hang := []machinetest.Event{machinetest.Hang}
	s := machinetest.Spec(t, machinetest.Guest{Boot: hang})
	s.Guard = time.Nanosecond
	var limit *machine.LimitError
	if _, err := s.Start(t.Context(), io.Discard); fault(err) != "the guest did not come up" || !errors.As(err, &limit) || machine.Retryable(err) {
		t.Errorf("booting: %v", err)
	}
	// The stub's answer and the boot have the same limit, so either can expire first.
	for range 50 {
		s = machinetest.Spec(t, machinetest.Guest{Mute: true})
		s.Guard = time.Millisecond
		if _, err := s.Start(t.Context(), io.Discard); fault(err) != "the guest did not come up" || !errors.As(err, &limit) {
			t.Fatalf("booting with a stub that is mute: %v", err)
		}
	}
	s = machinetest.Spec(t, machinetest.Guest{Serve: func(mailbox.Request) []machinetest.Event { return hang }})
	m := begin(t, s)
	m.Patience = time.Nanosecond
	_, err := m.Agent.ReadFile(t.Context(), "/x")
	if err = m.Explain(t.Context(), "run", err); fault(err) != "the guest hung, hung" || !errors.As(err, &limit) || !machine.Retryable(err) {
		t.Errorf("running: %v", err)
	}
	m = begin(t, s)
	why := errors.New("the caller has enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err = m.Agent.ReadFile(ctx, "/x")
	if err = m.Explain(ctx, "run", err); !errors.Is(err, why) || machine.Retryable(err) {
		t.Errorf("given up: %v, want %v", err, why)
	}
}

// A QEMU that gets no processor time is reported, with advice, long before the guard
// ends it. The caller in this test gives up when it gets the report.
func TestIdle(t *testing.T) {
	hang := []machinetest.Event{machinetest.Hang}
	told := errors.New("told")
	want := fmt.Sprintf("QEMU (process %[1]d) has had no processor time for 1ms; if it was stopped, continue it with: kill -CONT %[1]d (else lab gives up after 5m0s)", os.Getpid())
	check := func(what string, do func(context.Context, machine.Spec) error, guest machinetest.Guest) {
		t.Helper()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		s := machinetest.Spec(t, guest)
		s.Idle = time.Millisecond
		var said []string
		s.Stage = func(text string) {
			if strings.Contains(text, "still waiting") {
				said = append(said, text)
				cancel(told)
			}
		}
		if err := do(ctx, s); !errors.Is(err, told) {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff([]string{"still waiting for " + what + ": " + want}, said); diff != "" {
			t.Errorf("%s: said -want +got\n%s", what, diff)
		}
	}
	check("the boot", func(ctx context.Context, s machine.Spec) error {
		_, err := s.Start(ctx, io.Discard)
		return err
	}, machinetest.Guest{Boot: hang})
	check("an answer of its agent", func(ctx context.Context, s machine.Spec) error {
		s.Idle = 0 // of the boot
		m, err := s.Start(ctx, io.Discard)
		if err != nil {
			return err
		}
		defer m.Close()
		m.Idle = time.Millisecond
		_, err = m.Agent.ReadFile(ctx, "/x")
		return m.Explain(ctx, "read", err)
	}, machinetest.Guest{Serve: func(mailbox.Request) []machinetest.Event { return hang }})
}

// If a snapshot cannot be made or saved, the machine boots without one.
func TestFallsBack(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		fails    string
		restored bool
		fault    string
		boots    int
	}{
		{fails: "nothing", restored: true, boots: 1},
		{fails: "save", boots: 2},
		{fails: "restore", boots: 2},
		{fails: "start", fault: "the harness: start the machine"},
		{fails: "align", fault: "the harness: boot"},
	} {
		t.Run(c.fails, func(t *testing.T) {
			t.Parallel()
			s := machinetest.Spec(t, machinetest.Guest{Fail: func(op string) error {
				if op == c.fails {
					return broken
				}
				return nil
			}})
			s.Snapshots = store(t)
			var stages []string
			s.Stage = func(text string) { stages = append(stages, text) }
			m, err := s.Start(t.Context(), io.Discard)
			if c.fault != "" {
				if fault(err) != c.fault || !errors.Is(err, broken) {
					t.Errorf("%v, want %s", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if restored := m.Restored > 0; restored != c.restored {
				t.Errorf("restored: %v, stages %q", restored, stages)
			}
			p, err := m.Agent.Start(t.Context(), guest.Program{Path: "/bin/x", Binary: []byte("x")})
			if err != nil {
				t.Fatal(err)
			}
			if e, err := p.Run(t.Context(), 0); err != nil || string(e.Merged()) != "hello" {
				t.Errorf("%+v, %v", e, err)
			}
			tries := 0
			for _, b := range s.Snapshots.Boots() {
				tries += b.Tries
			}
			if tries != c.boots {
				t.Errorf("%d boots, want %d; stages %q", tries, c.boots, stages)
			}
		})
	}
}

// A boot that ends with the death of the kernel is tried once, and no snapshot of it is kept.
func TestBootDies(t *testing.T) {
	s := machinetest.Spec(t, machinetest.Guest{Boot: []machinetest.Event{machinetest.Panic}})
	s.Snapshots = store(t)
	if _, err := s.Start(t.Context(), io.Discard); !machine.Died(err) {
		t.Errorf("%v, want the kernel's death", err)
	}
	if b := s.Snapshots.Boots(); len(b) != 1 || b[0].Tries != 1 || b[0].Oopses != 1 {
		t.Errorf("%+v, want one boot and one death", b)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Snapshots.Dir, "*", "ram")); len(left) > 0 {
		t.Errorf("a snapshot is kept: %v", left)
	}
}

// A kernel that reported an oops and still booted is not clean.
func TestUncleanBoot(t *testing.T) {
	s := machinetest.Spec(t, machinetest.Guest{Boot: []machinetest.Event{machinetest.Print("[    1.5] Oops [#1]\n---[ end Kernel panic\n")}})
	if _, err := s.Start(t.Context(), io.Discard); !machine.Died(err) {
		t.Errorf("%v, want the kernel's death", err)
	}
}

// The key of a snapshot has everything that affects the machine, such as the seed, and
// nothing else.
func TestSnapshotKeys(t *testing.T) {
	s := machinetest.Spec(t, machinetest.Guest{})
	s.Snapshots = store(t)
	for i, change := range []func(){func() {}, func() { s.Guard = time.Hour }, func() { s.Seed = 7 }, func() {}} {
		change()
		begin(t, s).Close()
		made, _ := filepath.Glob(filepath.Join(s.Snapshots.Dir, "*", "ram"))
		if want := []int{1, 1, 2, 2}[i]; len(made) != want {
			t.Errorf("after machine %d there are %d snapshots, want %d", i+1, len(made), want)
		}
	}
}

// A place is reached once, and the data from there is restored with it.
func TestPlace(t *testing.T) {
	s := machinetest.Spec(t, machinetest.Guest{})
	s.Snapshots = store(t)
	reached := 0
	var no error
	place := machine.Place{Key: []string{"x"}, Reach: func(ctx context.Context, m *machine.Machine) ([]byte, error) {
		reached++
		_, err := m.Agent.Start(ctx, guest.Program{Path: "/bin/x", Binary: []byte("x")})
		return []byte("note"), errors.Join(err, no)
	}}
	no = errors.New("there is no way")
	if _, _, err := s.StartAt(t.Context(), place, io.Discard); !errors.Is(err, no) || reached != 1 {
		t.Errorf("%v, want %v", err, no)
	}
	no = nil
	for range 2 {
		m, note, err := s.StartAt(t.Context(), place, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if e, err := m.Agent.Resumed(83).Run(t.Context(), 0); err != nil || string(e.Merged()) != "hello" || string(note) != "note" {
			t.Errorf("%+v, %v, note %q", e, err, note)
		}
		defer func() {
			if err := m.Discard(t.Context()); err != nil {
				t.Error(err)
			}
		}()
	}
	if reached != 2 {
		t.Errorf("reached %d times, want 2", reached)
	}
	s.Cold = true
	if _, _, err := s.StartAt(t.Context(), place, io.Discard); !errors.Is(err, machine.ErrNoPlace) {
		t.Errorf("cold: %v, want ErrNoPlace", err)
	}
}

func TestWhose(t *testing.T) {
	ended := func(sig syscall.Signal, stderr string) error {
		return &machine.Error{Op: "run", Err: &qemu.ExitError{State: "signal: " + sig.String(), Signal: sig, Stderr: stderr}}
	}
	for name, c := range map[string]struct {
		err             error
		retryable, down bool
	}{
		"none":                       {nil, false, false},
		"a dead kernel":              {&machine.GuestError{Oops: true, Err: &qemu.ExitError{}}, false, true},
		"a kernel that hung":         {&machine.GuestError{Hung: true}, true, false},
		"a kernel that ran and hung": {&machine.GuestError{Hung: true, Ran: true}, true, true},
		"a kernel that did not boot": {&machine.GuestError{What: "did not come up"}, false, false},
		"QEMU gave up":               {&machine.Error{Op: "run", Err: &qemu.ExitError{State: "exit status 1"}}, true, true},
		"QEMU crashed":               {ended(syscall.SIGSEGV, ""), true, true},
		"QEMU aborted":               {ended(syscall.SIGABRT, "tcg.c:3243: tcg fatal error"), true, true},
		"QEMU had no memory":         {ended(syscall.SIGABRT, "GLib-ERROR: failed to allocate 64 bytes"), true, false},
		"QEMU was killed":            {ended(syscall.SIGKILL, ""), true, false},
		"QEMU was asked to end":      {ended(syscall.SIGTERM, ""), true, false},
		"QEMU lost a file's memory":  {ended(syscall.SIGBUS, ""), true, false},
		"the agent's messages":       {fmt.Errorf("read: %w", mailbox.ErrMessage), false, true},
		"the debugger's connection":  {&machine.Error{Op: "run", Err: rsp.ErrClosed}, true, false},
		"no QEMU":                    {&machine.Error{Op: "start", Err: &qemu.MissingError{Err: errors.New("none")}}, false, false},
		"a cancelled run":            {context.Canceled, false, false},
	} {
		if got := machine.Retryable(c.err); got != c.retryable {
			t.Errorf("%s: retryable %v, want %v", name, got, c.retryable)
		}
		if got := machine.BroughtDown(c.err); got != c.down {
			t.Errorf("%s: brought down %v, want %v", name, got, c.down)
		}
	}
}

// A guest that is overdue by its own clock is not waited for as long as one on a slow
// host, and counts as one that ran.
func TestOverdue(t *testing.T) {
	const limit = time.Minute
	hang := func(before machinetest.Event) machinetest.Guest {
		return machinetest.Guest{Serve: func(mailbox.Request) []machinetest.Event {
			return []machinetest.Event{before, machinetest.Hang}
		}}
	}
	for name, c := range map[string]struct {
		before   machinetest.Event
		patience time.Duration
		overdue  bool
		ran      bool
	}{
		"past its time":     {machinetest.Run(2 * limit), time.Minute, true, true},
		"busy, not yet due": {machinetest.Run(limit / 2), 5 * time.Second, false, true}, // enough for the made guest to be served
		"without a host":    {machinetest.Run(0), 10 * time.Millisecond, false, false},
		"not looked at":     {machinetest.Idle(2 * limit), 5 * time.Second, false, false}, // QEMU has hardly run
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := begin(t, machinetest.Spec(t, hang(c.before)))
			now, err := m.Clock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m.Due, m.Patience = now+int64(limit), c.patience
			_, err = m.Agent.ReadFile(t.Context(), "/x")
			err = m.Explain(t.Context(), "run", err)
			var overdue *machine.OverdueError
			if fault(err) != "the guest hung, hung" || errors.As(err, &overdue) != c.overdue || machine.BroughtDown(err) != c.ran {
				t.Errorf("%v: overdue %t, brought down %t, want %t and %t", err, errors.As(err, &overdue), machine.BroughtDown(err), c.overdue, c.ran)
			}
		})
	}
}
