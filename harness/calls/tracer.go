package calls

import (
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/blocks"
	"kernellab/harness/kernel"
	"kernellab/harness/trace"
)

// Tracer makes a tree. Its methods are called in the order of what happened.
type Tracer struct {
	// At returns the symbol at an address of the kernel, and the offset in it:
	// kernel.Symbols.At.
	At func(addr uint64) (kernel.Symbol, uint64, bool)
	// Event, when set, is called when a function is entered or left, for formats that
	// show time. The time is in instructions.
	Event func(Event)

	found  map[uint64]place
	tasks  []*task
	now    *task
	trap   *trap // what the processor took before the next block
	ran    uint64
	blocks uint64
	unsure int
}

// Event is the beginning or the end of a call.
type Event struct {
	Track    int // number of the task's track: see Tracks
	Function string
	Kind     Kind
	End      bool
	At       uint64
}

// Stop is a stop of the lab.
type Stop struct {
	Point, Role string
	PID         int
	Comm        string
	PC          uint64
	// Stack is the kernel stack, for the first stop of a trace.
	Stack []trace.Frame
}

// place is an address in a function.
type place struct {
	function string // without .cold
	symbol   uint64 // address of the symbol
	start    bool   // the address is where the symbol starts
}

// trap is an interrupt, an exception or a system call.
type trap struct {
	kind Kind
	back uint64
	user bool // it came from a program
}

// task is a task, as far as it is known.
type task struct {
	Task
	track  int
	into   *task // the task that it turned out to be
	root   Node
	frames []frame
	// before are the functions that the task was in when it ran again, and that have
	// returned since, innermost first; the last may still run.
	before []*Node
	again  bool // it was switched to, and it is not known which task it is
}

// frame is a function that runs.
type frame struct {
	place
	node *Node // nil until the function runs
	kind Kind
	back uint64 // where it returns to, 0 if that is not known
	// also are symbols that the function ran on into without a jump.
	also []uint64
}

// entry reports whether a return does not pop the frame.
func (f frame) entry() bool {
	return f.kind == Interrupt || f.kind == Exception || f.kind == Syscall || f.kind == Program || f.kind == Firmware
}

func (f frame) covers(p place) bool {
	return f.symbol == p.symbol || f.function == p.function || slices.Contains(f.also, p.symbol)
}

// Names of code without a symbol.
const (
	programName  = "the program"
	firmwareName = "the firmware"
)

func (t *Tracer) place(addr uint64) place {
	if p, ok := t.found[addr]; ok {
		return p
	}
	p := place{function: fmt.Sprintf("no symbol at %#x", addr&^0xfff), symbol: addr &^ 0xfff}
	if sym, off, ok := t.At(addr); ok {
		p = place{strings.TrimSuffix(sym.Name, ".cold"), sym.Addr, off == 0}
	}
	if t.found == nil {
		t.found = map[uint64]place{}
	}
	t.found[addr] = p
	return p
}

// Begin begins at a stop.
func (t *Tracer) Begin(s Stop) {
	t.now = t.task()
	for i, f := range s.Stack {
		if f.Inlined {
			continue
		}
		if f.User || f.Interrupted && i > 0 || !f.Trusted {
			break
		}
		in := frame{place: t.place(uint64(f.PC)), kind: Before}
		for _, above := range s.Stack[i+1:] {
			if above.Inlined {
				continue
			}
			if !above.User && !above.Interrupted && above.Trusted {
				in.back = uint64(above.PC)
			}
			break
		}
		t.now.frames = append([]frame{in}, t.now.frames...)
	}
	if n := len(t.now.frames); n > 0 && t.now.frames[n-1].start {
		t.now.frames[n-1].kind = Called
	}
	t.Stop(s)
}

// Stop says where the guest is stopped, and in which task.
func (t *Tracer) Stop(s Stop) {
	t.arrive(s.PC, blocks.Kernel)
	t.identify(s)
	if s.Point != "" {
		t.node(len(t.now.frames) - 1).mark(s.Point)
	}
}

func (t *Tracer) task() *task {
	n := &task{track: len(t.tasks) + 1}
	t.tasks = append(t.tasks, n)
	return n
}

