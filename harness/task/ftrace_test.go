package task_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"kernellab/harness/kernel"
	"kernellab/harness/trace"
	"kernellab/images/guest"
)

// traced are functions of the fork path, and one that interrupts call.
func traced() []string {
	return []string{
		"kernel_clone", "copy_process", "arch_dup_task_struct", "copy_thread", "wake_up_new_task",
		"do_wait", "release_task", "update_process_times",
	}
}

// TestAgreesWithFtrace compares backtraces at the entry of functions with those
// that the kernel's own unwinder wrote down there, of the same calls.
func TestAgreesWithFtrace(t *testing.T) {
	eachKernel(t, func(t *testing.T, z *zoo) {
		const tracing = "/sys/kernel/tracing/"
		p := z.start(t, guest.Program{Args: []string{"traced", strings.Join(traced(), ",")}})
		ours := z.backtraces(t, p)
		exit, err := p.Exit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if exit.Code != 0 {
			t.Fatalf("the program ended with %d: %s", exit.Code, exit.Merged())
		}
		text, err := z.Agent.ReadFile(t.Context(), tracing+"trace")
		if err != nil {
			t.Fatal(err)
		}
		matchTraces(t, z, ours, stackTraces(strings.Split(string(text), "\n")))
	})
}

// backtraces unwinds at every stop in the process, at a traced function, between its
// two marks, and lets it end.
func (z *zoo) backtraces(t *testing.T, p *guest.Process) [][]trace.Frame {
	t.Helper()
	ctx := t.Context()
	var entries []uint64
	for _, name := range traced() {
		sym, err := z.image.Symbols.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, sym.Addr)
	}
	z.insert(ctx, t, z.Mark)
	z.release(t, p)
	z.stop(ctx, t)
	z.insert(ctx, t, entries...)
	var out [][]trace.Frame
	stops, doubts := 0, map[string]int{}
	regs, current := z.stop(ctx, t)
	for ; regs[z.arch.Registers.PC] != z.Mark; regs, current = z.stop(ctx, t) {
		stops++
		view := z.reader.View()
		who, err := view.Identify(ctx, current)
		if err != nil {
			t.Fatal(err)
		}
		if who.TGID != p.PID {
			continue
		}
		frames := view.Backtrace(ctx, current, regs)
		for _, f := range frames {
			if !f.Trusted {
				doubts[f.Doubt]++
			}
		}
		out = append(out, frames)
	}
	t.Logf("%d stops; frames not trusted, by reason: %v", stops, doubts)
	z.remove(ctx, t, entries...)
	z.stop(ctx, t) // the agent's mark
	return out
}

// record is a call as ftrace wrote it down: the function, its caller, and the
// stack behind ftrace's own call at the function's entry.
type record struct {
	function, caller string
	stack            []string
}

// stackTraces are the records of ftrace's text.
func stackTraces(lines []string) []record {
	var out []record
	function, caller := "", ""
	for _, l := range lines {
		if _, call, ok := strings.Cut(l, ": "); ok && strings.Contains(call, " <-") {
			function, caller, _ = strings.Cut(strings.TrimSpace(call), " <-")
			function, _, _ = strings.Cut(function, "+")
		}
		if strings.Contains(l, "<stack trace>") {
			out = append(out, record{function: function, caller: caller})
		}
		if entry, ok := strings.CutPrefix(strings.TrimSpace(l), "=> "); ok && len(out) > 0 {
			last := &out[len(out)-1]
			last.stack = append(last.stack, entry)
		}
	}
	return out
}

// frames is the record without ftrace's own frames. The frame pointers that
// riscv64's unwinder follows do not show a function at its entry nor its caller,
// which the record has beside them.
func (r record) frames() []string {
	at := func(prefixes ...string) int {
		return slices.IndexFunc(r.stack, func(f string) bool {
			return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f, p+"+") })
		})
	}
	if i := at(r.function); i >= 0 {
		return r.stack[i:]
	}
	if i := at("ftrace_caller", "ftrace_call", "ftrace_regs_caller"); i >= 0 {
		return append([]string{r.function + "+0x0", r.caller}, r.stack[i+1:]...)
	}
	return r.stack
}

// matchTraces finds every record of the kernel among ours, each another.
func matchTraces(t *testing.T, z *zoo, ours [][]trace.Frame, records []record) {
	t.Helper()
	frames, interrupts, inside := 0, 0, 0
	seen := map[string]int{}
	c := comparer{named: z.image.Symbols.Named, link: z.arch.Registers.Link != ""}
	for _, rec := range records {
		r := rec.frames()
		generated := func(f string) bool { return f == "[FTRACE TRAMPOLINE]" || strings.HasPrefix(f, "0x") }
		if slices.ContainsFunc(r[1:], generated) {
			inside++ // an interrupt of ftrace itself: code that is in no image
			continue
		}
		at := slices.IndexFunc(ours, func(o []trace.Frame) bool { return c.sameTrace(o, r) })
		if at < 0 {
			t.Errorf("no backtrace is the kernel's\n  %s\nthe nearest of ours:\n  %s", strings.Join(r, " ← "), nearest(ours, r))
			continue
		}
		match := ours[at]
		ours = slices.Delete(ours, at, at+1)
		seen[match[0].Symbol]++
		frames += len(r)
		if slices.ContainsFunc(match[1:], func(f trace.Frame) bool { return f.Interrupted && !f.User }) {
			interrupts++
		}
	}
	t.Logf("%d stack traces of the kernel with %d frames agree, %d of them in an interrupt of the kernel, %d left out that interrupted ftrace itself: %v",
		len(records)-inside, frames, interrupts, inside, seen)
	if interrupts < 10 {
		t.Errorf("%d of the stack traces are of an interrupt of the kernel, want at least 10", interrupts)
	}
	for _, name := range traced() {
		if seen[name] == 0 {
			t.Errorf("the kernel recorded no stack at %s", name)
		}
	}
}

