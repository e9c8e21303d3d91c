package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/expr-lang/expr"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/rsp"
	"kernellab/harness/task"
	"kernellab/harness/trace"
)

// The roles of tasks in a lab.
const (
	Parent = "parent"
	Child  = "child"
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
	Stub  *rsp.Client // halted, no breakpoints
	Image *kernel.Image
	Arch  arch.Arch
	Plan  Plan
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
	armed  map[uint64]*point
	at     uint64            // where the guest stands, 0 before its first stop
	nops   map[uint64]uint64 // sizes of the nops at points, 0 for other instructions
	tgids  map[int]bool      // the program and its children
	rounds []*round
	last   map[string]uint64 // registers at the stop before
}

// point is a Point as this kernel resolved it.
type point struct {
	Point
	kernel.Resolved
	due int // how often a point with Armed is still to be seen
}

// round is one call of the program that the lab is about.
type round struct {
	parent, child uint64          // addresses of their task_struct; child 0 until it is made
	done          map[string]bool // steps that were passed
	drawn         bool            // the stacks were recorded
}

// Resolve finds a plan's points in a kernel, all that are missing named at once.
func Resolve(im *kernel.Image, plan Plan) ([]kernel.Resolved, error) {
	var out []kernel.Resolved
	var errs []error
	for _, p := range plan.Points {
		r, err := im.Resolve(p.Name)
		out, errs = append(out, r), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// Drive runs the program to its end, stopping at the plan's points. When it
// returns the guest is in no defined state: halted, or running with breakpoints.
func Drive(ctx context.Context, c Config) error {
	d, err := newDriver(c)
	if err != nil {
		return err
	}
	if err := d.arm(ctx, func(p *point) bool { return p.Entry }); err != nil {
		return err
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
	d := &driver{Config: c, reader: reader, armed: map[uint64]*point{}, nops: map[uint64]uint64{}, tgids: map[int]bool{c.TGID: true}}
	for i, p := range c.Plan.Points {
		d.points = append(d.points, &point{Point: p, Resolved: resolved[i]})
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
	moved, err := d.overNop(ctx)
	if err != nil {
		return rsp.Stop{}, fmt.Errorf("move over the breakpoint at %s: %w", d.where(d.at), err)
	}
	if d.armed[d.at] != nil && !moved {
		stop, err := d.Stub.Step(ctx, "")
		if err != nil {
			return stop, fmt.Errorf("step off the breakpoint at %s: %w", d.where(d.at), err)
		}
		if d.armed[stop.PC] != nil {
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

// overNop moves the PC past an instruction that does nothing. That is what
// running it would do, but spares a step, at each of which QEMU throws away all
// code it has translated (gdb_vm_state_change in gdbstub/softmmu.c).
func (d *driver) overNop(ctx context.Context) (bool, error) {
	if d.armed[d.at] == nil {
		return false, nil
	}
	size, known := d.nops[d.at]
	if !known {
		var code [5]byte
		if err := d.Stub.ReadMemory(ctx, d.at, code[:]); err != nil {
			return false, err
		}
		for _, nop := range d.Arch.Nops {
			if bytes.HasPrefix(code[:], nop) {
				size = uint64(len(nop))
			}
		}
		d.nops[d.at] = size
	}
	if size == 0 || d.armed[d.at+size] != nil {
		return false, nil
	}
	return true, d.Stub.WriteRegister(ctx, d.Arch.Registers.PC, d.at+size)
}

// arm inserts the breakpoints of the points that want chooses.
func (d *driver) arm(ctx context.Context, want func(*point) bool) error {
	for _, p := range d.points {
		if other := d.armed[p.Addr]; other != nil || !want(p) {
			if other != nil && other != p {
				return fmt.Errorf("points %s and %s are both at %#x (%s): the lab can not tell them apart on this kernel",
					other.Name, p.Name, p.Addr, p.Symbol)
			}
			continue
		}
		if err := d.Stub.Insert(ctx, p.Addr); err != nil {
			return fmt.Errorf("break at %s (%s): %w", p.Name, p.Symbol, err)
		}
		d.armed[p.Addr] = p
	}
	return nil
}

// disarm removes the breakpoints of the steps of a round but its entry.
func (d *driver) disarm(ctx context.Context) error {
	for addr, p := range d.armed {
		if p.Entry || p.Armed != "" {
			continue
		}
		if err := d.Stub.Remove(ctx, addr); err != nil {
			return fmt.Errorf("remove the breakpoint at %s (%s): %w", p.Name, p.Symbol, err)
		}
		delete(d.armed, addr)
	}
	return nil
}

// stopped handles one stop: says whose it is, records it, and arms what follows.
func (d *driver) stopped(ctx context.Context, stop rsp.Stop) error {
	regs, err := d.Stub.Registers(ctx)
	if err != nil {
		return fmt.Errorf("read registers: %w", err)
	}
	pc := regs[d.Arch.Registers.PC]
	d.at = pc
	p := d.armed[pc]
	if p == nil {
		return &StrayStopError{PC: pc, Signal: stop.Signal, Where: d.where(pc)}
	}
	// An exception taken in the step over the breakpoint comes back to it with
	// every register as it was, which no second call does: this is the same stop.
	if maps.Equal(regs, d.last) {
		return nil
	}
	d.last = regs
	s, event, err := d.observe(ctx, p, regs, stop)
	if err != nil {
		return fmt.Errorf("at %s (%s): %w", p.Name, p.Symbol, err)
	}
	rd, err := d.classify(p, s, &event)
	if err != nil {
		return fmt.Errorf("at %s (%s): %w", p.Name, p.Symbol, err)
	}
	event.Stack = s.view.Backtrace(ctx, s.tasks["current"], regs)
	if event.Aside != "" {
		event.Fields = d.reader.TakeFields()
		return d.Emit(event)
	}
	s.tasks["parent"], s.tasks["child"] = rd.parent, rd.child
	if err := d.follow(ctx, p, s, rd); err != nil {
		return fmt.Errorf("at %s (%s): %w", p.Name, p.Symbol, err)
	}
	if err := d.read(ctx, p, s, &event); err != nil {
		return fmt.Errorf("at %s (%s): %w", p.Name, p.Symbol, err)
	}
	event.Fields = d.reader.TakeFields()
	d.draw(ctx, s, rd, &event)
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
	return d.advance(ctx, p, rd)
}

// draw records the parent's and the child's kernel stacks at the child's first stop.
func (d *driver) draw(ctx context.Context, s *scope, rd *round, event *trace.Event) {
	if event.Role != Child || rd.drawn {
		return
	}
	rd.drawn = true
	for _, task := range []struct {
		role string
		addr uint64
		regs map[string]uint64
	}{{Parent, rd.parent, nil}, {Child, rd.child, s.regs}} {
		image := s.view.Image(ctx, task.addr, task.regs)
		image.Role = task.role
		event.Stacks = append(event.Stacks, image)
	}
}

// classify says whose stop this is and opens a round at the entry. A stop that
// is not part of the lab gets an Aside.
func (d *driver) classify(p *point, s *scope, event *trace.Event) (*round, error) {
	if p.Entry && !d.tgids[event.Task.TGID] {
		event.Aside = "another task"
		return nil, nil
	}
	rd := &round{parent: s.tasks["current"], done: map[string]bool{}}
	role := Parent
	if !p.Entry {
		rd, event.Round, role = d.roundOf(s.tasks["current"])
	}
	if rd == nil {
		event.Aside = "another task"
		return nil, nil
	}
	ok, err := when(p.When, *event, d.Arch, rd)
	if err != nil {
		return nil, err
	}
	if !ok {
		if event.Aside = p.Aside; p.Aside == "" {
			event.Aside = "not the call the lab is about: " + p.When
		}
		return nil, nil
	}
	if p.Entry {
		d.rounds = append(d.rounds, rd)
		event.Round = len(d.rounds)
	}
	event.Role = role
	return rd, nil
}

// roundOf returns the latest round in which the task at addr has a part.
func (d *driver) roundOf(addr uint64) (rd *round, number int, role string) {
	for i := len(d.rounds) - 1; i >= 0; i-- {
		switch rd := d.rounds[i]; addr {
		case rd.parent:
			return rd, i + 1, Parent
		case rd.child:
			return rd, i + 1, Child
		}
	}
	return nil, 0, ""
}

// steps counts the points that make up a round.
func (d *driver) steps() int {
	n := 0
	for _, p := range d.points {
		if p.Step {
			n++
		}
	}
	return n
}

// follow takes the child's address where this step makes it.
func (d *driver) follow(ctx context.Context, p *point, s *scope, rd *round) error {
	if p.Child == "" {
		return nil
	}
	addr, err := s.eval(ctx, p.Child)
	if err != nil {
		return fmt.Errorf("find the child: %w", err)
	}
	rd.child, s.tasks["child"] = addr, addr
	return nil
}

// advance arms and disarms after a step was recorded.
func (d *driver) advance(ctx context.Context, p *point, rd *round) error {
	if p.Step {
		rd.done[p.Name] = true
	}
	err := d.arm(ctx, func(q *point) bool {
		return p.Entry && q.Armed == "" || q.Armed != "" && q.Armed == p.Name
	})
	if err == nil && len(rd.done) == d.steps() {
		err = d.disarm(ctx)
	}
	if err == nil {
		err = d.settle(ctx, p)
	}
	return err
}

// settle keeps count of the points that are armed until they are seen, and
// removes one that has been seen as often as it was armed: what else passes
// there, such as every task that ends, would cost a stop each.
func (d *driver) settle(ctx context.Context, p *point) error {
	for _, q := range d.points {
		if q.Armed != "" && q.Armed == p.Name {
			q.due++
		}
	}
	if p.Armed == "" {
		return nil
	}
	if p.due--; p.due > 0 {
		return nil
	}
	if err := d.Stub.Remove(ctx, p.Addr); err != nil {
		return fmt.Errorf("remove the breakpoint at %s (%s): %w", p.Name, p.Symbol, err)
	}
	delete(d.armed, p.Addr)
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

// when evaluates a point's condition on an event.
func when(cond string, e trace.Event, a arch.Arch, rd *round) (bool, error) {
	if cond == "" {
		return true, nil
	}
	env := trace.With(e.Env(a.Registers.Roles()), map[string]any{Parent: int(rd.parent), Child: int(rd.child)})
	out, err := expr.Eval(cond, env)
	if err != nil {
		return false, fmt.Errorf("condition %q: %w", cond, err)
	}
	ok, isBool := out.(bool)
	if !isBool {
		return false, fmt.Errorf("condition %q gives %v: want true or false", cond, out)
	}
	return ok, nil
}
