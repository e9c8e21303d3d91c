package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kernellab/harness/machine"
	"kernellab/harness/rsp"
)

// errDiverged says that a machine did not do what it did before.
var errDiverged = errors.New("the run did not repeat")

// Point is a breakpoint or a watchpoint, as gdb's packets Z0 to Z4 name it.
type Point struct {
	Kind byte // '0' and '1' are breakpoints, '2' is written, '3' read, '4' either
	Addr uint64
	Size uint64 // the length of what is watched
}

func (p Point) packet(insert bool) string {
	z := 'z'
	if insert {
		z = 'Z'
	}
	return fmt.Sprintf("%c%c,%x,%x", z, p.Kind, p.Addr, p.Size)
}

func (p Point) watches() bool { return p.Kind >= '2' }

// op is something that gdb did to the machine.
type op struct {
	writes []string // packets that wrote into the guest; nil for a step or a run
	step   bool     // one instruction was executed
	points []Point  // that the stub had
	stop   rsp.Stop // that ended it
	ended  bool     // the program ended
	short  bool     // a run that was cut after its pcs
	// pcs are the addresses of the instructions that were executed, nil while they are not
	// known. The guest may have been interrupted first, so pcs[0] is not always where it
	// was.
	pcs []uint64
	// flags are those of single steps at which the guest takes interrupts: see deliver.
	flags map[int]int
}

// pcAt returns the address of instruction number i, or of what follows the last.
func (o *op) pcAt(i int) uint64 {
	if i < len(o.pcs) {
		return o.pcs[i]
	}
	return o.stop.PC
}

// quiet reports whether no breakpoint of points can have been passed inside the run,
// because the run had it too.
func (o *op) quiet(points []Point) bool {
	return !slices.ContainsFunc(points, func(p Point) bool { return !slices.Contains(o.points, p) })
}

// Config describes a session.
type Config struct {
	// Open starts a machine at the beginning of the session. Each call returns one that
	// does the same as the others if the same is done to it.
	Open func(context.Context) (*machine.Machine, error)
	// Death is where the kernel comes when it has died as the lab expects, 0 for a lab that expects no death.
	// The program's end, where its agent says so, is known.
	Death uint64
	// WatchesBefore says that the debugger takes a watchpoint to stop before the
	// instruction that meets it, and steps over that by itself, also back.
	WatchesBefore bool
	// Dir is a folder for the session's pipes.
	Dir string
}

// History is a machine with its past.
type History struct {
	Config
	ops   []op
	at    place // ops before it are done; at the present it is {len(ops), 0}
	began uint64
	ends  []uint64 // where the program may have ended
	live  *live
	spare chan spare // the machine that is started next
}

type spare struct {
	m   *machine.Machine
	err error
}

// NewHistory starts the machine of a session.
func NewHistory(ctx context.Context, c Config) (*History, error) {
	h := &History{Config: c}
	if err := h.fresh(ctx); err != nil {
		return nil, err
	}
	h.began, h.ends = h.live.pc, []uint64{h.live.m.Mark}
	if c.Death != 0 {
		h.ends = append(h.ends, c.Death)
	}
	return h, nil
}

// Close ends the machines.
func (h *History) Close() {
	h.drop()
	if h.spare != nil {
		if s := <-h.spare; s.err == nil {
			s.m.Close()
		}
		h.spare = nil
	}
}

func (h *History) drop() {
	if h.live != nil {
		h.live.m.Close()
		h.live = nil
	}
}

// fresh starts the machine again, at the beginning. The next one is started while this
// one is in use.
func (h *History) fresh(ctx context.Context) error {
	h.drop()
	var m *machine.Machine
	var err error
	if h.spare == nil {
		m, err = h.Open(ctx)
	} else {
		s := <-h.spare
		m, err = s.m, s.err
	}
	h.spare = make(chan spare, 1)
	go func() {
		m, err := h.Open(context.WithoutCancel(ctx))
		h.spare <- spare{m, err}
	}()
	if err != nil {
		return err
	}
	regs, err := m.Stub.Registers(ctx)
	if err != nil {
		m.Close()
		return err
	}
	h.live = &live{m: m, dir: h.Dir, pc: regs[m.Stub.Target().PC().Name]}
	return nil
}

// present reports whether nothing has been undone.
func (h *History) present() bool { return h.at.op == len(h.ops) }

// Place names the place where the session is.
func (h *History) Place() string { return fmt.Sprintf("%d+%d", h.at.op, h.at.insn) }

// Machine returns the machine, at the place where the session is. It must only be looked
// at.
func (h *History) Machine(ctx context.Context) (*machine.Machine, error) {
	if err := h.reach(ctx, h.at); err != nil {
		return nil, err
	}
	return h.live.m, nil
}

// maxTries limits how often a machine is brought to a place.
const maxTries = 8