// comparer compares backtraces with the kernel's.
type comparer struct {
	named func(symbol string) []kernel.Symbol
	// link says that a call leaves the return address in a register.
	link bool
}

// sameTrace compares a backtrace with the kernel's. riscv64's unwinder ends where
// an interrupt took another stack.
func (c comparer) sameTrace(ours []trace.Frame, theirs []string) bool {
	own := c.shown(ours, theirs)
	if strings.HasPrefix(theirs[len(theirs)-1], "call_on_irq_stack+") && len(own) > len(theirs) {
		own = own[:len(theirs)]
	}
	return len(own) == len(theirs) && strings.HasPrefix(theirs[0], ours[0].Symbol+"+") &&
		slices.EqualFunc(own[1:], theirs[1:], c.sameFrame)
}

// shown is the backtrace as ftrace writes it: without what lies in user mode, and
// without the mark of where it had to end.
//
// riscv64's unwinder goes on behind an interrupt with the frame pointer of then
// (walk_stackframe in arch/riscv/kernel/stacktrace.c). At a function's first
// instruction that is still its caller's, and the record there says where the caller
// returns to: the caller itself is left out. Where theirs leaves it out, this does.
func (c comparer) shown(ours []trace.Frame, theirs []string) []string {
	var out []string
	for i, f := range ours {
		if f.User || f.PC == 0 {
			continue
		}
		caller := i > 1 && c.link && ours[i-1].Interrupted && ours[i-1].Offset == 0
		if caller && len(out) < len(theirs) && !c.sameFrame(f.String(), theirs[len(out)]) {
			continue
		}
		out = append(out, f.String())
	}
	return out
}

// sameFrame allows for another name of the same address.
func (c comparer) sameFrame(a, b string) bool {
	if a == b {
		return true
	}
	addr := func(s string) (uint64, bool) {
		name, rest, _ := strings.Cut(s, "+")
		off, _, _ := strings.Cut(rest, "/")
		n, err := strconv.ParseUint(off, 0, 64)
		syms := c.named(name)
		if err != nil || len(syms) == 0 {
			return 0, false
		}
		return syms[0].Addr + n, true
	}
	x, ok := addr(a)
	y, ok2 := addr(b)
	return ok && ok2 && x == y
}

// nearest is the backtrace of ours that has most frames of a record.
func nearest(ours [][]trace.Frame, record []string) string {
	best, text := -1, ""
	for _, o := range ours {
		form, same := comparer{}.shown(o, nil), 0
		for _, f := range form {
			if slices.Contains(record, f) {
				same++
			}
		}
		if same > best {
			best, text = same, strings.Join(form, " ← ")
		}
	}
	return text
}

// What the comparison allows for, and what it does not.
func TestSameTrace(t *testing.T) {
	frame := func(symbol string, offset trace.Word, interrupted bool) trace.Frame {
		return trace.Frame{PC: 1, Symbol: symbol, Offset: offset, Size: 64, Interrupted: interrupted, Trusted: true}
	}
	// A tick that came in a softirq, at the first instruction of inner.
	ours := []trace.Frame{
		frame("tick", 0, true), frame("handle", 8, false), frame("inner", 0, true), frame("outer", 8, false),
		frame("outermost", 8, false), {PC: 1, User: true, Trusted: true},
	}
	const tick, handle, inner, outer, outermost = "tick+0x0", "handle+0x8/0x40", "inner+0x0/0x40", "outer+0x8/0x40", "outermost+0x8/0x40"
	later := slices.Clone(ours)
	later[2].Offset = 8
	const inLater = "inner+0x8/0x40"
	for _, tt := range []struct {
		name   string
		ours   []trace.Frame
		noLink bool
		theirs []string
		want   bool
	}{
		{name: "the same", ours: ours, theirs: []string{tick, handle, inner, outer, outermost}, want: true},
		{name: "its caller left out", ours: ours, theirs: []string{tick, handle, inner, outermost}, want: true},
		{name: "its caller left out later in it", ours: later, theirs: []string{tick, handle, inLater, outermost}},
		{name: "its caller left out where calls push", ours: ours, noLink: true, theirs: []string{tick, handle, inner, outermost}},
		{name: "the caller of the first left out", ours: ours, theirs: []string{tick, inner, outer, outermost}},
		{name: "more left out", ours: ours, theirs: []string{tick, handle, inner}},
		{name: "another's caller left out", ours: ours, theirs: []string{tick, handle, inner, outer}},
		{name: "another function", ours: ours, theirs: []string{"tock+0x0", handle, inner, outer, outermost}},
		{name: "another's stack follows", ours: append([]trace.Frame{ours[0], frame("call_on_irq_stack", 8, false)}, ours[2:]...),
			theirs: []string{tick, "call_on_irq_stack+0x8/0x40"}, want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := comparer{named: func(string) []kernel.Symbol { return nil }, link: !tt.noLink}
			if got := c.sameTrace(tt.ours, tt.theirs); got != tt.want {
				t.Errorf("sameTrace(%v, %v) = %v, want %v", tt.ours, tt.theirs, got, tt.want)
			}
		})
	}
}
