package harness

import (
	"context"
	"errors"
	"strings"
	"time"

	"kernellab/harness/machine"
	"kernellab/harness/probe"
	"kernellab/harness/trace"
	"kernellab/images/guest"
)

// How a run ends. The program ends it as a rule, and the agent says how.
//
// A lab may expect the kernel to panic (probe.Plan.Panic). Its run ends where the kernel
// has reported a panic and is about to restart the machine, and the lab's is one whose
// message begins as the plan says and of which the console has no other sign before. Any
// other death of the kernel, and every one in another lab, is the machine's failure.

// restart is the function that panic calls at its end, as the kernel's command line has
// panic=-1 (harness/qemu).
const restart = "emergency_restart"

// Death returns where the kernel comes when it has reported a panic, 0 if the lab expects
// none.
func (j Job) Death() (uint64, error) {
	if j.Plan.Panic == "" {
		return 0, nil
	}
	at, err := j.Machine.Image.Resolve(restart)
	if err != nil {
		return 0, &machine.Error{Op: "find the end of a panic", Err: err}
	}
	return at.Addr, nil
}

// watch is the machine's Watch. Where a panic is expected, the kernel goes on to its
// restart, so that the run ends at an instruction and not at a moment.
func (j Job) watch(ctx context.Context, m *machine.Machine) (context.Context, context.CancelFunc) {
	if j.Plan.Panic != "" {
		return m.WatchEmulator(ctx)
	}
	return m.Watch(ctx)
}

// dead is the end of a run in a kernel that has panicked. An error means that the panic is
// not the lab's.
func (r *recording) dead() (trace.Exit, error) {
	if x, ok := expected(r.m.Panic(), r.Plan.Panic); ok {
		return x, nil
	}
	return trace.Exit{}, r.m.Broken()
}

// expected returns the end of a run that the panic in a report ended, if it is the panic
// whose message begins with want.
func expected(report *guest.PanicError, want string) (trace.Exit, bool) {
	if report == nil || want == "" {
		return trace.Exit{}, false
	}
	line := report.First()
	message, ok := strings.CutPrefix(line, trace.PanicSign)
	if !ok || !strings.HasPrefix(message, want) {
		return trace.Exit{}, false
	}
	return trace.Exit{Code: -1, Panic: message, Output: line + "\n"}, true
}

// panicked reports whether the panic that the lab expects has ended the run.
func (r *recording) panicked() bool {
	for _, e := range r.trace.Events {
		if e.Exit != nil && e.Exit.Panic != "" {
			return true
		}
	}
	return false
}

// record drives the program to its end and records that.
func (r *recording) record(ctx context.Context) error {
	began := time.Now()
	if err := r.emit(trace.Event{
		Kind: trace.KindProgram,
		Task: &trace.Task{PID: r.Process.PID, TGID: r.Process.PID, Comm: r.ProgramName},
	}); err != nil {
		return err
	}
	err := r.Job.Drive(ctx, r.Opened, r.emit, nil)
	if err == nil && r.flooded {
		err = probe.ErrFlood
	}
	r.times.Drive = time.Since(began)
	var exit trace.Exit
	switch {
	case errors.Is(err, probe.ErrFlood):
		// The machine is thrown away, and the program with it.
		exit = trace.Exit{Code: -1, Stops: len(r.trace.Events) - 1}
	case errors.Is(err, probe.ErrDied):
		if exit, err = r.dead(); err != nil {
			return err
		}
	case err != nil:
		return err
	case r.Process.Timer != 0:
		exit = trace.Exit{Code: -1, TimedOut: true, Limit: r.limit()}
	default:
		e, err := r.Process.Exit(ctx)
		if err != nil {
			return err
		}
		exit = r.exit(e)
	}
	now, err := r.m.Clock(ctx)
	if err != nil {
		return err
	}
	now -= r.base
	if r.script != nil && exit.Stops == 0 {
		f, err := r.finish(ctx, r.m, r.Process.PID, r.script)
		if err != nil {
			return err
		}
		if err := r.emit(trace.Event{Kind: trace.KindFtrace, Time: now, Ftrace: f}); err != nil {
			return err
		}
	}
	if err := r.emit(trace.Event{Kind: trace.KindExit, Time: now, Exit: &exit}); err != nil {
		return err
	}
	return r.emit(trace.Event{Kind: trace.KindEnd, Time: now})
}