// reach brings the machine to a place.
func (h *History) reach(ctx context.Context, to place) (err error) {
	defer func() {
		if err != nil {
			h.drop()
		}
	}()
	early := margin
	for range maxTries {
		err = h.advance(ctx, to, early)
		var missed *missedError
		switch {
		case err == nil:
			h.at = to
			return nil
		case errors.As(err, &missed):
			o := missed.o
			if o.flags[missed.insn] != 0 {
				return fmt.Errorf("%w: %w", err, errDiverged)
			}
			if o.flags == nil {
				o.flags = map[int]int{}
			}
			o.flags[missed.insn] = enableStep
		case errors.Is(err, errPast):
			early *= 2
		default:
			return err
		}
		h.drop()
	}
	return err
}

// advance brings the machine to a place, in one try.
func (h *History) advance(ctx context.Context, to place, early int) error {
	if h.live == nil || to.before(h.live.at) {
		if err := h.fresh(ctx); err != nil {
			return err
		}
	}
	l := h.live
	for l.at.op < to.op {
		if err := l.play(ctx, &h.ops[l.at.op], false, early); err != nil {
			return err
		}
	}
	if l.at.insn < to.insn {
		return l.crawl(ctx, &h.ops[to.op], to.insn, early)
	}
	return nil
}

// list makes the instructions of a run known.
func (h *History) list(ctx context.Context, i int) error {
	o := &h.ops[i]
	if o.pcs != nil || o.writes != nil {
		return nil
	}
	if err := h.reach(ctx, place{op: i}); err != nil {
		return err
	}
	if err := h.live.play(ctx, o, true, margin); err != nil {
		h.drop()
		return err
	}
	return nil
}

// A Halt says why and where a session stopped.
type Halt struct {
	rsp.Stop
	Begin, End bool // of the history
}

// here is a halt at a place where the session stops.
func (h *History) here(ctx context.Context, at place, watch uint64) (Halt, error) {
	thread := ""
	err := h.reach(ctx, at)
	if err == nil {
		thread, err = h.live.m.Stub.Stopped(ctx)
	}
	if err != nil {
		return Halt{}, err
	}
	return Halt{Stop: rsp.Stop{Signal: rsp.SignalTrap, Thread: thread, PC: h.live.pc, Watch: watch}}, nil
}

// settle is a place after which something happens: not at the end of an operation, and
// after what gdb wrote there.
func (h *History) settle(p place) place {
	for p.op < len(h.ops) {
		o := &h.ops[p.op]
		if o.writes == nil && (o.pcs == nil || p.insn < len(o.pcs)) {
			break
		}
		p = place{op: p.op + 1}
	}
	return p
}

// pcAt returns the address of a place.
func (h *History) pcAt(p place) uint64 {
	if p.insn > 0 {
		return h.ops[p.op].pcAt(p.insn)
	}
	for i := p.op - 1; i >= 0; i-- {
		if h.ops[i].writes == nil {
			return h.ops[i].stop.PC
		}
	}
	return h.began
}

// Step executes one instruction.
func (h *History) Step(ctx context.Context, points []Point) (Halt, error) {
	if h.present() {
		watches := slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return !p.watches() })
		return h.extend(ctx, op{step: true, points: watches})
	}
	if err := h.list(ctx, h.at.op); err != nil {
		return Halt{}, err
	}
	next, addr := h.settle(place{h.at.op, h.at.insn + 1}), uint64(0)
	if slices.ContainsFunc(points, Point.watches) {
		var err error
		if addr, _, err = h.meets(ctx, h.at, points); err != nil {
			return Halt{}, err
		}
	}
	return h.here(ctx, next, addr)
}

// extend does something new, at the present.
func (h *History) extend(ctx context.Context, o op) (Halt, error) {
	if n := len(h.ops); n > 0 && h.ops[n-1].ended {
		halt, err := h.here(ctx, h.at, 0)
		halt.End = true
		return halt, err
	}
	if err := h.reach(ctx, h.at); err != nil {
		return Halt{}, err
	}
	if o.step {
		o.pcs = []uint64{h.live.pc}
	} else {
		for _, addr := range h.ends {
			if p := (Point{Kind: '0', Addr: addr, Size: 1}); addr != h.live.pc && !slices.Contains(o.points, p) {
				o.points = append(o.points, p)
			}
		}
	}
	stop, _, err := h.live.perform(ctx, &o, false)
	if err == nil && stop.Exited {
		err = errors.New("the machine has ended")
	}
	if err == nil && slices.Contains(h.ends, stop.PC) && !o.step {
		o.ended = true
		if stop.PC == h.live.m.Mark {
			o.ended, err = h.live.m.AgentRuns(ctx)
		}
	}
	if err != nil {
		h.drop()
		return Halt{}, err
	}
	o.stop = stop
	h.ops = append(h.ops, o)
	h.at = place{op: len(h.ops)}
	h.live.at, h.live.pc = h.at, stop.PC
	return Halt{Stop: stop, End: o.ended}, nil
}

