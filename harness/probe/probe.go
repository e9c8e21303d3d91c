package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
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

// Config is what Drive needs. All fields but Look are needed.
type Config struct {
	Stub *rsp.Client // halted, no breakpoints
	// Stands says that the guest is halted at the lab's first stop already.
	Stands bool
	Image  *kernel.Image
	Arch   arch.Arch
	Plan   Plan
	// TGID is the process id of the lab's program, which has not begun yet.
	TGID int
	// Run lets the program begin and returns when it has ended. It is called in
	// a goroutine of its own, with the guest about to run.
	Run func(ctx context.Context) error
	// Emit takes each event as it happens.
	Emit func(trace.Event) error
	// Look is called at each stop that is part of the lab, after Emit, with the
	// guest stopped: true ends the drive there. nil drives to the program's end.
	Look func(ctx context.Context, e trace.Event, v *task.View) (stop bool, err error)
	// Began is when the run began, from which events are timed.
	Began time.Time
}

// driver is one run. It belongs to the goroutine of Drive.
type driver struct {
	Config
	reader *task.Reader
	points []*point
	armed  map[uint64][]*point          // by address, in the plan's order
	awaits []await                      // calls whose return is a point
	at     uint64                       // where the guest stands, 0 before its first stop
	skips  map[uint64]map[string]uint64 // see Arch.Skip, by address
	rounds []*round
	last   map[string]uint64 // registers at the stop before

	cut   bool // an exception cut the step short that was to leave the last breakpoint
	roles []string
	tasks []*condition // of the plan's, in its order
}

// round is one call of the program that the lab is about.
type round struct {
	number int
	tasks  map[string]uint64      // addresses of task_struct by role
	stops  map[string]trace.Event // the latest at each point
	count  map[string]int         // stops by point
}

// Drive runs the program to its end, stopping at the plan's points. When it
// returns the guest is in no defined state: halted, or running with breakpoints.
func Drive(ctx context.Context, c Config) error {
	d, err := newDriver(c)
	if err != nil {
		return err
	}
	for _, p := range d.points {
		if p.Entry {
			if err := d.arm(ctx, p); err != nil {
				return err
			}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	waiting, stopWaiting := context.WithCancel(ctx)
	defer stopWaiting()
	go func() {
		ended <- c.Run(ctx)
		stopWaiting()
	}()
	err = d.serve(ctx, waiting)
	if waiting.Err() != nil && ctx.Err() == nil {
		return <-ended // the program ended, which broke the wait for a stop
	}
	cancel()
	<-ended
	if errors.Is(err, errSeen) {
		return nil
	}
	return err
}

// errSeen ends a drive at the stop that was looked for.
var errSeen = errors.New("the stop was reached")

func newDriver(c Config) (*driver, error) {
	reader, err := task.NewReader(c.Stub, c.Image, c.Arch)
	if err != nil {
		return nil, err
	}
	resolved, err := Resolve(c.Image, c.Plan)
	if err != nil {
		return nil, err
	}
	d := &driver{Config: c, reader: reader, armed: map[uint64][]*point{}, skips: map[uint64]map[string]uint64{}, roles: c.Plan.Roles()}
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
	return d, nil
}

// serve lets the guest run from stop to stop until an error or waiting is done.
func (d *driver) serve(ctx, waiting context.Context) error {
	for {
		stop, err := d.next(ctx, waiting)
		if err != nil {
			return err
		}
		if err := d.stopped(ctx, stop); err != nil {
			return err
		}
	}
}

// next lets the guest run to its next stop. It leaves a breakpoint by a step that
// is checked to lead away: QEMU may end a step that has run no instruction, as
// when it polls the interrupt controller of x86 (cpu_handle_interrupt in
// accel/tcg/cpu-exec.c), and the same call would be counted twice.
func (d *driver) next(ctx, waiting context.Context) (rsp.Stop, error) {
	if d.Stands {
		d.Stands = false
		return rsp.Stop{Signal: rsp.SignalTrap}, nil
	}
	moved, err := d.skip(ctx)
	if err != nil {
		return rsp.Stop{}, fmt.Errorf("move over the breakpoint at %s: %w", d.where(d.at), err)
	}
	d.cut = false
	if d.breaks(d.at) && !moved {
		stop, err := d.Stub.Step(ctx, "")
		if err != nil {
			return stop, fmt.Errorf("step off the breakpoint at %s: %w", d.where(d.at), err)
		}
		d.cut = stop.PC == d.at || !d.sameFunction(stop.PC, d.at)
		if d.breaks(stop.PC) {
			return stop, nil
		}
	}
	if err := d.Stub.Resume(ctx); err != nil {
		return rsp.Stop{}, fmt.Errorf("resume the guest: %w", err)
	}
	stop, err := d.Stub.Wait(waiting)
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

// skip does what the instruction at a breakpoint would, if it does next to nothing,
// and spares a step: at each of those QEMU throws away all code it has translated
// (gdb_vm_state_change in gdbstub/softmmu.c).
func (d *driver) skip(ctx context.Context) (bool, error) {
	if !d.breaks(d.at) {
		return false, nil
	}
	changed, known := d.skips[d.at]
	if !known {
		var code [5]byte
		if err := d.Stub.ReadMemory(ctx, d.at, code[:]); err != nil {
			return false, err
		}
		changed = d.Arch.Skip(d.at, code[:])
		d.skips[d.at] = changed
	}
	if changed == nil || d.breaks(changed[d.Arch.Registers.PC]) {
		return false, nil
	}
	for name, v := range changed {
		if err := d.Stub.WriteRegister(ctx, name, v); err != nil {
			return false, err
		}
	}
	return true, nil
}

// stopped handles one stop: says whose it is, records it, and arms what follows.
func (d *driver) stopped(ctx context.Context, stop rsp.Stop) error {
	regs, err := d.Stub.Registers(ctx)
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
		return slices.ContainsFunc(p.Finds, func(f Find) bool { return f.Role == role })
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
		addr, err := s.eval(ctx, f.Expr)
		if err != nil {
			return fmt.Errorf("find the %s: %w", f.Role, err)
		}
		if addr.text != nil || addr.v == 0 {
			return fmt.Errorf("find the %s: %s gives no task", f.Role, f.Expr)
		}
		for _, other := range d.rounds {
			for role, at := range other.tasks {
				if at == addr.v && d.told(role) && (role != f.Role || other != rd) {
					delete(other.tasks, role)
					if other == rd {
						s.tasks[role] = 0
					}
				}
			}
		}
		rd.tasks[f.Role], s.tasks[f.Role] = addr.v, addr.v
		if event.Finds == nil {
			event.Finds = map[string]trace.Word{}
		}
		event.Finds[f.Role] = trace.Word(addr.v)
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
