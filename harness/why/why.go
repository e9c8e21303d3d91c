// Package why answers who wrote a value that is in memory at a stop of a lab's run.
//
// A run repeats exactly. So once the memory of the value is known from one run to the
// stop, the lab runs again with watchpoints on it, and every write to it is recorded:
// the instruction, the task, the stack, the value before and after. When the last write
// is a copy, a further run watches where it was copied from too.
//
// A watchpoint stops the guest, which moves its clock on by up to a millisecond
// (qemu.ClockStep), so the watched run is not the same to the instruction. It counts only
// if it comes to the same stop with the same memory and the same value in it.
package why

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/inspect"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/probe"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Question asks who wrote a value.
type Question struct {
	Host    prepare.Host
	Target  prepare.Target
	Machine prepare.Machine
	Lab     labs.Lab
	Point   string // of the lab; its first stop there
	// What is an expression over the stopped guest (package expr), whose value is read
	// from memory, or ADDRESS[:SIZE].
	What string
	// Depth is how many writes of the value's history are wanted; 0 means DefaultDepth.
	Depth int
}

// DefaultDepth is how many writes an answer has.
const DefaultDepth = 3

// maxWrites bounds the stops of a run's watchpoints. A word that is written more often
// is watched from a later stop.
const maxWrites = 100

// maxSize bounds the memory that is watched, in bytes.
const maxSize = 4096

// moment is what a run has at the stop.
type moment struct {
	step    int
	extents []probe.Extent
	memory  [][]byte // of the extents
	clock   int64
}

func (m *moment) same(other *moment) bool {
	return m.step == other.step && slices.Equal(m.extents, other.extents) &&
		slices.EqualFunc(m.memory, other.memory, slices.Equal)
}

// Check refuses a question that names no point of the lab. called is how the person
// named the lab.
func (q Question) Check(called, arch string) error {
	if q.Point == "" {
		return usage.Errorf("--at is missing: at which point of %s is the value?", called)
	}
	return prepare.CheckPoint(q.Lab, called, arch, q.Point)
}