// Continue runs to the next point. What has been undone is done again.
func (h *History) Continue(ctx context.Context, points []Point) (Halt, error) {
	at := h.at
	for at.op < len(h.ops) {
		o := &h.ops[at.op]
		if o.writes == nil && !(at.insn == 0 && o.quiet(points)) {
			if err := h.list(ctx, at.op); err != nil {
				return Halt{}, err
			}
			to := slices.IndexFunc(o.pcs[min(at.insn+1, len(o.pcs)):], func(pc uint64) bool { return breaks(points, pc) })
			insn, addr, met, err := h.firstMet(ctx, at.op, at.insn, points)
			switch {
			case err != nil:
				return Halt{}, err
			case met && (to < 0 || insn <= at.insn+1+to):
				return h.here(ctx, h.settle(place{at.op, insn}), addr)
			case to >= 0:
				return h.here(ctx, place{at.op, at.insn + 1 + to}, 0)
			}
		}
		at = place{op: at.op + 1}
		switch {
		case o.writes != nil:
		case o.ended:
			halt, err := h.here(ctx, at, 0)
			halt.End = true
			return halt, err
		case watched(points, o.stop.Watch) != nil || breaks(points, o.stop.PC):
			return h.here(ctx, h.settle(at), o.stop.Watch)
		}
	}
	if err := h.reach(ctx, at); err != nil {
		return Halt{}, err
	}
	for {
		halt, err := h.extend(ctx, op{points: slices.Clone(points)})
		if err != nil || halt.End || halt.Watch != 0 || breaks(points, halt.PC) || !slices.Contains(h.ends, halt.PC) {
			return halt, err
		}
		// Another program's system call at the address where the agent hands over.
		if halt, err = h.Step(ctx, points); err != nil || breaks(points, halt.PC) {
			return halt, err
		}
	}
}

func breaks(points []Point, pc uint64) bool {
	return slices.ContainsFunc(points, func(p Point) bool { return !p.watches() && p.Addr == pc })
}

// watched returns the watchpoint of points that has an address, nil for none.
func watched(points []Point, addr uint64) *Point {
	for _, p := range points {
		if p.watches() && p.Addr <= addr && addr < p.Addr+p.Size {
			return &p
		}
	}
	return nil
}

// StepBack undoes one instruction.
func (h *History) StepBack(ctx context.Context) (Halt, error) {
	at := h.at
	for at.insn == 0 {
		if at.op == 0 {
			halt, err := h.here(ctx, at, 0)
			halt.Begin = true
			return halt, err
		}
		at = place{op: at.op - 1}
		if err := h.list(ctx, at.op); err != nil {
			return Halt{}, err
		}
		at.insn = len(h.ops[at.op].pcs)
	}
	at.insn--
	return h.here(ctx, h.settle(at), 0)
}

// ContinueBack goes back to the last point.
func (h *History) ContinueBack(ctx context.Context, points []Point) (Halt, error) {
	from := h.at
	for i := from.op; i >= 0; i-- {
		if i == len(h.ops) || h.ops[i].writes != nil || i == from.op && from.insn == 0 {
			continue
		}
		o := &h.ops[i]
		if !o.quiet(points) || watched(points, o.stop.Watch) != nil {
			if err := h.list(ctx, i); err != nil {
				return Halt{}, err
			}
			last := len(o.pcs)
			if i == from.op {
				last = from.insn
			}
			k := last - 1
			for ; k >= 1 && !breaks(points, o.pcs[k]); k-- {
			}
			insn, addr, met, err := h.lastMet(ctx, i, last, points)
			switch {
			case err != nil:
				return Halt{}, err
			case met && insn >= k:
				if h.WatchesBefore {
					insn++
				}
				return h.here(ctx, h.settle(place{i, insn}), addr)
			case k >= 1:
				return h.here(ctx, place{i, k}, 0)
			}
		}
		if p := (place{op: i}); breaks(points, h.pcAt(p)) {
			return h.here(ctx, p, 0)
		}
	}
	halt, err := h.here(ctx, h.settle(place{}), 0)
	halt.Begin = true
	return halt, err
}

// Write writes into the guest by packets of gdb's, and returns QEMU's reply to the last.
// What had been undone is forgotten: the guest will do something else.
func (h *History) Write(ctx context.Context, packet string) (string, error) {
	if err := h.reach(ctx, h.at); err != nil {
		return "", err
	}
	reply, err := h.live.m.Stub.Relay(ctx, packet)
	if err != nil || string(reply) != "OK" {
		return string(reply), err
	}
	h.cut()
	if n := len(h.ops); n > 0 && h.ops[n-1].writes != nil {
		h.ops[n-1].writes = append(h.ops[n-1].writes, packet)
	} else {
		h.ops = append(h.ops, op{writes: []string{packet}})
	}
	h.at = place{op: len(h.ops)}
	h.live.at = h.at
	return string(reply), nil
}

// cut forgets what comes after the place where the session is. Inside a run it shortens
// the run.
func (h *History) cut() {
	if h.at.insn == 0 {
		h.ops = h.ops[:h.at.op]
		return
	}
	o := h.ops[h.at.op]
	o.stop = rsp.Stop{Signal: rsp.SignalTrap, Thread: o.stop.Thread, PC: o.pcAt(h.at.insn)}
	o.pcs, o.short, o.ended = o.pcs[:h.at.insn:h.at.insn], true, false
	h.ops = append(h.ops[:h.at.op], o)
	h.at = place{op: len(h.ops)}
	h.live.at = h.at
}
