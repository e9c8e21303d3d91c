// Package harness takes one run of a lab from end to end: a kernel, an
// initramfs and a lab's plan become a trace, and the trace a verdict.
//
// Whose fault a failure is shows in its type. A program that does not do what
// the lab asks gives a verdict of fail and no error; a kernel that does not boot
// or dies gives a *GuestError; a harness that could not do its work gives an
// *Error. Neither is ever reported as another.
package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/kernel"
	"kernellab/harness/probe"
	"kernellab/harness/qemu"
	"kernellab/harness/snapshot"
	"kernellab/harness/trace"
	"kernellab/images/guest"
)

// Job is one run of a lab. Timeout, Out, QEMU and the observers may be zero.
type Job struct {
	Lab    string
	Arch   arch.Arch
	Image  *kernel.Image
	Kernel string // image file for QEMU
	Initrd string // initramfs that holds the agent and the program
	// Program is the executable that was put into the initramfs, on the host; it
	// runs as /bin/NAME with NAME its name in the guest.
	Program     string
	ProgramName string
	// Bring says that the program is not in the initramfs and is to be brought
	// to the guest when it is up. It takes the place of one of its name there.
	Bring bool
	Plan  probe.Plan
	Rules grade.Rules

	Timeout     time.Duration // limit of the program, default ten seconds
	BootTimeout time.Duration // limit of the boot, default three minutes
	// Slowness is by how much slower than usual the host is known to be: default
	// limits grow by it. See MeasureHost.
	Slowness float64
	Out      string   // folder for trace.jsonl, console.log and qemu.sh
	QEMU     []string // what starts QEMU: see qemu.Config.Command
	// Snapshots is where the booted guest is kept that runs start from; nil is
	// to boot for every run. Cold boots in any case, and counts it there.
	Snapshots *snapshot.Store
	Cold      bool
	// Keep says that the program will be run again: a snapshot is kept of the
	// guest in which it stands at its first stop.
	Keep bool

	Stage func(string)                 // what is being done now
	Began func(trace.Header, *Machine) // the program is about to run
	Event func(trace.Event)            // a stop was recorded
	Again func(err error)              // the first try died by itself
}

// Outcome is what a run gave.
type Outcome struct {
	Trace  *trace.Trace
	Result grade.Result
	Boot   time.Duration
	Drive  time.Duration // from the program's release to its end
	Trips  uint64        // exchanges with the gdbstub
}

// The files that Run leaves in Job.Out.
const (
	TraceFile   = "trace.jsonl"
	ConsoleFile = "console.log"
	ReplayFile  = "qemu.sh"
)

// Run runs a job. A machine that died by itself is tried once more, which the
// result's notes say.
func Run(ctx context.Context, j Job) (*Outcome, error) {
	if err := errors.Join(probe.Check(j.Image, j.Arch, j.Plan)...); err != nil {
		return nil, &Error{Op: "find the lab's points", Err: err}
	}
	out, err := j.once(ctx)
	if !mayPass(err) || ctx.Err() != nil {
		return out, err
	}
	first := err
	if j.Again != nil {
		j.Again(first)
	}
	if out, err = j.once(ctx); err != nil {
		return nil, fmt.Errorf("%w (tried twice)", err)
	}
	out.Result.Notes = append(out.Result.Notes, fmt.Sprintf("The first try was thrown away: %v.", first))
	return out, nil
}

