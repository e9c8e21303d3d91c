package why

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"kernellab/harness/inspect"
	"kernellab/harness/machine"
	"kernellab/harness/probe"
	"kernellab/harness/rsp"
	"kernellab/harness/stores"
	"kernellab/harness/task"
	"kernellab/harness/trace"
)

// watcher drives a guest in the place of its debugger, and records the writes to the
// extents on the way. The driver sees none of these stops.
type watcher struct {
	q       Question
	from    int  // the number of the stop from which on it watches; 0 is before the first
	early   bool // from is 0
	extents []probe.Extent

	machine.Debugger
	m      *machine.Machine
	reader *task.Reader
	breaks map[uint64]bool // the driver's breakpoints
	on     bool            // it watches
	set    bool            // the machine has the watchpoints
	began  string          // the point at which it began to
	last   string          // the point that was passed last

	late    int  // with early: it watches after so many stops
	stops   int  // of the driver, up to the lab's first stop
	moved   bool // to the machine of the first stop
	hits    int  // of the watchpoints
	writes  []write
	over    bool     // it no longer watches
	initial [][]byte // memory of the extents when the watch began
	latest  [][]byte // after the latest write
	final   [][]byte // at the stop
	clock   int64    // at the stop
}

// write is one write to an extent, or several by which an instruction or a function
// copies or fills it piece by piece.
type write struct {
	extent   int
	old, new []byte
	store    stores.Store
	unknown  error // why there is no store
	shift    uint64
	covered  []bool // bytes of the extent that were copied with this shift
	times    int
	task     trace.Task
	after    string
	clock    int64
	sp       uint64
	stack    []trace.Frame
}

// copies reports whether the write copied the whole extent from one place.
func (w write) copies(x probe.Extent) bool {
	return w.store.Kind == stores.Copy && !slices.Contains(w.covered, false)
}

func (w *watcher) drive(m *machine.Machine) probe.Guest {
	if w.last == "" {
		w.last = "the program's start"
	}
	w.moved = w.m != nil
	w.Debugger, w.m, w.breaks, w.set = m.Debugger(), m, map[uint64]bool{}, false
	return w
}

// ready sets the watchpoints of a run that is watched from the program's start: before
// the guest runs, and once more in the machine that it is moved to at the lab's first
// stop (harness.Job.Open).
func (w *watcher) ready(ctx context.Context) error {
	switch {
	case w.set || !w.early || w.stops < w.late:
		return nil
	case w.on:
		return w.arm(ctx)
	}
	return w.begin(ctx)
}

// Resume runs the guest.
func (w *watcher) Resume(ctx context.Context) error {
	if err := w.ready(ctx); err != nil {
		return err
	}
	return w.Debugger.Resume(ctx)
}

// passed begins to watch at a stop of the lab.
func (w *watcher) passed(ctx context.Context, s *inspect.Stop) error {
	w.last = s.Event.Point
	if w.on || s.Step < w.from {
		return w.ready(ctx)
	}
	return w.begin(ctx)
}

// begin sets the watchpoints.
func (w *watcher) begin(ctx context.Context) (err error) {
	w.on, w.began = true, w.last
	if err := w.arm(ctx); err != nil {
		return err
	}
	if w.initial, err = w.read(ctx); err != nil {
		return err
	}
	w.latest = slices.Clone(w.initial)
	return nil
}

// arm sets the watchpoints in the machine.
func (w *watcher) arm(ctx context.Context) (err error) {
	if w.over {
		return nil
	}
	if !w.set {
		if w.reader, err = task.NewReader(w.m.Stub, w.q.Target.Image, w.q.Target.Arch); err != nil {
			return err
		}
	}
	w.set = true
	for _, x := range w.extents {
		if err := w.m.Stub.Watch(ctx, x.Addr, x.Size); err != nil {
			return err
		}
	}
	return nil
}

// end removes the watchpoints.
func (w *watcher) end(ctx context.Context) error {
	for _, x := range w.extents {
		if err := w.m.Stub.Unwatch(ctx, x.Addr, x.Size); err != nil {
			return err
		}
	}
	return nil
}

// read reads the memory of the extents. What is not mapped yet has no bytes.
func (w *watcher) read(ctx context.Context) ([][]byte, error) {
	var all [][]byte
	for _, x := range w.extents {
		buf := make([]byte, x.Size)
		if err := w.reader.Read(ctx, x.Addr, buf); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			buf = nil
		}
		all = append(all, buf)
	}
	return all, nil
}

func (w *watcher) Insert(ctx context.Context, addr uint64) error {
	w.breaks[addr] = true
	return w.Debugger.Insert(ctx, addr)
}

func (w *watcher) Remove(ctx context.Context, addr uint64) error {
	delete(w.breaks, addr)
	return w.Debugger.Remove(ctx, addr)
}

// Wait returns the next stop that is no write.
func (w *watcher) Wait(ctx context.Context) (rsp.Stop, error) {
	for {
		stop, err := w.Debugger.Wait(ctx)
		if err != nil || stop.Watch == 0 {
			if !w.moved {
				w.stops++
			}
			return stop, err
		}
		if stop, err = w.wrote(ctx, stop); err != nil {
			return stop, err
		}
		// Resume would step over a breakpoint here, and the driver would not see it.
		if w.breaks[stop.PC] {
			return stop, nil
		}
		if err := w.Debugger.Resume(ctx); err != nil {
			return stop, fmt.Errorf("resume the guest after a write: %w", err)
		}
	}
}