// node returns the node of a frame of the running task.
func (t *Tracer) node(i int) *Node {
	f := &t.now.frames[i]
	if f.node != nil {
		return f.node
	}
	above := &t.now.root
	for j := i - 1; j >= 0; j-- {
		if n := t.now.frames[j].node; n != nil {
			above = n
			break
		}
	}
	f.node = above.child(f.function, f.kind)
	if f.kind != Before {
		f.node.Times++
	}
	t.event(*f, false)
	if f.kind == Before && i == 0 && t.now.again {
		t.now.before = append(t.now.before, f.node)
	}
	return f.node
}

func (t *Tracer) event(f frame, end bool) {
	if t.Event != nil && f.node != nil {
		t.Event(Event{t.now.track, f.function, f.kind, end, t.ran})
	}
}

// push enters a function.
func (t *Tracer) push(f frame) {
	t.now.frames = append(t.now.frames, f)
	t.node(len(t.now.frames) - 1)
}

// pop leaves all functions from frame i on.
func (t *Tracer) pop(i int) {
	for j := len(t.now.frames) - 1; j >= i; j-- {
		t.event(t.now.frames[j], true)
	}
	t.now.frames = t.now.frames[:i]
}

func (t *Tracer) top() *frame { return &t.now.frames[len(t.now.frames)-1] }

// arrive is called with where the guest goes on. It makes the top frame that of the code
// there.
func (t *Tracer) arrive(pc uint64, mode blocks.Mode) {
	if trap := t.trap; trap != nil {
		t.trap = nil
		switch {
		case mode == blocks.Firmware:
			t.push(frame{place: place{function: firmwareName}, kind: Firmware})
			return
		case trap.user:
			t.pop(0)
		}
		t.push(frame{place: t.place(pc), kind: trap.kind, back: trap.back})
		return
	}
	frames := t.now.frames
	kind := Before
	if len(frames) > 0 {
		kind = t.top().kind
	}
	switch {
	case mode == blocks.User && kind != Program:
		t.pop(0)
		t.push(frame{place: place{function: programName}, kind: Program})
		t.now.again = false // it has returned from all that it was in
	case mode == blocks.Firmware && kind != Firmware:
		t.push(frame{place: place{function: firmwareName}, kind: Firmware})
	case mode == blocks.Kernel && (kind == Firmware || kind == Program):
		t.pop(len(frames) - 1)
	}
	if len(t.now.frames) == 0 {
		t.push(frame{place: t.place(pc), kind: Before})
	}
}

// Block takes the next block.
func (t *Tracer) Block(b blocks.Block) error {
	if b.N > 0 {
		t.arrive(b.PC, b.Mode)
		t.node(len(t.now.frames) - 1).Own += uint64(b.N)
		t.ran += uint64(b.N)
	}
	t.blocks++
	if b.N > 0 && b.Mode == blocks.Kernel {
		t.follow(b)
	}
	// Programs have the lower half of the addresses, and the firmware, which is there too,
	// takes no traps.
	user := int64(b.Next) >= 0 && b.Mode != blocks.Firmware
	switch in := b.Interrupt; {
	case in != nil && in.Device:
		t.trap = &trap{Interrupt, b.Next, user}
	case b.Mode == blocks.User && b.Ends() == blocks.Trap:
		t.trap = &trap{Syscall, b.Code.End, true}
	case in != nil:
		t.trap = &trap{Exception, b.Next, user}
	}
	return nil
}

// follow moves the stack by what a block of the kernel ended with.
func (t *Tracer) follow(b blocks.Block) {
	at, next := t.place(b.Code.At[b.N-1]), t.place(b.Next)
	inside := next.symbol == at.symbol && !next.start
	switch b.Ends() {
	case blocks.Call, blocks.CallTo:
		if b.Ends() == blocks.Call && b.Code.Target != b.Next {
			next.start = true // a debugger has moved on from the function's first instruction
		}
		if !inside || next.start {
			t.push(frame{place: next, kind: Called, back: b.Code.End})
		}
	case blocks.Return:
		if t.top().function == switchName {
			t.switched(b.Next, next)
			return
		}
		t.returned(b.Next, next)
	case blocks.TrapEnd:
		t.trapEnded(b.Next)
	case blocks.Jump, blocks.JumpTo, blocks.Branch:
		if b.Next != b.Code.End {
			t.jumped(next)
			return
		}
		fallthrough
	default:
		if top := t.top(); !top.covers(next) && b.Interrupt == nil {
			top.also = append(top.also, next.symbol)
		}
	}
}

