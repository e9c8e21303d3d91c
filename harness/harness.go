// Package harness takes one run of a lab from end to end: a kernel, an
// initramfs and a lab's plan become a trace, and the trace a verdict.
//
// Whose fault a failure is shows in its type. A program that does not do what
// the lab asks gives a verdict of fail and no error; a kernel that does not boot
// or dies gives a *machine.GuestError; a harness that could not do its work gives
// a *machine.Error. Neither is ever reported as another.
package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/probe"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/guest"
	"kernellab/images/guest/mailbox"
	"kernellab/internal/intact"
	"kernellab/internal/mapped"
	"kernellab/internal/regular"
)

// Job is one run of a lab.
type Job struct {
	Lab     string
	Machine machine.Spec
	// Program is the executable on the host, which runs as /bin/ProgramName.
	Program     string
	ProgramName string
	Plan        probe.Plan
	Rules       grade.Rules
	// Variant has the values of the lab's variants in a student's task; nil is the
	// lab's own task. VariantArgs tell them to the lab's own program, after Plan.Args; a
	// student's program is not told.
	Variant     map[string]string
	VariantArgs []string
	// Limit is what the program may take of the guest's time, default ten seconds.
	Limit time.Duration

	// Script sets ftrace up, line by line, and runs the program: see harness/ftrace. ""
	// is none.
	Script string

	Out string // folder for what the run leaves: see files.go; "" leaves nothing
	// Stranger says that the program is not the lab's own: a run that brings its machine
	// down gives a *DownError, and what other runs start from stays as it is.
	Stranger bool
	// Again says that the program will be run again: a snapshot is kept of the
	// guest in which it stands at its first stop.
	Again bool

	// Guest returns what drives a machine's guest in the place of its debugger, and may
	// handle stops of its own in doing so; nil is Machine.Debugger.
	Guest func(*machine.Machine) probe.Guest

	Began func(trace.Header, *machine.Machine) // the program is about to run
	Event func(trace.Event)                    // a stop was recorded
	// Line is told what became of a line of the script, and what it printed; it returns
	// false to end the run with ErrStopped.
	Line  func(out trace.ScriptLine, printed string) bool
	Retry func(err error) // something from outside ended the first try
}

// Outcome is what a run gave.
type Outcome struct {
	Trace  *trace.Trace
	Result verdict.Result
	Times  Times
	Trips  uint64 // exchanges with the gdbstub
}

// Times are how long a run took by the host's clock.
type Times struct {
	Began    time.Time     `json:"began"`
	Boot     time.Duration `json:"boot_ns"`     // of the machine, or of the one it was saved from
	Restored time.Duration `json:"restored_ns"` // start from a snapshot; 0 for a machine that booted
	Drive    time.Duration `json:"drive_ns"`    // from the program's release to its end
	Total    time.Duration `json:"total_ns"`
}

// Run runs a job. What something from outside ended is tried once more, and so is a
// stranger's program that brought its machine down, which the result's notes say.
func Run(ctx context.Context, j Job) (*Outcome, error) {
	if err := errors.Join(probe.Check(j.Machine.Image, j.Machine.Arch, j.Plan)...); err != nil {
		return nil, &machine.Error{Op: "find the lab's points", Err: err}
	}
	var out *Outcome
	try := func() error {
		out = nil
		err := mapped.Guard(func() (err error) {
			out, err = j.once(ctx)
			return err
		})
		if gone := (*mapped.GoneError)(nil); errors.As(err, &gone) {
			return &machine.Error{Op: "read the kernel image", Err: err}
		}
		return err
	}
	err := try()
	if !machine.Retryable(err) && !isDown(err) || ctx.Err() != nil {
		return out, err
	}
	first := err
	if j.Retry != nil {
		j.Retry(first)
	}
	if err := try(); err != nil {
		return nil, fmt.Errorf("%w (tried twice)", err)
	}
	out.Result.AddNote(fmt.Sprintf("The first try was thrown away: %v.", first))
	out.Result = words.Result(out.Result)
	return out, nil
}

