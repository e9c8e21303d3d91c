package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/plan"
	"kernellab/harness/rsp"
	"kernellab/harness/task"
	"kernellab/harness/trace"
)

// StrayStopError means that the guest stopped at an address that is no armed point.
type StrayStopError struct {
	PC     uint64
	Signal int
	Where  string // symbol+offset
}

func (e *StrayStopError) Error() string {
	return fmt.Sprintf("the guest stopped at %#x (%s, signal %d), which is no point of the lab", e.PC, e.Where, e.Signal)
}

// Guest is the stopped guest to drive: a *machine.Machine.
type Guest interface {
	task.Machine
	Registers(ctx context.Context) (rsp.Registers, error)
	Insert(ctx context.Context, addr uint64) error
	Remove(ctx context.Context, addr uint64) error
	// Resume runs the guest, Wait returns where it stops, and Step runs one
	// instruction.
	Resume(ctx context.Context) error
	Wait(ctx context.Context) (rsp.Stop, error)
	Step(ctx context.Context, thread string) (rsp.Stop, error)
	// Stopped returns the vCPU of the last stop.
	Stopped(ctx context.Context) (string, error)
	// Leave moves the guest past the breakpoint at pc, and not to another one, if the
	// instruction there has only simple effects. It reports whether it did so.
	Leave(ctx context.Context, pc uint64, breaks func(addr uint64) bool) (bool, error)
	// Clock returns the guest's time in ns.
	Clock(ctx context.Context) (int64, error)
}

// Config has the arguments of Drive. All fields except Stands, Before and Look are
// required.
type Config struct {
	Guest Guest // stopped, with breakpoints only at the points and at End
	// Stands means that the guest is already stopped at the lab's first stop. Then
	// Before has the events up to there.
	Stands bool
	Before []trace.Event
	Image  *kernel.Image
	Arch   arch.Arch
	Plan   Plan
	// TGID is the process id of the lab's program, which starts when the guest resumes,
	// or which is at its first stop.
	TGID int
	// End is the address where the guest's first process stops when the program has
	// ended.
	End uint64
	// Timer is the process that stops at End instead, when the program, which is the
	// guest's first process, has exceeded its limit; 0 for another program.
	Timer int
	// Death is the address that the kernel comes to when it has reported a panic; 0 for a
	// run in which no panic is expected. A stop there ends the drive with ErrDied.
	Death uint64
	// Emit is called with each event, in order.
	Emit func(trace.Event) error
	// Look is called after Emit at each stop that is part of the lab, with the guest
	// stopped. With nil, Drive runs to the program's end.
	Look Look
}

// Look inspects the guest at a stop that was just recorded. If it returns true, the
// drive ends there.
type Look func(ctx context.Context, h *Here) (stop bool, err error)

// driver is one run. It belongs to the goroutine of Drive.
type driver struct {
	Config
	reader *task.Reader
	points []*point
	// instead are the alternatives to the entry, see Plan.
	instead []*point
	armed   map[uint64][]*point // by address, in the plan's order
	awaits  []await             // calls whose return is a point
	at      uint64              // where the guest is stopped
	rounds  []*round
	last    map[string]uint64 // registers at the previous stop
	stray   int               // stops at End in processes other than the first

	interrupted bool // an exception interrupted the single step over the last breakpoint
	roles       []string
	tasks       []*condition // the plan's tasks, in its order
}

// round is one call by the program that the lab is about.
type round struct {
	number int
	tasks  map[string]uint64      // addresses of task_struct by role
	seen   map[string]*trace.Task // the tasks as they were at their latest stops, by role
	stops  map[string]trace.Event // latest stop at each point
	count  map[string]int         // stops by point
	calls  map[string]*entered    // by the point that entered the call; see Point.Within
}

// entered is the latest call that a point entered.
type entered struct {
	seen map[string]int // stops in it, by point
	over bool           // the task has made another call since then
}

// enter begins a call at a point, and counts the stop as a step of the call that it is
// in.
func (rd *round) enter(p *point) {
	rd.calls[p.Name] = &entered{seen: map[string]int{}}
	if c := rd.calls[p.Within]; c != nil {
		c.seen[p.Name]++
	}
}