// jumped moves the stack by a jump.
func (t *Tracer) jumped(to place) {
	top := t.top()
	switch {
	case top.covers(to) || isReturnThunk(to.function):
		return
	case !to.start:
		for i := len(t.now.frames) - 1; i >= 0; i-- {
			if t.now.frames[i].covers(to) {
				t.pop(i + 1)
				return
			}
			if t.now.frames[i].kind != TailCall {
				break
			}
		}
	}
	t.replaced(to, isThunk(top.function))
}

// replaced enters a function that returns where the top one does: in its place, or as a
// tail call of it.
func (t *Tracer) replaced(by place, instead bool) {
	top := *t.top()
	if instead && !top.entry() {
		t.pop(len(t.now.frames) - 1)
		t.push(frame{place: by, kind: top.kind, back: top.back})
		return
	}
	t.push(frame{place: by, kind: TailCall, back: top.back})
}

// returned moves the stack by a return to an address.
func (t *Tracer) returned(to uint64, p place) {
	frames := t.now.frames
	bottom := 0
	for i := len(frames) - 1; i >= 0; i-- {
		if frames[i].entry() {
			bottom = i + 1
			break
		}
		if frames[i].back == to && frames[i].kind != TailCall {
			t.pop(i)
			t.under(to)
			return
		}
	}
	switch {
	case p.start:
		// A return that is a jump: of a thunk, or to what riscv64's entry code set as the
		// return address.
		t.replaced(p, true)
		return
	case t.top().covers(p) && bottom < len(frames):
		return // to behind a call inside the function
	}
	known := bottom > 0 || len(frames) > 0 && frames[0].back != 0
	if known {
		t.unsure++
	}
	t.pop(bottom)
	t.push(frame{place: p, kind: Before})
	t.top().node.Unsure = t.top().node.Unsure || known
}

// under makes sure that there is a function below what returned.
func (t *Tracer) under(to uint64) {
	if len(t.now.frames) == 0 {
		t.push(frame{place: t.place(to), kind: Before})
	}
}

// trapEnded moves the stack by a return from an interrupt, an exception or a system call.
func (t *Tracer) trapEnded(to uint64) {
	if int64(to) >= 0 {
		return // to a program: see arrive
	}
	last := -1
	for i := len(t.now.frames) - 1; i >= 0; i-- {
		if !t.now.frames[i].entry() {
			continue
		}
		if last < 0 {
			last = i
		}
		if t.now.frames[i].back == to {
			last = i
			break
		}
	}
	t.pop(max(last, 0))
	t.under(to)
}

// switchName is the function that returns in another task.
const switchName = "__switch_to"

// switched changes to another task, which goes on at an address.
func (t *Tracer) switched(to uint64, p place) {
	i := len(t.now.frames) - 1
	for i > 0 && t.now.frames[i].kind == TailCall {
		i--
	}
	back := t.now.frames[i].back
	t.pop(i)
	t.now = t.task()
	if to != back && p.start {
		t.now.New = true
		t.push(frame{place: p, kind: Called})
		return
	}
	t.now.again = true
	t.push(frame{place: p, kind: Before})
}