// Ask answers a question. The expression's mistakes are the caller's.
func Ask(ctx context.Context, q Question) (*Document, error) {
	if q.Depth == 0 {
		q.Depth = DefaultDepth
	}
	doc := &Document{
		Schema: "lab.why/1", Lab: q.Lab.Name, Arch: q.Target.Arch.Name, Kernel: q.Target.Image.Release, Point: q.Point, Expr: q.What,
	}
	var at *moment
	err := q.run(nil).To(ctx, func(ctx context.Context, s *inspect.Stop) (err error) {
		if at, err = q.moment(ctx, s); err != nil {
			return err
		}
		doc.Step, doc.Symbol, doc.Task, doc.Time = s.Step, s.Event.Symbol, *s.Event.Task, s.Event.Time
		if text, err := s.Here.Value(ctx, q.What); err == nil {
			doc.Result = text
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	doc.Runs = 1
	for i, x := range at.extents {
		v, runs, err := q.history(ctx, at, i)
		doc.Runs += runs
		if err != nil {
			return nil, err
		}
		v.Name, v.Type, v.Value = x.Name, x.Type, q.text(x, at.memory[i])
		v.Address, v.Size = trace.Word(x.Addr), x.Size
		doc.Values = append(doc.Values, *v)
	}
	return doc, nil
}

// run is a run to the stop, with the guest driven by a watcher if it is not nil.
func (q Question) run(w *watcher) inspect.Run {
	r := inspect.Run{
		Host: q.Host, Target: q.Target, Machine: q.Machine, Place: inspect.Place{Lab: q.Lab, Point: q.Point, Exact: true},
	}
	if w != nil {
		r.Passed, r.Early = w.passed, w.early
		r.Guest = func(m *machine.Machine) probe.Guest { return w.drive(m) }
	}
	return r
}

var address = regexp.MustCompile(`^(0[xX][0-9a-fA-F]+)(?::([0-9]+))?$`)

// extents returns the memory that the question is about.
func (q Question) extents(ctx context.Context, s *inspect.Stop) ([]probe.Extent, error) {
	m := address.FindStringSubmatch(q.What)
	if m == nil {
		all, err := s.Here.Extents(ctx, q.What)
		if err != nil {
			return nil, usage.Wrap(fmt.Errorf("at %s: %w", q.Point, err))
		}
		return all, nil
	}
	addr, err := strconv.ParseUint(m[1], 0, 64)
	size := uint64(8)
	if err == nil && m[2] != "" {
		size, err = strconv.ParseUint(m[2], 10, 16)
	}
	if err != nil || size == 0 {
		return nil, usage.Errorf("%s is no ADDRESS:SIZE: an address has up to 16 digits, a size is 1 to %d", q.What, maxSize)
	}
	return []probe.Extent{{Addr: addr, Size: int(size), Name: "memory"}}, nil
}

// moment reads the memory that the question is about.
func (q Question) moment(ctx context.Context, s *inspect.Stop) (*moment, error) {
	m := &moment{step: s.Step}
	var err error
	if m.extents, err = q.extents(ctx, s); err != nil {
		return nil, err
	}
	for _, x := range m.extents {
		if x.Size > maxSize {
			return nil, usage.Errorf("%s has %d bytes: name a member, or at most %d bytes", x.Name, x.Size, maxSize)
		}
		buf := make([]byte, x.Size)
		if err := s.View.Reader.Read(ctx, x.Addr, buf); err != nil {
			return nil, usage.Wrap(fmt.Errorf("read %d bytes at %#x: %w", x.Size, x.Addr, err))
		}
		m.memory = append(m.memory, buf)
	}
	m.clock, err = s.Machine.Clock(ctx)
	return m, err
}

// A watched run that does not count.
var (
	errOther = errors.New("the watched run did not come to the same stop with the same value: the stops of the watchpoint changed it")
	errOften = fmt.Errorf("the memory is written more than %d times on the way", maxWrites)
)

// watch runs to the stop once more with watchpoints on the extents, from the stop with
// the number from on. 0 is the program's start, or, if there are too many writes from
// there, the last stop before the lab's first one, such as an aside.
func (q Question) watch(ctx context.Context, at *moment, from int, extents []probe.Extent) (w *watcher, runs int, err error) {
	w = &watcher{q: q, from: from, early: from == 0, extents: extents}
	err = q.watched(ctx, at, w)
	if !errors.Is(err, errOften) || from > 0 || w.stops < 2 {
		return w, 1, err
	}
	w = &watcher{q: q, early: true, late: w.stops - 1, extents: extents}
	return w, 2, q.watched(ctx, at, w)
}

func (q Question) watched(ctx context.Context, at *moment, w *watcher) error {
	err := q.run(w).To(ctx, func(ctx context.Context, s *inspect.Stop) error {
		now, err := q.moment(ctx, s)
		if err != nil {
			return err
		}
		if w.clock = now.clock; !now.same(at) {
			return errOther
		}
		if err := w.ready(ctx); err != nil { // at the first stop no guest has run in the machine
			return err
		}
		w.final, err = w.read(ctx)
		return err
	})
	if errors.Is(err, errOther) {
		err = errOther
	}
	if err == nil && w.over {
		err = errOften
	}
	return err
}

// history finds the writes to one extent, in as few runs as it takes: from the lab's
// first stop, or, if that run does not count, from a later one.
func (q Question) history(ctx context.Context, at *moment, which int) (v *Value, runs int, err error) {
	starts := []int{1}
	for back := 1; at.step-back > 1; back *= 2 {
		starts = append(starts, at.step-back)
	}
	if at.step == 1 {
		starts = []int{0}
	}
	for _, from := range starts {
		found, n, cerr := q.chain(ctx, at, from, at.extents[which])
		switch runs += n; {
		case cerr == nil && (v == nil || len(found.Writes) > 0):
			v = found
		case errors.Is(cerr, errOther), errors.Is(cerr, errOften):
			err = cerr
		case cerr != nil:
			return nil, runs, cerr
		}
		if v != nil && (from <= 1 || len(v.Writes) > 0) {
			return v, runs, nil
		}
	}
	if v != nil {
		v.Early = err.Error()
		err = nil
	}
	return v, runs, err
}

// chain follows the value of an extent back through its writes and its copies. Each copy
// takes another run. Where the value came from before the lab's first stop is looked for
// in a run that is watched from the program's start.
func (q Question) chain(ctx context.Context, at *moment, from int, x probe.Extent) (v *Value, runs int, err error) {
	path := []probe.Extent{x}
	for {
		w, n, err := q.watch(ctx, at, from, path)
		runs += n
		if err != nil && v != nil && (errors.Is(err, errOther) || errors.Is(err, errOften)) {
			v.Early = err.Error()
			return v, runs, nil
		}
		if err != nil {
			return nil, runs, err
		}
		now, source, open := q.follow(w, path)
		switch v = now; {
		case source != nil && len(v.Writes) < q.Depth:
			path = append(path, *source)
		case open && from == 1:
			from = 0
		default:
			return v, runs, nil
		}
	}
}

// follow makes the history of the first extent of a watched run: its writes, latest
// first, and where a write is a copy, those of the next extent before it. It returns the
// source of a copy that no extent is of, and whether the value was there, in the first
// extent or in the source of a copy, when the watch began.
func (q Question) follow(w *watcher, path []probe.Extent) (v *Value, source *probe.Extent, open bool) {
	v = &Value{From: w.began, Note: w.unseen(0), Writes: []Write{}}
	end, copied := len(w.writes), true
	for i := 0; ; {
		n := end - 1
		for n >= 0 && w.writes[n].extent != i {
			n--
		}
		if n < 0 {
			v.Before = q.text(path[i], w.initial[i])
			return v, nil, copied && w.initial[i] != nil
		}
		wr := w.writes[n]
		v.Writes = append(v.Writes, w.document(wr, path[i]))
		end, copied = n, wr.copies(path[i])
		switch {
		case len(v.Writes) == q.Depth, !copied && i > 0:
			return v, nil, false // what was in the source before is not where the value came from
		case !copied:
			continue
		}
		if i++; i < len(path) {
			continue
		}
		from := path[i-1]
		from.Addr += wr.shift
		if slices.ContainsFunc(path, func(x probe.Extent) bool {
			return x.Addr < from.Addr+uint64(from.Size) && from.Addr < x.Addr+uint64(x.Size)
		}) {
			return v, nil, false // QEMU names one watchpoint of a write
		}
		return v, &from, false
	}
}

// text is the value of an extent for a person.
func (q Question) text(x probe.Extent, b []byte) string {
	if len(b) == 0 {
		return "not mapped"
	}
	if x.Text {
		s, _, _ := strings.Cut(string(b), "\x00")
		return strconv.Quote(s)
	}
	var words []string
	for size := min(len(b), 8); len(b) > 0; b = b[min(size, len(b)):] {
		var n uint64
		for i, c := range b[:min(size, len(b))] {
			n |= uint64(c) << (8 * i)
		}
		words = append(words, q.number(x, n, min(size, len(b))))
	}
	return strings.Join(words, " ")
}

// number is a number for a person: an address of the kernel with its symbol.
func (q Question) number(x probe.Extent, n uint64, size int) string {
	switch {
	case x.Bits > 0:
		n = n >> x.BitOffset & (1<<x.Bits - 1)
	case x.Signed && size < 8 && n>>(8*size-1) != 0:
		return fmt.Sprint(int64(n<<(64-8*size)) >> (64 - 8*size))
	case x.Signed && int64(n) < 0 && int64(n) > -4096:
		return fmt.Sprint(int64(n))
	}
	if n <= 0xffff {
		return fmt.Sprint(n)
	}
	if int64(n) < 0 && int64(n) >= -4095 { // an errno
		return fmt.Sprintf("%#x (%d)", n, int64(n))
	}
	if sym, off, ok := q.Target.Image.Symbols.At(n); ok && sym.IsText() && int64(n) < 0 {
		return fmt.Sprintf("%#x (%s+%#x)", n, sym.Name, off)
	}
	return fmt.Sprintf("%#x", n)
}