// ErrFlood means that a program stopped the guest too often, which is the program's
// fault.
var ErrFlood = errors.New("the program stopped the guest too often")

// ErrDied means that the kernel has panicked, and reported it.
var ErrDied = errors.New("the kernel has panicked")

// maxStray limits the stops of a program at End. Programs have no reason to stop there.
const maxStray = 1000

// Drive runs the program to its end and stops at the plan's points. On return the guest
// is stopped: at End or Death, or where Look or an error ended the drive.
func Drive(ctx context.Context, c Config) error {
	d, err := newDriver(c)
	if err != nil {
		return err
	}
	if err := d.Guest.Insert(ctx, d.End); err != nil {
		return fmt.Errorf("break at the program's end: %w", err)
	}
	if d.Death != 0 {
		if err := d.Guest.Insert(ctx, d.Death); err != nil {
			return fmt.Errorf("break at the kernel's end: %w", err)
		}
	}
	for _, p := range slices.Concat(d.points, d.instead) {
		if p.Entry || p.instead && p.Missing == "" {
			if err := d.arm(ctx, p); err != nil {
				return err
			}
		}
	}
	if !d.Stands {
		regs, err := d.Guest.Registers(ctx)
		if err != nil {
			return err
		}
		d.at = regs[d.Arch.Registers.PC]
	}
	for {
		stop, err := d.next(ctx)
		if err != nil {
			return err
		}
		err = d.stopped(ctx, stop)
		if errors.Is(err, errEnded) || errors.Is(err, errSeen) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// errEnded ends a drive at the program's end.
var errEnded = errors.New("the program has ended")

// errSeen ends a drive after Look returned true.
var errSeen = errors.New("the stop was reached")

func newDriver(c Config) (*driver, error) {
	reader, err := task.NewReader(c.Guest, c.Image, c.Arch)
	if err != nil {
		return nil, err
	}
	resolved, err := Resolve(c.Image, c.Plan)
	if err != nil {
		return nil, err
	}
	for _, e := range c.Before {
		reader.MarkKnown(e.Fields)
	}
	d := &driver{Config: c, reader: reader, armed: map[uint64][]*point{}, roles: c.Plan.Roles()}
	for _, t := range c.Plan.Tasks {
		when, err := compileWhen(t.When, c.Plan)
		if err != nil {
			return nil, fmt.Errorf("task %s: %w", t.Role, err)
		}
		d.tasks = append(d.tasks, when)
	}
	for i, p := range c.Plan.Points {
		made := &point{Point: p, Resolved: resolved[i]}
		if made.when, err = compileWhen(p.When, c.Plan); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		d.points = append(d.points, made)
	}
	for i, r := range resolveInstead(c.Image, c.Plan) {
		d.instead = append(d.instead, &point{Point: c.Plan.Instead[i], Resolved: r, instead: true})
	}
	return d, nil
}

// next runs the guest to its next stop. It first leaves the current breakpoint with a
// single step, and checks that the step moved: QEMU may end a step without running an
// instruction, for example when it polls the interrupt controller of x86
// (cpu_handle_interrupt in accel/tcg/cpu-exec.c). Otherwise the same call would be
// counted twice.
func (d *driver) next(ctx context.Context) (rsp.Stop, error) {
	if d.Stands {
		d.Stands = false
		thread, err := d.Guest.Stopped(ctx)
		return rsp.Stop{Signal: rsp.SignalTrap, Thread: thread}, err
	}
	moved := true
	if d.breaks(d.at) {
		var err error
		if moved, err = d.Guest.Leave(ctx, d.at, d.breaks); err != nil {
			return rsp.Stop{}, fmt.Errorf("move over the breakpoint at %s: %w", d.where(d.at), err)
		}
	}
	d.interrupted = false
	if !moved {
		stop, err := d.Guest.Step(ctx, "")
		if err != nil {
			return stop, fmt.Errorf("step off the breakpoint at %s: %w", d.where(d.at), err)
		}
		if d.interrupted = stop.PC == d.at || !d.sameFunction(stop.PC, d.at); d.interrupted {
			called, err := d.called(ctx, d.at)
			if err != nil {
				return stop, err
			}
			d.interrupted = stop.PC == d.at || stop.PC != called
		}
		if d.breaks(stop.PC) {
			return stop, nil
		}
	}
	if err := d.Guest.Resume(ctx); err != nil {
		return rsp.Stop{}, fmt.Errorf("resume the guest: %w", err)
	}
	stop, err := d.Guest.Wait(ctx)
	if err != nil {
		return stop, fmt.Errorf("wait for a stop: %w", err)
	}
	return stop, nil
}

// called returns the address that the instruction at pc calls, 0 if it is no call. ftrace
// makes the first instruction of a function one (harness/script.go).
func (d *driver) called(ctx context.Context, pc uint64) (uint64, error) {
	var code [8]byte
	if err := d.Guest.ReadMemory(ctx, pc, code[:]); err != nil {
		return 0, fmt.Errorf("read the instruction at %s: %w", d.where(pc), err)
	}
	target, _ := d.Arch.Called(pc, code[:])
	return target, nil
}

// sameFunction reports whether two addresses are in the same function of the kernel.
func (d *driver) sameFunction(a, b uint64) bool {
	f, _, ok := d.Image.Symbols.At(a)
	g, _, also := d.Image.Symbols.At(b)
	return ok && also && f.Addr == g.Addr
}

// stopped handles one stop: it classifies and records the stop, and arms the points
// that follow.
func (d *driver) stopped(ctx context.Context, stop rsp.Stop) error {
	regs, err := d.Guest.Registers(ctx)
	if err != nil {
		return fmt.Errorf("read registers: %w", err)
	}
	pc := regs[d.Arch.Registers.PC]
	d.at = pc
	if !d.breaks(pc) {
		return &StrayStopError{PC: pc, Signal: stop.Signal, Where: d.where(pc)}
	}
	// An exception during the single step returns to the breakpoint with all registers
	// unchanged: this is the same stop. After a step that ran its instruction it is
	// another stop, even if all registers agree: system calls have their arguments in
	// memory.
	if d.interrupted && maps.Equal(regs, d.last) {
		return nil
	}
	d.last = regs
	switch pc {
	case d.Death:
		return ErrDied
	case d.End:
		if err := d.ended(ctx, regs); err != nil {
			return err
		}
	}
	if !d.watches(pc) {
		return nil
	}
	s, event, err := d.observe(ctx, regs, stop)
	if err != nil {
		return fmt.Errorf("at %s: %w", d.where(pc), err)
	}
	if w := d.returned(s, regs); w != nil {
		ok, err := d.counts(ctx, w, s, event)
		if err != nil {
			return fmt.Errorf("at %s: %s: %w", d.where(pc), w.point.Name, err)
		}
		if ok {
			if err := d.record(ctx, w.point, w.round, s, event, &w.call); err != nil {
				return err
			}
		}
		if err := d.clear(ctx, pc, w.point.Name); err != nil {
			return err
		}
	}
	if len(d.armed[pc]) == 0 {
		return nil
	}
	if err := d.arguments(ctx, d.armed[pc][0], s, &event); err != nil {
		return fmt.Errorf("at %s: %w", d.where(pc), err)
	}
	p, rd, aside, err := d.classify(ctx, s, &event)
	switch {
	case err != nil:
		return fmt.Errorf("at %s: %w", d.where(pc), err)
	case p != nil:
		return d.record(ctx, p, rd, s, event, nil)
	case aside != "":
		event.Aside, event.Round = aside, 0
		event.Fields = d.reader.TakeFields()
		return d.Emit(event)
	}
	return nil
}

// ended reports whether a stop at End is the program's end.
func (d *driver) ended(ctx context.Context, regs map[string]uint64) error {
	current, err := d.reader.Current(ctx, regs)
	if err != nil {
		return fmt.Errorf("find the running task: %w", err)
	}
	t, err := d.reader.Task(ctx, current)
	if err != nil {
		return err
	}
	if t.TGID == cmp.Or(d.Timer, 1) {
		return errEnded
	}
	if d.stray++; d.stray > maxStray {
		return ErrFlood
	}
	return nil
}

// record reads the data that the plan asks for at a stop of the lab, emits the event,
// and arms the points that follow. call is the stop at the call whose return this is.
func (d *driver) record(ctx context.Context, p *point, rd *round, s *scope, event trace.Event, call *callStop) error {
	fail := func(err error) error { return fmt.Errorf("at %s (%s): %w", p.Name, p.Symbol, err) }
	event.Point, event.Symbol, event.Address = p.Name, p.Symbol, trace.Word(d.at)
	event.Role, event.Round = p.Role, rd.number
	if call != nil {
		event.Symbol = d.where(d.at)
		event.Args, s.args = call.event, call.args
	}
	d.setRound(s, rd)
	if err := d.recordFinds(ctx, p, s, rd, &event); err != nil {
		return fail(err)
	}
	if err := d.read(ctx, p, s, &event); err != nil {
		return fail(err)
	}
	event.Fields = d.reader.TakeFields()
	event.Stack = s.view.Backtrace(ctx, s.tasks["current"], s.regs)
	d.recordStacks(ctx, p, s, &event)
	rd.stops[p.Name] = event
	rd.count[p.Name]++
	rd.seen[p.Role] = event.Task
	rd.enter(p)
	arm, disarm := d.decide(p, rd)
	event.Arms, event.Disarms = names(arm), names(disarm)
	if err := d.Emit(event); err != nil {
		return err
	}
	if d.Look != nil {
		stop, err := d.Look(ctx, &Here{Event: event, View: s.view, Registers: s.regs, scope: s})
		if err != nil {
			return err
		}
		if stop {
			return errSeen
		}
	}
	if p.Entry {
		disarm = append(disarm, d.instead...)
	}
	for _, q := range disarm {
		if err := d.disarm(ctx, q); err != nil {
			return err
		}
	}
	for _, q := range arm {
		if err := d.arm(ctx, q); err != nil {
			return err
		}
	}
	return d.await(ctx, p, rd, s, event)
}

// finds reports whether a stop finds the task of a role.
func (d *driver) finds(role string) bool {
	return slices.ContainsFunc(d.points, func(p *point) bool {
		return slices.ContainsFunc(p.Finds, func(f plan.Named) bool { return f.Name == role })
	})
}

// recordStacks records the memory of kernel stacks.
func (d *driver) recordStacks(ctx context.Context, p *point, s *scope, event *trace.Event) {
	for _, role := range p.Stacks {
		addr, regs := s.tasks[role], map[string]uint64(nil)
		if addr == 0 {
			continue
		}
		if addr == s.tasks["current"] {
			regs = s.regs
		}
		image := s.view.Image(ctx, addr, regs)
		image.Role = role
		event.Stacks = append(event.Stacks, image)
	}
}

// recordFinds records the tasks that a stop finds. A task_struct may have belonged to another
// task earlier; the role of that task then has no task.
func (d *driver) recordFinds(ctx context.Context, p *point, s *scope, rd *round, event *trace.Event) error {
	for _, f := range p.Finds {
		addr, text, err := s.eval(ctx, f.Expr)
		if err != nil {
			return fmt.Errorf("find the %s: %w", f.Name, err)
		}
		if text != nil || addr == 0 {
			return fmt.Errorf("find the %s: %s gives no task", f.Name, f.Expr)
		}
		for _, other := range d.rounds {
			for role, at := range other.tasks {
				if at == addr && d.finds(role) && (role != f.Name || other != rd) {
					delete(other.tasks, role)
					if other == rd {
						s.tasks[role] = 0
					}
				}
			}
		}
		rd.tasks[f.Name], s.tasks[f.Name] = addr, addr
		delete(rd.seen, f.Name)
		if event.Finds == nil {
			event.Finds = map[string]trace.Word{}
		}
		event.Finds[f.Name] = trace.Word(addr)
	}
	return nil
}

// where describes an address for a person.
func (d *driver) where(pc uint64) string {
	sym, off, ok := d.Image.Symbols.At(pc)
	if !ok {
		return "no symbol"
	}
	return fmt.Sprintf("%s+%#x", sym.Name, off)
}