// identify makes the running task the one that a stop tells.
func (t *Tracer) identify(s Stop) {
	now := t.now
	if now.PID == s.PID && s.PID != 0 {
		now.Role = first(now.Role, s.Role)
		return
	}
	var known *task
	for _, o := range t.tasks {
		if o.into == nil && o.PID == s.PID && o != now {
			known = o
		}
	}
	switch {
	case now.PID != 0:
		// A switch that was not seen.
		t.unsure++
		if known == nil {
			known = t.task()
			known.PID, known.Comm, known.Role = s.PID, s.Comm, s.Role
		}
		t.now = known
		t.pop(0)
		t.arrive(s.PC, blocks.Kernel)
	case known == nil:
		now.PID, now.Comm, now.Role = s.PID, s.Comm, s.Role
	default:
		t.graft(known, now)
		known.Role = first(known.Role, s.Role)
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// graft makes the running task the same as one that ran before: what it returned from is
// what that one was in.
func (t *Tracer) graft(known, now *task) {
	moved := map[*Node]*Node{}
	t.now = known
	// left are the frames of known that still run below those of now. What is in before and
	// not in known was reached by a jump on the way back, such as the end of an interrupt.
	left := len(known.frames)
	fits := true
	for _, b := range now.before {
		i := left - 1
		for i >= 0 && known.frames[i].function != b.Function {
			i--
		}
		missed := !fits
		fits = i >= 0
		switch {
		case fits:
			left = i
			t.node(i).merge(b, moved)
		case left > 0:
			c := t.node(left-1).child(b.Function, TailCall)
			if missed || !known.frames[left-1].entry() {
				// Not the end of an interrupt: the task has also run in between, and nobody told.
				t.unsure++
				c.Unsure = true
			}
			c.merge(b, moved)
		}
	}
	for _, c := range now.root.Calls {
		if moved[c] == nil {
			known.root.child(c.Function, c.Kind).merge(c, moved)
		}
	}
	frames := slices.Clone(now.frames)
	for i := range frames {
		if to := moved[frames[i].node]; to != nil {
			frames[i].node = to
		}
	}
	switch {
	case len(frames) == 0 || frames[0].kind != Before:
		left = 0 // it has returned to its program since
	case fits && len(now.before) > 0 && frames[0].node == known.frames[left].node:
		frames[0] = known.frames[left]
	default:
		t.unsure++
		left = 0
	}
	known.frames = append(slices.Clone(known.frames[:left]), frames...)
	now.into, now.frames = known, nil
}

// Tracks returns the names of the tracks of events, and which track each is part of.
func (t *Tracer) Tracks() (names map[int]string, of map[int]int) {
	names, of = map[int]string{}, map[int]int{}
	for _, n := range t.tasks {
		to := n
		for to.into != nil {
			to = to.into
		}
		of[n.track], names[to.track] = to.track, to.Name()
	}
	return names, of
}

// Tree returns the tree.
func (t *Tracer) Tree() *Tree {
	out := &Tree{Schema: Schema, Ran: t.ran, Blocks: t.blocks, Unsure: t.unsure, Tasks: []Task{}}
	others := &task{}
	for _, n := range t.tasks {
		switch {
		case n.into != nil:
			continue
		case n.PID == 0 && !n.New:
			others.root.merge(&n.root, map[*Node]*Node{})
			continue
		}
		n.Task.Total, n.Task.Calls = n.root.sum(), n.root.Calls
		if n.Task.Total > 0 {
			out.Tasks = append(out.Tasks, n.Task)
		}
	}
	if others.Task.Total, others.Task.Calls = others.root.sum(), others.root.Calls; others.Task.Total > 0 {
		out.Tasks = append(out.Tasks, others.Task)
	}
	return out
}

// isThunk reports whether a function only jumps to another one: of indirect calls, and
// the trampolines of static calls.
func isThunk(name string) bool {
	return strings.HasPrefix(name, "__x86_indirect_") || strings.HasPrefix(name, "__SCT__")
}

// isReturnThunk reports whether a jump to a function is a return.
func isReturnThunk(name string) bool {
	switch name {
	case "__x86_return_thunk", "srso_return_thunk", "srso_alias_return_thunk", "retbleed_return_thunk", "its_return_thunk", "zen_untrain_ret":
		return true
	}
	return false
}

// Name is what a person calls the task.
func (t Task) Name() string {
	switch {
	case t.PID != 0:
		name := fmt.Sprintf("%d %s", t.PID, t.Comm)
		if t.Role != "" {
			name += ", the " + t.Role
		}
		return name
	case t.New:
		return "a new task"
	}
	return "other tasks"
}