// once is one try.
func (j Job) once(ctx context.Context) (_ *Outcome, err error) {
	config := j.config()
	program, err := j.parcel(&config)
	if err != nil {
		return nil, err
	}
	if config.Parcel != nil {
		defer config.Parcel.Close()
	}
	console, err := j.open(ConsoleFile)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	if err := j.replay(config); err != nil {
		return nil, err
	}
	began := time.Now()
	m, err := j.prepared(ctx, config, program, console)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	file, err := j.open(TraceFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rec, err := j.record(ctx, m, file, began)
	if err != nil {
		return nil, err
	}
	rec.bring = program
	out, err := rec.run(ctx)
	if mayPass(err) && m.discard != nil && ctx.Err() == nil {
		// It may have come up broken without a word.
		err = errors.Join(err, m.discard(ctx))
	}
	if cerr := file.Close(); err == nil && cerr != nil {
		err = &Error{Op: "write " + TraceFile, Err: cerr}
	}
	return out, err
}

func (j Job) stage(s string) {
	if j.Stage != nil {
		j.Stage(s)
	}
}

// nowhere is a file of a run that leaves none.
type nowhere struct{ io.Writer }

func (nowhere) Close() error { return nil }

// open creates a file of the run in Out.
func (j Job) open(name string) (io.WriteCloser, error) {
	if j.Out == "" {
		return nowhere{io.Discard}, nil
	}
	f, err := os.Create(filepath.Join(j.Out, name))
	if err != nil {
		return nil, &Error{Op: "write " + name, Err: err}
	}
	return f, nil
}

// replay writes down how the machine was started.
func (j Job) replay(c qemu.Config) error {
	if j.Out == "" {
		return nil
	}
	text := fmt.Sprintf("#!/bin/sh\n# The machine of this run: %s %q\n# The same by hand, the console on this terminal, the gdbstub on ./gdb.sock:\n%s\n",
		c.Path(), c.Args(), c.Replay())
	if err := os.WriteFile(filepath.Join(j.Out, ReplayFile), []byte(text), 0o755); err != nil {
		return &Error{Op: "write " + ReplayFile, Err: err}
	}
	return nil
}

// recording is a try whose machine is up.
type recording struct {
	Job
	m     *Machine
	began time.Time
	trace trace.Trace
	file  *trace.Writer
	proc  *guest.Process
	bring []byte // the program, when the guest does not have it yet
	// stretched is by how much the limit that the program hit had been stretched.
	stretched float64
	out       Outcome
}

// record writes the header.
func (j Job) record(ctx context.Context, m *Machine, w io.Writer, began time.Time) (*recording, error) {
	h, err := j.header(ctx, began)
	if err != nil {
		return nil, &Error{Op: "describe the run", Err: err}
	}
	r := &recording{Job: j, m: m, began: began, trace: trace.Trace{Header: h}}
	if r.file, err = trace.NewWriter(w, h); err != nil {
		return nil, &Error{Op: "write the trace", Err: err}
	}
	if j.Began != nil {
		j.Began(h, m)
	}
	return r, nil
}

func (j Job) header(ctx context.Context, began time.Time) (trace.Header, error) {
	h := trace.Header{
		Schema: trace.Schema, Lab: j.Lab, Arch: j.Arch.Name,
		Kernel:  trace.Kernel{Release: j.Image.Release, Banner: j.Image.Banner, SHA256: j.Image.SHA256},
		Program: trace.Program{Name: j.ProgramName},
		Sizes:   map[string]int{}, SwitchFrame: j.Arch.Stack.SwitchFrame,
		Roles: j.Arch.Registers.Roles(), Started: began.UTC(),
	}
	var err error
	if h.QEMU, err = j.version(ctx); err != nil {
		return h, err
	}
	if h.Program.SHA256, err = j.digest(ctx, j.Program); err != nil {
		return h, err
	}
	if h.Points, err = probe.Header(j.Image, j.Plan); err != nil {
		return h, err
	}
	if h.Sizes["pt_regs"], err = j.Image.SizeOf("pt_regs"); err != nil {
		return h, err
	}
	for _, name := range j.Arch.Stack.Top {
		if size, err := j.Image.SizeOf(name); err == nil {
			h.Sizes["stack_top"] = size
			break
		}
	}
	return h, nil
}

// digest returns the SHA-256 of a file.
func (j Job) digest(ctx context.Context, path string) (string, error) {
	if j.Snapshots != nil {
		return j.Snapshots.Digest(ctx, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// maxEvents is how many events a run may have. A lab has some dozens; a program
// that forks without end would have them without end.
const maxEvents = 2000

// errFlood ends a run with too many stops, which is its program's fault.
var errFlood = errors.New("the program went through the lab's points too often")

// emit records an event.
func (r *recording) emit(e trace.Event) error {
	if e.Kind == trace.KindStop && len(r.trace.Events) >= maxEvents {
		return errFlood
	}
	e.Seq = len(r.trace.Events) + 1
	r.trace.Events = append(r.trace.Events, e)
	if err := r.file.Write(e); err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	if r.Event != nil {
		r.Event(e)
	}
	return nil
}

// run drives the program and grades what was seen.
func (r *recording) run(ctx context.Context) (*Outcome, error) {
	watched, cancel := r.m.watch(ctx)
	defer cancel()
	if err := r.drive(watched); err != nil {
		return nil, r.m.Explain(ctx, "run "+r.Lab, err)
	}
	go r.m.Close() // takes some milliseconds, in which the trace is graded
	if err := r.emit(trace.Event{Kind: trace.KindEnd, Elapsed: time.Since(r.began)}); err != nil {
		return nil, &Error{Op: "run " + r.Lab, Err: err}
	}
	r.out.Trace, r.out.Boot = &r.trace, r.m.Boot
	r.out.Result = grade.Grade(&r.trace, r.Rules)
	if r.stretched > 1 {
		r.out.Result.AddNote(fmt.Sprintf("The time limit of the program had been stretched %.1f times, because this host is slow.", r.stretched))
	}
	return &r.out, nil
}

// start makes the program's process in a machine, having brought it there if need be.
func (j Job) start(ctx context.Context, m *Machine, bring []byte) (proc *guest.Process, err error) {
	err = m.answered(ctx, func(ctx context.Context) (err error) {
		path := "/bin/" + j.ProgramName
		if bring != nil && !m.landed {
			if err := m.Agent.Put(ctx, path, bring); err != nil {
				return err
			}
		}
		proc, err = m.Agent.Start(ctx, guest.Program{
			Path: path, Args: j.Plan.Argv(j.ProgramName), Landed: m.landed, Writable: j.Plan.Writable,
		})
		return err
	})
	return proc, err
}

// drive makes the program's process, attaches to the stub and lets it run.
func (r *recording) drive(ctx context.Context) error {
	var err error
	var before []trace.Event // those that the guest had before it was saved
	if stands := r.m.stands; stands != nil {
		r.proc, before = stands.proc, stands.Events
	} else if r.proc, err = r.start(ctx, r.m, r.bring); err != nil {
		return fmt.Errorf("make the program's process: %w", err)
	}
	if err := r.emit(trace.Event{
		Kind: trace.KindProgram, Elapsed: time.Since(r.began),
		Task: &trace.Task{PID: r.proc.PID, TGID: r.proc.PID, Comm: r.ProgramName},
	}); err != nil {
		return err
	}
	for _, e := range before {
		e.Elapsed = time.Since(r.began)
		if err := r.emit(e); err != nil {
			return err
		}
	}
	stub, err := r.m.Stub(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	var exit trace.Exit
	err = probe.Drive(ctx, probe.Config{
		Stub: stub, Stands: r.m.stands != nil, Image: r.Image, Arch: r.Arch, Plan: r.Plan, TGID: r.proc.PID,
		Emit: r.emit, Began: r.began,
		Run: func(ctx context.Context) (err error) {
			exit, err = r.program(ctx)
			return err
		},
	})
	r.out.Trips, r.out.Drive = stub.RoundTrips(), time.Since(began)
	if errors.Is(err, errFlood) {
		// The machine is thrown away, and the program with it.
		exit, err = trace.Exit{Code: -1, Stops: len(r.trace.Events) - 1}, nil
	}
	if err != nil {
		return err
	}
	return r.emit(trace.Event{Kind: trace.KindExit, Elapsed: time.Since(r.began), Exit: &exit})
}

// program lets the program begin and waits for its end. One that takes too long
// is killed: if the guest can do that, the program is at fault, else the guest.
func (r *recording) program(ctx context.Context) (trace.Exit, error) {
	limit := asked(r.Timeout, programLimit, r.m.slowness())
	timed, cancel := context.WithTimeout(ctx, limit.of)
	defer cancel()
	exit, err := r.proc.Run(timed)
	if err == nil {
		return exitEvent(exit), nil
	}
	if ctx.Err() != nil || !errors.Is(timed.Err(), context.DeadlineExceeded) {
		return trace.Exit{}, err
	}
	err = r.m.answered(ctx, func(ctx context.Context) (err error) {
		if err = r.proc.Kill(ctx); err == nil {
			exit, err = r.proc.Wait(ctx)
		}
		return err
	})
	if err != nil {
		return trace.Exit{}, fmt.Errorf("kill %s, which took more than %s: %w", r.ProgramName, limit.of, err)
	}
	killed := exitEvent(exit)
	killed.TimedOut, killed.Limit = true, limit.of
	r.stretched = limit.slowness
	return killed, nil
}

// exitEvent turns the agent's account of a program's end into the trace's.
func exitEvent(e guest.Exit) trace.Exit {
	out := trace.Exit{
		Code: e.Code, Output: string(e.Merged()), Dropped: e.Dropped, Leftover: e.Leftover,
	}
	if e.Signal != 0 {
		out.Signal = unix.SignalName(e.Signal)
	}
	return out
}