// once is one try.
func (j Job) once(ctx context.Context) (*Outcome, error) {
	r := &recording{Job: j, times: Times{Began: time.Now()}}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	console, err := j.create(ConsoleFile)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	file, err := j.create(TraceFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if r.file, err = trace.NewWriter(file, r.trace.Header); err != nil {
		return nil, &machine.Error{Op: "write the trace", Err: err}
	}
	if err := r.start(ctx, console); err != nil {
		return nil, err
	}
	defer r.m.Close()
	if j.Began != nil {
		j.Began(r.trace.Header, r.m)
	}
	out, err := r.run(ctx)
	if !j.Stranger && machine.Retryable(err) && ctx.Err() == nil {
		// It may have come up broken without a word.
		err = errors.Join(err, r.m.Discard(ctx))
	}
	if cerr := file.Close(); err == nil && cerr != nil {
		err = &machine.Error{Op: "write " + TraceFile, Err: cerr}
	}
	if err == nil {
		err = j.writeTimes(out.Times)
	}
	return out, err
}

// Opened is a run of a job whose program stands at its first stop that is part of
// the lab, or has ended without one.
type Opened struct {
	Machine *machine.Machine
	Process *guest.Process
	// Ended says that the program has ended, or stopped the guest too often.
	Ended   bool
	flooded bool
	died    bool // a panic ended it

	before []trace.Event // asides on the way
	script *scripted     // nil for a job without one
	base   int64         // guest time when the process was made
}

// Open starts the job's machine and takes the program to its first stop: from the
// snapshot of that, or by running it there in a machine that is moved then, so that
// what comes is the same in both. The console's text goes to console.
func (j Job) Open(ctx context.Context, console io.Writer) (*Opened, error) {
	if j.Again {
		o, err := j.openFromSnapshot(ctx, console)
		if err == nil || ctx.Err() != nil {
			return o, err
		}
		if !errors.Is(err, errEnded) && !errors.Is(err, machine.ErrNoPlace) && j.Machine.Stage != nil {
			j.Machine.Stage(fmt.Sprintf("starting the program anew: %v", err)) // whatever is wrong with its snapshot
		}
	}
	m, err := j.Machine.StartMovable(ctx, console)
	if err != nil {
		return nil, err
	}
	o, err := j.reach(ctx, m)
	if err != nil {
		m.Close()
		return nil, err
	}
	if o.Ended {
		return o, nil
	}
	if o.Machine, err = m.Move(ctx); err != nil {
		return nil, j.down(err)
	}
	timer := o.Process.Timer
	o.Process = o.Machine.Agent.Resumed(o.Process.PID)
	o.Process.Timer = timer
	return o, nil
}

// maxBinary bounds a program that a guest is brought, in bytes.
const maxBinary = 256 << 20

// begin brings the program to the machine, makes its process and asks the agent to
// let it go.
func (j Job) begin(ctx context.Context, o *Opened) error {
	program, err := regular.ReadFile(j.Program, maxBinary)
	if err != nil {
		return &machine.Error{Op: "read the program", Err: err}
	}
	if j.Script != "" {
		if o.script, err = j.setUp(ctx, o.Machine); err != nil {
			return err
		}
	}
	o.Process, err = o.Machine.Agent.Start(ctx, guest.Program{
		Path: "/bin/" + j.ProgramName, Binary: program, Args: j.argv(), Open: j.Plan.Open,
		Init: j.Plan.Init, Limit: j.limit(),
	})
	if err != nil {
		return err
	}
	if o.base, err = o.Machine.Clock(ctx); err != nil {
		return err
	}
	o.Machine.Due = j.due(o.base)
	return o.Process.Release(ctx, j.limit())
}

func (j Job) argv() []string { return j.plan().Argv(j.ProgramName) }

// plan is the plan with all arguments of the program.
func (j Job) plan() probe.Plan {
	p := j.Plan
	p.Args = slices.Concat(p.Args, j.VariantArgs)
	return p
}

// due is when the agent of a program that was let go at base has answered, by the guest's
// clock: the program's limit and the agent's patience have passed then.
func (j Job) due(base int64) int64 { return base + int64(j.limit()+2*mailbox.Patience) }

func (j Job) limit() time.Duration {
	if j.Limit > 0 {
		return j.Limit
	}
	return guest.DefaultLimit
}

// Drive drives an opened run to the program's end, or to where look ends it.
func (j Job) Drive(ctx context.Context, o *Opened, emit func(trace.Event) error, look probe.Look) error {
	for _, e := range o.before {
		if err := emit(e); err != nil {
			return err
		}
	}
	switch {
	case o.died:
		return probe.ErrDied
	case o.Ended:
		return nil
	}
	return j.drive(ctx, o, true, emit, look)
}

// drive drives a program on from its first stop, or to it.
func (j Job) drive(ctx context.Context, o *Opened, stands bool, emit func(trace.Event) error, look probe.Look) error {
	death, err := j.Death()
	if err != nil {
		return err
	}
	var guest probe.Guest = o.Machine.Debugger()
	if j.Guest != nil {
		guest = j.Guest(o.Machine)
	}
	c := probe.Config{
		Guest: guest, Stands: stands, Before: o.before, Image: j.Machine.Image, Arch: j.Machine.Arch, Plan: j.Plan,
		TGID: o.Process.PID, End: o.Machine.Mark, Timer: o.Process.Timer, Death: death, Look: look,
		Emit: func(e trace.Event) error {
			e.Time -= o.base
			return emit(e)
		},
	}
	return o.Machine.Guard(ctx, "the run", func(ctx context.Context) error { return probe.Drive(ctx, c) })
}

// place is where a program stands in the snapshot of its first stop: its note.
type place struct {
	PID    int
	Timer  int `json:",omitempty"`
	Base   int64
	Events []trace.Event // asides on the way there
	Script *scripted     `json:",omitempty"`
}

// errStands ends the drive to a program's first stop, errEnded says that it has none.
var (
	errStands = errors.New("the program stands at its first stop")
	errEnded  = errors.New("the program ended without a stop")
)

// openFromSnapshot opens the run from the snapshot of the program's first stop. Most
// of what a run takes is code that is new to QEMU each time: the agent's, exec's, the
// start of the program's runtime, which every run of it passes in the same way.
func (j Job) openFromSnapshot(ctx context.Context, console io.Writer) (*Opened, error) {
	key, err := j.placeKey(ctx)
	if err != nil {
		return nil, err
	}
	reach := func(ctx context.Context, m *machine.Machine) ([]byte, error) {
		o, err := j.reach(ctx, m)
		if err != nil {
			return nil, err
		}
		if o.Ended {
			return nil, errEnded
		}
		return json.Marshal(place{o.Process.PID, o.Process.Timer, o.base, o.before, o.script})
	}
	m, note, err := j.Machine.StartAt(ctx, machine.Place{Key: key, Reach: reach}, console)
	if err != nil {
		return nil, err
	}
	var at place
	if err := json.Unmarshal(note, &at); err != nil {
		m.Close()
		return nil, errors.Join(&machine.Error{Op: "read the snapshot's note", Err: err}, m.Discard(ctx))
	}
	m.Due = j.due(at.Base)
	o := &Opened{Machine: m, Process: m.Agent.Resumed(at.PID), before: at.Events, base: at.Base, script: at.Script}
	o.Process.Timer = at.Timer
	return o, nil
}

// reach runs the program to its first stop, in a guest whose agent waits.
func (j Job) reach(ctx context.Context, m *machine.Machine) (*Opened, error) {
	o := &Opened{Machine: m}
	if err := j.begin(ctx, o); err != nil {
		return nil, m.Explain(ctx, "make the process of "+j.ProgramName, err)
	}
	watched, cancel := j.watch(ctx, m)
	defer cancel()
	var before []trace.Event
	err := j.drive(watched, o, false, func(e trace.Event) error {
		switch {
		case e.Aside == "":
			return errStands
		case len(before) >= maxEvents:
			return probe.ErrFlood
		}
		before = append(before, e)
		return nil
	}, nil)
	o.before = before
	switch {
	case err == nil:
		o.Ended = true
	case errors.Is(err, probe.ErrDied):
		o.Ended, o.died = true, true
	case errors.Is(err, probe.ErrFlood):
		o.Ended, o.flooded = true, true
	case !errors.Is(err, errStands):
		if cause := context.Cause(watched); cause != nil && ctx.Err() == nil {
			err = cause
		}
		return nil, j.down(m.Explain(ctx, "run "+j.ProgramName+" to its first stop", err))
	}
	return o, nil
}

// placeKey names the place by the program, what it is started with, and where its
// first stop may be.
func (j Job) placeKey(ctx context.Context) ([]string, error) {
	program, err := j.digest(ctx, j.Program)
	if err != nil {
		return nil, err
	}
	plan, err := j.planDigest()
	if err != nil {
		return nil, err
	}
	key := []string{placeFormat, j.ProgramName, program, plan, j.limit().String()}
	if j.Script != "" {
		key = append(key, "script 2", j.Script)
	}
	return key, nil
}

// placeFormat changes when a place's note does, or the way to it.
const placeFormat = "first stop 2"

// planDigest is the SHA-256 of the plan and of its points in the kernel, in hex.
func (j Job) planDigest() (string, error) {
	points, err := probe.Resolve(j.Machine.Image, j.Plan)
	if err != nil {
		return "", err
	}
	plan, err := json.Marshal([]any{j.plan(), points})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(plan)
	return hex.EncodeToString(sum[:]), nil
}

// digest returns the SHA-256 of a file, in hex. A file of the cache is checked.
func (j Job) digest(ctx context.Context, path string) (string, error) {
	if sum, err := intact.Sum(path); !errors.Is(err, intact.ErrUnknown) {
		return sum, err
	}
	if j.Machine.Snapshots != nil {
		return j.Machine.Snapshots.Digest(ctx, path)
	}
	return fileSum(path)
}

// recording is a try.
type recording struct {
	Job
	*Opened
	m     *machine.Machine
	trace trace.Trace
	file  *trace.Writer
	times Times
	out   Outcome
}

// prepare makes the trace's header and writes down how the machine is started.
func (r *recording) prepare(ctx context.Context) error {
	h, err := r.Header(ctx)
	if err != nil {
		return &machine.Error{Op: "describe the run", Err: err}
	}
	r.trace.Header = h
	return r.writeReplay()
}

// Header describes the run: all that its trace depends on.
func (j Job) Header(ctx context.Context) (trace.Header, error) {
	s := j.Machine
	h := trace.Header{
		Schema: trace.Schema, Lab: j.Lab, Arch: s.Arch.Name,
		Kernel:  trace.Kernel{Release: s.Image.Release, Banner: s.Image.Banner, SHA256: s.Image.SHA256},
		Machine: trace.Machine{Seed: s.Seed, CPUs: max(s.CPUs, 1), Args: s.Config().Identity()},
		Program: trace.Program{Name: j.ProgramName, Args: j.plan().Args, Script: j.Script, Limit: j.limit()},
		Variant: j.Variant,
		Sizes:   map[string]int{}, SwitchFrame: s.Arch.Stack.SwitchFrame,
		Roles: s.Arch.Registers.Roles(),
	}
	var err error
	if h.Machine.QEMU, err = s.Version(ctx); err != nil {
		return h, err
	}
	if h.Machine.Initramfs, err = j.digest(ctx, s.Initrd); err != nil {
		return h, err
	}
	if h.Program.SHA256, err = j.digest(ctx, j.Program); err != nil {
		return h, err
	}
	if h.Plan, err = j.planDigest(); err != nil {
		return h, err
	}
	if h.Points, err = probe.Header(s.Image, j.Plan); err != nil {
		return h, err
	}
	h.Instead = probe.HeaderInstead(s.Image, j.Plan)
	if h.Sizes["pt_regs"], err = s.Image.SizeOf("pt_regs"); err != nil {
		return h, err
	}
	for _, name := range s.Arch.Stack.Top {
		if size, err := s.Image.SizeOf(name); err == nil {
			h.Sizes["stack_top"] = size
			break
		}
	}
	return h, nil
}

// start gets the machine.
func (r *recording) start(ctx context.Context, console io.Writer) (err error) {
	if r.Opened, err = r.Open(ctx, console); err != nil {
		return err
	}
	r.m = r.Opened.Machine
	r.times.Boot, r.times.Restored = r.m.Boot, r.m.Restored
	return nil
}

// maxEvents is how many events a run may have. A lab has some dozens; a program
// that forks without end would have them without end.
const maxEvents = 2000

// emit records an event.
func (r *recording) emit(e trace.Event) error {
	if e.Kind == trace.KindStop && len(r.trace.Events) >= maxEvents {
		return probe.ErrFlood
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
	watched, cancel := r.watch(ctx, r.m)
	defer cancel()
	if err := r.record(watched); err != nil {
		if cause := context.Cause(watched); cause != nil && ctx.Err() == nil {
			err = cause
		}
		return nil, r.down(r.m.Explain(ctx, "run "+r.Lab, err))
	}
	if err := r.m.Broken(); err != nil && !r.panicked() { // it went on all the same
		return nil, r.down(err)
	}
	if err := r.unchanged(ctx); err != nil {
		return nil, err
	}
	r.out.Trips = r.m.Stub.RoundTrips()
	cancel()
	go r.m.Close() // takes some milliseconds, in which the trace is graded
	if err := r.judge(); err != nil {
		return nil, err
	}
	r.times.Total = time.Since(r.times.Began)
	r.out.Times = r.times
	return &r.out, nil
}

// judge grades the trace. One that contradicts itself is not graded: whatever the
// program did, the recorder is wrong.
func (r *recording) judge() error {
	if err := Contradiction(&r.trace, r.Plan); err != nil {
		return &machine.Error{Op: "check what was recorded", Err: err}
	}
	r.out.Trace = &r.trace
	r.out.Result = words.Result(grade.Grade(&r.trace, r.Rules))
	return nil
}

// unchanged returns an error when a file of the cache that the run rests on is no longer
// what it was at the run's beginning: what was seen is then nobody's doing.
func (r *recording) unchanged(ctx context.Context) error {
	err := errors.Join(r.Job.Machine.Image.Check(), r.m.Unchanged())
	for _, file := range []struct{ path, sum string }{
		{r.Job.Machine.Initrd, r.trace.Header.Machine.Initramfs}, {r.Program, r.trace.Header.Program.SHA256},
	} {
		if sum, err1 := r.digest(ctx, file.path); err1 != nil {
			err = errors.Join(err, err1)
		} else if sum != file.sum {
			err = errors.Join(err, fmt.Errorf("%s was replaced during the run", file.path))
		}
	}
	if err != nil {
		return &machine.Error{Op: "check the files of the run", Err: fmt.Errorf("%w; run the command again, which makes them anew", err)}
	}
	return nil
}
