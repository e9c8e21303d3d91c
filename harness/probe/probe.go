package probe

import (
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

// StrayStopError says that the guest stopped at an address that is no armed point.
type StrayStopError struct {
	PC     uint64
	Signal int
	Where  string // symbol+offset
}

func (e *StrayStopError) Error() string {
	return fmt.Sprintf("the guest stopped at %#x (%s, signal %d), which is no point of the lab", e.PC, e.Where, e.Signal)
}

// Guest is the stopped guest that a program is driven in: a *machine.Machine.
type Guest interface {
	task.Machine
	Registers(ctx context.Context) (rsp.Registers, error)
	Insert(ctx context.Context, addr uint64) error
	Remove(ctx context.Context, addr uint64) error
	// Resume lets the guest run, Wait returns where it stops, Step runs one
	// instruction.
	Resume(ctx context.Context) error
	Wait(ctx context.Context) (rsp.Stop, error)
	Step(ctx context.Context, thread string) (rsp.Stop, error)
	// Stopped returns the vCPU of the last stop.
	Stopped(ctx context.Context) (string, error)
	// Leave moves the guest on over the breakpoint at pc if that does next to
	// nothing, and not to another one, and reports whether it did.
	Leave(ctx context.Context, pc uint64, breaks func(addr uint64) bool) (bool, error)
	// Clock returns the guest's time in ns.
	Clock(ctx context.Context) (int64, error)
}

// Config is what Drive needs. All fields but Stands, Before and Look are needed.
type Config struct {
	Guest Guest // stopped, with no breakpoints but at the points and at End
	// Stands says that the guest is stopped at the lab's first stop already, and
	// Before has the events on the way there.
	Stands bool
	Before []trace.Event
	Image  *kernel.Image
	Arch   arch.Arch
	Plan   Plan
	// TGID is the process id of the lab's program, which begins when the guest goes
	// on, or which has come to its first stop.
	TGID int
	// End is where the guest's first process stops when the program has ended.
	End uint64
	// Emit takes each event as it happens.
	Emit func(trace.Event) error
	// Look is called at each stop that is part of the lab, after Emit, with the
	// guest stopped. nil drives to the program's end.
	Look Look
}

// Look looks at the guest at a stop that has just been recorded; stop ends the drive
// there.
type Look func(ctx context.Context, e trace.Event, v *task.View) (stop bool, err error)

// driver is one run. It belongs to the goroutine of Drive.
type driver struct {
	Config
	reader *task.Reader
	points []*point
	// instead are the other ways to do what the entry does, see Plan.
	instead []*point
	armed   map[uint64][]*point // by address, in the plan's order
	awaits  []await             // calls whose return is a point
	at      uint64              // where the guest stands
	rounds  []*round
	last    map[string]uint64 // registers at the stop before
	stray   int               // stops at End of other processes than the first

	cut   bool // an exception cut the step short that was to leave the last breakpoint
	roles []string
	tasks []*condition // of the plan's, in its order
}

// round is one call of the program that the lab is about.
type round struct {
	number int
	tasks  map[string]uint64      // addresses of task_struct by role
	seen   map[string]*trace.Task // the tasks as they were at their latest stops, by role
	stops  map[string]trace.Event // the latest at each point
	count  map[string]int         // stops by point
	calls  map[string]*entered    // by the point that entered them; see Point.Within
}

// entered is the latest call that a point entered.
type entered struct {
	seen map[string]int // stops in it, by point
	over bool           // the task has made another call since
}

// enter begins a call at a point, and counts a step of one.
func (rd *round) enter(p *point) {
	rd.calls[p.Name] = &entered{seen: map[string]int{}}
	if c := rd.calls[p.Within]; c != nil {
		c.seen[p.Name]++
	}
}

// ErrFlood says that a program stopped the guest too often, which is its own fault.
var ErrFlood = errors.New("the program stopped the guest too often")

// maxStray is how often a program may come by at End. None has a reason to.
const maxStray = 1000

// Drive runs the program to its end, stopping at the plan's points. It returns with
// the guest stopped: at End, or where Look or an error ended the drive.
func Drive(ctx context.Context, c Config) error {
	d, err := newDriver(c)
	if err != nil {
		return err
	}
	if err := d.Guest.Insert(ctx, d.End); err != nil {
		return fmt.Errorf("break at the program's end: %w", err)
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

// errSeen ends a drive at the stop that was looked for.
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

// next lets the guest run to its next stop. It leaves a breakpoint by a step that
// is checked to lead away: QEMU may end a step that has run no instruction, as
// when it polls the interrupt controller of x86 (cpu_handle_interrupt in
// accel/tcg/cpu-exec.c), and the same call would be counted twice.
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
	d.cut = false
	if !moved {
		stop, err := d.Guest.Step(ctx, "")
		if err != nil {
			return stop, fmt.Errorf("step off the breakpoint at %s: %w", d.where(d.at), err)
		}
		d.cut = stop.PC == d.at || !d.sameFunction(stop.PC, d.at)
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

// sameFunction reports whether two addresses are in one function of the kernel.
func (d *driver) sameFunction(a, b uint64) bool {
	f, _, ok := d.Image.Symbols.At(a)
	g, _, also := d.Image.Symbols.At(b)
	return ok && also && f.Addr == g.Addr
}

// stopped handles one stop: says whose it is, records it, and arms what follows.
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
	// An exception taken in the step over the breakpoint comes back to it with
	// every register as it was: this is the same stop. After a step that ran its
	// instruction it is not: two calls of one task may well agree in every
	// register, as system calls have their arguments in memory.
	if d.cut && maps.Equal(regs, d.last) {
		return nil
	}
	d.last = regs
	if pc == d.End {
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
		if err := d.record(ctx, w.point, w.round, s, event, &w.call); err != nil {
			return err
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

// ended tells whether a stop at End is the program's end.
func (d *driver) ended(ctx context.Context, regs map[string]uint64) error {
	current, err := d.reader.Current(ctx, regs)
	if err != nil {
		return fmt.Errorf("find the running task: %w", err)
	}
	t, err := d.reader.Task(ctx, current)
	if err != nil {
		return err
	}
	const first = 1
	if t.TGID == first {
		return errEnded
	}
	if d.stray++; d.stray > maxStray {
		return ErrFlood
	}
	return nil
}

// record takes what the plan asks for at a stop that is part of the lab, emits
// it, and arms what follows. call is the stop at the call whose return this is.
func (d *driver) record(ctx context.Context, p *point, rd *round, s *scope, event trace.Event, call *callStop) error {
	fail := func(err error) error { return fmt.Errorf("at %s (%s): %w", p.Name, p.Symbol, err) }
	event.Point, event.Symbol, event.Address = p.Name, p.Symbol, trace.Word(d.at)
	event.Role, event.Round = p.Role, rd.number
	if call != nil {
		event.Symbol = d.where(d.at)
		event.Args, s.args = call.event, call.args
	}
	s.setTasks(d.roles, rd)
	if err := d.find(ctx, p, s, rd, &event); err != nil {
		return fail(err)
	}
	if err := d.read(ctx, p, s, &event); err != nil {
		return fail(err)
	}
	event.Fields = d.reader.TakeFields()
	event.Stack = s.view.Backtrace(ctx, s.tasks["current"], s.regs)
	d.draw(ctx, p, s, &event)
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
		stop, err := d.Look(ctx, event, s.view)
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

// told reports whether a role is one that a stop tells.
func (d *driver) told(role string) bool {
	return slices.ContainsFunc(d.points, func(p *point) bool {
		return slices.ContainsFunc(p.Finds, func(f plan.Named) bool { return f.Name == role })
	})
}

// draw records kernel stacks as they lie in memory.
func (d *driver) draw(ctx context.Context, p *point, s *scope, event *trace.Event) {
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

// find takes the tasks that a stop tells. A task_struct may have been another
// task's before: the role that held it then holds none.
func (d *driver) find(ctx context.Context, p *point, s *scope, rd *round, event *trace.Event) error {
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
				if at == addr && d.told(role) && (role != f.Name || other != rd) {
					delete(other.tasks, role)
					if other == rd {
						s.tasks[role] = 0
					}
				}
			}
		}
		rd.tasks[f.Name], s.tasks[f.Name] = addr, addr
		if event.Finds == nil {
			event.Finds = map[string]trace.Word{}
		}
		event.Finds[f.Name] = trace.Word(addr)
	}
	return nil
}

// where names an address for a person.
func (d *driver) where(pc uint64) string {
	sym, off, ok := d.Image.Symbols.At(pc)
	if !ok {
		return "no symbol"
	}
	return fmt.Sprintf("%s+%#x", sym.Name, off)
}