// Step may write too.
func (w *watcher) Step(ctx context.Context, thread string) (rsp.Stop, error) {
	if err := w.ready(ctx); err != nil {
		return rsp.Stop{}, err
	}
	stop, err := w.Debugger.Step(ctx, thread)
	if err == nil && stop.Watch != 0 {
		stop, err = w.wrote(ctx, stop)
	}
	return stop, err
}

// wrote records the write at which the guest has stopped. If the guest stops before a
// write, it executes it first. It returns where the guest stands then.
func (w *watcher) wrote(ctx context.Context, stop rsp.Stop) (rsp.Stop, error) {
	after := stop
	if w.q.Target.Arch.QEMU.WatchBefore {
		if err := w.end(ctx); err != nil {
			return stop, err
		}
		var err error
		if after, err = w.Debugger.Step(ctx, stop.Thread); err != nil {
			return stop, fmt.Errorf("step over a write: %w", err)
		}
		if err := w.arm(ctx); err != nil {
			return stop, err
		}
		const longest = 4
		if after.PC-stop.PC > longest {
			return after, nil // it faulted, and will be executed again
		}
		after.Watch = stop.Watch
	}
	return after, w.record(ctx, after)
}

// record records the write that stopped the guest.
func (w *watcher) record(ctx context.Context, stop rsp.Stop) error {
	i := slices.IndexFunc(w.extents, func(x probe.Extent) bool { return x.Addr == stop.Watch })
	w.hits++
	switch {
	case i < 0:
		return fmt.Errorf("the guest reports a write to %#x, which is not watched", stop.Watch)
	case w.hits > maxWrites:
		w.over = true
		return w.end(ctx)
	}
	memory, err := w.read(ctx)
	if err != nil {
		return err
	}
	regs, err := w.m.Stub.Registers(ctx)
	if err != nil {
		return err
	}
	x := w.extents[i]
	wr := write{extent: i, old: w.latest[i], new: memory[i], times: 1, after: w.last, covered: make([]bool, x.Size)}
	w.latest[i] = memory[i]
	if wr.clock, err = w.m.Clock(ctx); err != nil {
		return err
	}
	current, err := w.reader.Current(ctx, regs)
	if err != nil {
		return err
	}
	if wr.task, err = w.reader.Task(ctx, current); err != nil {
		return err
	}
	wr.find(ctx, w, x, regs, stop.PC)
	if n := len(w.writes); n > 0 && w.writes[n-1].takes(wr) {
		w.writes[n-1].merge(wr)
		return nil
	}
	wr.describe(ctx, w, regs, current)
	w.writes = append(w.writes, wr)
	return nil
}

// find finds the instruction that wrote.
func (wr *write) find(ctx context.Context, w *watcher, x probe.Extent, regs map[string]uint64, pc uint64) {
	im := w.q.Target.Image
	wr.sp = regs[w.q.Target.Arch.Registers.SP]
	wr.store, wr.unknown = stores.Find(stores.Guest{
		Arch: w.q.Target.Arch.Name, PC: pc, Regs: regs, Addr: x.Addr, Size: x.Size,
		Read: func(addr uint64, buf []byte) error { return w.reader.Read(ctx, addr, buf) },
		Function: func(addr uint64) (uint64, bool) {
			sym, off, ok := im.Symbols.At(addr)
			return addr - off, ok && sym.IsText()
		},
	})
	if wr.unknown != nil {
		wr.store.PC = pc
	}
	if from := wr.store.From; from != nil {
		wr.shift = from.Addr - wr.store.Addr
		for b := range from.Size {
			if at := wr.store.Addr + uint64(b) - x.Addr; at < uint64(x.Size) {
				wr.covered[at] = true
			}
		}
	}
}

// describe reads the stack. The first frame is at the instruction that wrote, unless that
// moved the stack pointer.
func (wr *write) describe(ctx context.Context, w *watcher, regs map[string]uint64, current uint64) {
	a := w.q.Target.Arch
	at := make(map[string]uint64, len(regs))
	for name, v := range regs {
		at[name] = v
	}
	if wr.unknown == nil && wr.store.Kind != stores.Call && wr.store.Addr != wr.sp {
		at[a.Registers.PC] = wr.store.PC
	}
	wr.stack = w.reader.View().Backtrace(ctx, current, at)
}

// takes reports whether a write goes on with what this one began: the same function, in
// the same call, writes to the same extent in the same way.
func (wr write) takes(next write) bool {
	near := next.store.PC - wr.store.PC + maxFill
	return wr.extent == next.extent && wr.task == next.task && wr.sp == next.sp && wr.after == next.after &&
		wr.unknown == nil && next.unknown == nil && near <= 2*maxFill &&
		wr.store.Kind == next.store.Kind && wr.shift == next.shift && wr.store.Addr != next.store.Addr
}

// maxFill is how far the stores of a loop that copies or fills may be apart, in bytes of
// code.
const maxFill = 256

// merge adds a write that this one takes.
func (wr *write) merge(next write) {
	wr.new, wr.clock = next.new, next.clock
	wr.times++
	for i, c := range next.covered {
		wr.covered[i] = wr.covered[i] || c
	}
	wr.store.Addr = next.store.Addr // so that a loop that fills again begins another write
}

// unseen says what was not seen of an extent's changes, "" for nothing.
func (w *watcher) unseen(i int) string {
	if bytes.Equal(w.latest[i], w.final[i]) {
		return ""
	}
	return "the memory has changed after the last write that was seen: it was written at another address (the kernel's direct map, another mapping), by a device or by lab itself, which a watchpoint does not see"
}
