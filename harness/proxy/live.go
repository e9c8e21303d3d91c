package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"kernellab/harness/machine"
	"kernellab/harness/rsp"
)

// place is a place in the past or the present: after so many operations, and then so many
// instructions of the next one.
type place struct{ op, insn int }

func (p place) before(q place) bool { return p.op < q.op || p.op == q.op && p.insn < q.insn }

// live is a machine, and where it is.
type live struct {
	m   *machine.Machine
	dir string
	at  place
	pc  uint64
	set []Point // what its stub has
}

// sync makes the stub have exactly the points of want.
func (l *live) sync(ctx context.Context, want []Point) error {
	for _, p := range slices.Clone(l.set) {
		if !slices.Contains(want, p) {
			if err := l.point(ctx, p, false); err != nil {
				return err
			}
		}
	}
	for _, p := range want {
		if !slices.Contains(l.set, p) {
			if err := l.point(ctx, p, true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *live) point(ctx context.Context, p Point, insert bool) error {
	packet := p.packet(insert)
	reply, err := l.m.Stub.Relay(ctx, packet)
	if err != nil {
		return err
	}
	if string(reply) != "OK" {
		return fmt.Errorf("QEMU answers %q to %s", reply, packet)
	}
	if insert {
		l.set = append(l.set, p)
	} else {
		l.set = slices.DeleteFunc(l.set, func(q Point) bool { return q == p })
	}
	return nil
}

// run lets the guest run to a stop. watch, if it is not nil, is called meanwhile, with a
// channel that is closed when the guest has stopped, and with what halts the guest. After
// an error the machine can only be closed.
func (l *live) run(ctx context.Context, watch func(over <-chan struct{}, halt func()) error) (rsp.Stop, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := l.m.Stub.Go(ctx); err != nil {
		return rsp.Stop{}, err
	}
	var stop rsp.Stop
	var err, werr error
	over := make(chan struct{})
	go func() {
		defer close(over)
		stop, err = l.m.Stub.Wait(ctx)
	}()
	var halting sync.WaitGroup
	if watch != nil {
		halt := func() { halting.Go(func() { l.m.Stub.Interrupt(ctx) }) } // Wait returns its error
		if werr = watch(over, halt); werr != nil {
			cancel()
		}
	}
	<-over
	halting.Wait()
	if werr != nil {
		return stop, werr
	}
	return stop, err
}

// step executes one instruction. flags are QEMU's of a single step (docs/system/gdb.rst);
// the usual ones are without interrupts, and with the guest's timers standing.
func (l *live) step(ctx context.Context, flags int) (rsp.Stop, error) {
	if flags != usualStep {
		if err := l.flags(ctx, flags); err != nil {
			return rsp.Stop{}, err
		}
	}
	stop, err := l.m.Stub.Step(ctx, "")
	if err == nil && flags != usualStep {
		err = l.flags(ctx, usualStep)
	}
	return stop, err
}

// The flags of a single step.
const (
	enableStep   = 1
	noInterrupts = 2
	noTimers     = 4
	usualStep    = enableStep | noInterrupts | noTimers
)

func (l *live) flags(ctx context.Context, flags int) error {
	reply, err := l.m.Stub.Relay(ctx, fmt.Sprintf("Qqemu.sstep=%x", flags))
	if err == nil && string(reply) != "OK" {
		err = fmt.Errorf("QEMU answers %q to the flags of a single step", reply)
	}
	return err
}

// play does an operation once more. With list it lists the instructions of a run. early is
// that of crawl.
func (l *live) play(ctx context.Context, o *op, list bool, early int) error {
	if o.writes != nil {
		l.at = place{op: l.at.op + 1}
		return l.write(ctx, o.writes)
	}
	if o.short {
		if err := l.crawl(ctx, o, len(o.pcs), early); err != nil {
			return err
		}
		l.at = place{op: l.at.op + 1}
		return nil
	}
	stop, pcs, err := l.perform(ctx, o, list)
	if err != nil {
		return err
	}
	if stop.PC != o.stop.PC || stop.Watch != o.stop.Watch {
		return fmt.Errorf("the guest stopped at %#x, and at %#x before: %w", stop.PC, o.stop.PC, errDiverged)
	}
	if list && !o.step {
		o.pcs = pcs
	}
	l.pc, l.at = stop.PC, place{op: l.at.op + 1}
	return nil
}

// write sends packets that write into the machine.
func (l *live) write(ctx context.Context, packets []string) error {
	for _, packet := range packets {
		reply, err := l.m.Stub.Relay(ctx, packet)
		if err != nil {
			return err
		}
		if string(reply) != "OK" {
			return fmt.Errorf("QEMU answers %q to %.20s: %w", reply, packet, errDiverged)
		}
	}
	return nil
}

// perform lets the guest do what an operation does. With list it returns the
// instructions.
func (l *live) perform(ctx context.Context, o *op, list bool) (stop rsp.Stop, pcs []uint64, err error) {
	if err := l.sync(ctx, o.points); err != nil {
		return stop, nil, err
	}
	switch {
	case o.step:
		stop, err = l.step(ctx, usualStep)
		return stop, nil, err
	case !list:
		stop, err = l.run(ctx, nil)
		return stop, nil, err
	}
	log, err := logInstructions(ctx, l.m.Stub, l.dir, largePipe)
	if err != nil {
		return stop, nil, err
	}
	stop, err = l.run(ctx, func(over <-chan struct{}, _ func()) error { return log.follow(ctx, over, -1) })
	if cerr := log.close(ctx); err == nil {
		err = cerr
	}
	return stop, log.executed(stop), err
}

// executed returns the instructions up to a stop. One that met a watchpoint is in the log
// twice: QEMU gives it up and executes it again (cpu_check_watchpoint in
// system/watchpoint.c).
func (g *execLog) executed(stop rsp.Stop) []uint64 {
	n := len(g.pcs)
	if stop.Watch != 0 && n > 1 && g.pcs[n-1] == g.pcs[n-2] {
		n--
	}
	return append(make([]uint64, 0, n), g.pcs[:n]...)
}

// margin is how many instructions before its goal a machine is halted at first.
const margin = 320

// errPast says that a machine has gone past its goal.
var errPast = errors.New("the guest was halted too late")

// crawl brings a machine that is in an operation, whose instructions are known, to the
// instruction number goal in it. early is how long before the goal it is halted.
func (l *live) crawl(ctx context.Context, o *op, goal, early int) error {
	if far := 64 * early; l.at.insn < goal-far {
		if err := l.approach(ctx, o, goal, goal-far, largePipe); err != nil {
			return err
		}
	}
	if l.at.insn < goal-early {
		if err := l.approach(ctx, o, goal, goal-early, smallPipe); err != nil {
			return err
		}
	}
	if err := l.sync(ctx, nil); err != nil {
		return err
	}
	for ; l.at.insn < goal; l.at.insn++ {
		if err := l.deliver(ctx, o); err != nil {
			return err
		}
		stop, err := l.step(ctx, usualStep)
		if err != nil {
			return err
		}
		l.pc = stop.PC
	}
	return l.deliver(ctx, o)
}

// deliver has the guest take an interrupt that it took here before, and executes no
// instruction. The flags of such a single step are those that the operation has for it, or
// allow interrupts only; where a timer expired, timers must be allowed too.
func (l *live) deliver(ctx context.Context, o *op) error {
	want := o.pcAt(l.at.insn)
	if l.pc == want {
		return nil
	}
	flags := o.flags[l.at.insn]
	if flags == 0 {
		flags = usualStep &^ noInterrupts
	}
	stop, err := l.step(ctx, flags)
	if err != nil {
		return err
	}
	if stop.PC != want {
		return &missedError{o, l.at.insn, stop.PC, want}
	}
	l.pc = stop.PC
	return nil
}

// missedError says that a machine is not where it was before.
type missedError struct {
	o       *op
	insn    int
	pc, was uint64
}

func (e *missedError) Error() string {
	return fmt.Sprintf("after %d instructions the guest came to %#x, and to %#x before", e.insn, e.pc, e.was)
}

// approach lets the guest run, and halts it after the instruction number halt and before
// goal. pipe is the size of the log's pipe.
func (l *live) approach(ctx context.Context, o *op, goal, halt, pipe int) error {
	if err := l.sync(ctx, nil); err != nil {
		return err
	}
	log, err := logInstructions(ctx, l.m.Stub, l.dir, pipe)
	if err != nil {
		return err
	}
	from := l.at.insn
	stop, err := l.run(ctx, func(over <-chan struct{}, interrupt func()) error {
		err := log.follow(ctx, over, halt-from)
		interrupt()
		return errors.Join(err, log.drip(ctx, over))
	})
	if cerr := log.close(ctx); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	to := from + len(log.pcs)
	if to > goal {
		return errPast
	}
	if !slices.Equal(log.pcs, o.pcs[from:to]) {
		return fmt.Errorf("in the %d instructions to %#x: %w", len(log.pcs), stop.PC, errDiverged)
	}
	l.at.insn, l.pc = to, stop.PC
	return nil
}
