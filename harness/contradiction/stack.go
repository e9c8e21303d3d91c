package contradiction

import (
	"fmt"

	"kernellab/harness/trace"
)

// function is what frames say of a function.
type function struct {
	symbol string
	size   trace.Word
}

// frames checks a backtrace.
func (c *checker) frames(e *trace.Event, p trace.Point) {
	if len(e.Stack) == 0 {
		return
	}
	first := e.Stack[0]
	if len(e.Stack) == 1 && !first.Trusted && first.PC == 0 {
		return // it has no stack to unwind
	}
	sp := c.arch.Registers.SP
	switch {
	case first.PC != e.Address:
		c.wrong("stack[0].pc", "%s is not the address of the stop, %s", first.PC, e.Address)
	case first.SP != e.Registers[sp]:
		c.wrong("stack[0].sp", "%s is not what %s holds, %s", first.SP, sp, e.Registers[sp])
	}
	down := 0
	named := false // the address of the stop has been compared with its function
	for i, f := range e.Stack {
		switch last := i == len(e.Stack)-1; {
		case f.Trusted != (f.Doubt == ""):
			c.wrong(index("stack", i, "trusted"), "%t, and the doubt is %q", f.Trusted, f.Doubt)
		case (f.User || !f.Trusted) && !last:
			c.wrong(index("stack", i, "pc"), "there is no caller beyond it")
		case !f.Trusted:
			continue
		case f.User != !kernelHalf(f.PC):
			c.wrong(index("stack", i, "pc"), "%s in user mode is %t", f.PC, f.User)
		case f.User && (f.Symbol != "" || f.Offset != 0 || f.Size != 0 || !f.Interrupted):
			c.wrong(index("stack", i, "symbol"), "the frame of the user's registers has no function")
		case f.User, f.Inlined:
			continue
		case f.Symbol == "":
			c.wrong(index("stack", i, "symbol"), "a function without a name")
		case f.Offset > f.Size || f.Interrupted && f.Offset == f.Size:
			c.wrong(index("stack", i, "offset"), "%s is beyond the function's %s bytes", f.Offset, f.Size)
		case i == 0 && !f.Interrupted:
			c.wrong(index("stack", i, "interrupted"), "the innermost function has called none")
		}
		if i > 0 && f.SP < e.Stack[i-1].SP {
			down++ // an interrupt's stack may lie above the task's
		}
		if down > 1 {
			c.wrong(index("stack", i, "sp"), "%s is below its callee's, %s", f.SP, e.Stack[i-1].SP)
		}
		c.function(index("stack", i, "symbol"), f)
		if !named {
			named = true
			c.stopsIn(e, p, f)
		}
	}
	if c.err == nil {
		c.bottom(e, p)
	}
}

// stopsIn checks that the innermost function that is called is the one of the stop.
func (c *checker) stopsIn(e *trace.Event, p trace.Point, f trace.Frame) {
	switch at := fmt.Sprintf("%s+%s", f.Symbol, f.Offset); {
	case p.Address == 0 && e.Symbol != at:
		c.wrong("symbol", "%q is not where the stack has the stop, %q", e.Symbol, at)
	case p.Address != 0 && p.Inlined == "" && f.Offset != 0:
		c.wrong("stack[0].offset", "%s, and the stop is at a function's first instruction", f.Offset)
	}
}

// function checks that a frame agrees with all others on where functions begin and end.
func (c *checker) function(field string, f trace.Frame) {
	start := f.PC - f.Offset
	for other, g := range c.functions {
		switch {
		case other == start && (g.symbol != f.Symbol || g.size != f.Size):
			c.wrong(field, "%s of %s bytes begins at %s, where %s of %s bytes does", f.Symbol, f.Size, start, g.symbol, g.size)
		case other != start && start < other+g.size && other < start+f.Size:
			c.wrong(field, "%s, from %s on, overlaps %s, from %s on", f.Symbol, start, g.symbol, other)
		}
	}
	c.functions[start] = function{f.Symbol, f.Size}
}

// user returns the frame with the registers of the program, if the unwinder came to it,
// and the kernel's outermost frame.
func user(e *trace.Event) (program, outermost *trace.Frame) {
	for i := range e.Stack {
		switch f := &e.Stack[i]; {
		case !f.Trusted:
			return nil, nil
		case f.User:
			return f, outermost
		default:
			outermost = f
		}
	}
	return nil, outermost
}

// bottom checks the bottom of a stack: where a system call's registers lie, and whose
// the stack is.
func (c *checker) bottom(e *trace.Event, p trace.Point) {
	program, outermost := user(e)
	if outermost == nil {
		return
	}
	if r := c.arch.Registers.Args[0]; c.syscall(p) && program != nil && e.Registers[r] != outermost.SP {
		c.wrong("registers."+r, "%s is not where the stack has the system call's registers, %s", e.Registers[r], outermost.SP)
	}
	if place(p) == "__switch_to" {
		return // __switch_to_asm has changed the stack on x86_64, and current is the task before
	}
	// The top page of a stack belongs to one task until that is gone.
	const page = 4096
	c.tasks.pages.see(c, "registers."+c.arch.Registers.SP, (outermost.SP-1)/page, key(*e.Task))
}

// images checks kernel stacks as they lie in memory.
func (c *checker) images(e *trace.Event, _ trace.Point) {
	for i, s := range e.Stacks {
		at := func(field string) string { return index("stacks", i, field) }
		running := s.Task.Address == e.Task.Address
		switch {
		case s.Role == "":
			c.wrong(at("role"), "a stack of no task of the lab")
		case s.Role != "current" && c.bound(e.Round, s.Role) != 0 && c.bound(e.Round, s.Role) != s.Task.Address:
			c.wrong(at("task.address"), "%s is not the %s of this round, %s", s.Task.Address, s.Role, c.bound(e.Round, s.Role))
		case running && s.Task != *e.Task:
			c.wrong(at("task"), "%+v is not the running task, %+v", s.Task, *e.Task)
		case len(s.Unread) > 0:
			continue
		case s.Top <= s.Bottom || (s.Top-s.Bottom)&(s.Top-s.Bottom-1) != 0 || s.Bottom%(s.Top-s.Bottom) != 0:
			c.wrong(at("top"), "%s to %s is no kernel stack", s.Bottom, s.Top)
		case running && s.SP != e.Registers[c.arch.Registers.SP]:
			c.wrong(at("sp"), "%s is not what %s holds, %s", s.SP, c.arch.Registers.SP, e.Registers[c.arch.Registers.SP])
		case !running && s.SP != s.ThreadSP && c.header.Machine.CPUs == 1:
			c.wrong(at("sp"), "%s of a task that does not run is not where it was saved, %s", s.SP, s.ThreadSP)
		case s.ThreadSP < s.Bottom || s.ThreadSP > s.Top:
			c.wrong(at("thread_sp"), "%s is not between %s and %s", s.ThreadSP, s.Bottom, s.Top)
		}
		c.identify(at("task"), s.Task)
		c.slots(e, i, s)
	}
}

// slots checks the words on a stack.
func (c *checker) slots(e *trace.Event, i int, s trace.StackImage) {
	program, _ := user(e)
	from := s.Top - trace.Word(c.header.Sizes["stack_top"])
	for j, w := range s.User {
		field := fmt.Sprintf("stacks[%d].user[%d].", i, j)
		f, known := c.fields["pt_regs."+w.Name]
		switch {
		case w.Address < from || w.Address > from+trace.Word(c.header.Sizes["pt_regs"])-8 || w.Address%8 != 0 || j == 0 && w.Address != from:
			c.wrong(field+"address", "%s is not in the user's registers, which begin at %s", w.Address, from)
		case j > 0 && w.Address != s.User[j-1].Address+8:
			c.wrong(field+"address", "%s does not follow %s", w.Address, s.User[j-1].Address)
		case known && w.Address != from+trace.Word(f.Offset):
			c.wrong(field+"name", "%s is at %d in struct pt_regs", w.Name, f.Offset)
		case program == nil || s.Task.Address != e.Task.Address:
		case w.Name == c.arch.Syscall.User["pc"] && w.Value != program.PC:
			c.wrong(field+"value", "%s is not where the stack has the program, %s", w.Value, program.PC)
		case w.Name == c.arch.Syscall.User["sp"] && w.Value != program.SP:
			c.wrong(field+"value", "%s is not where the stack has the program's, %s", w.Value, program.SP)
		}
	}
	for j, w := range s.Switch {
		field := fmt.Sprintf("stacks[%d].switch[%d].", i, j)
		f, known := c.fields["task_struct."+w.Name]
		switch {
		case w.Name == c.arch.Switch.SP && w.Value != s.ThreadSP:
			c.wrong(field+"value", "%s is not the saved stack pointer, %s", w.Value, s.ThreadSP)
		case known && w.Address != s.Task.Address+trace.Word(f.Offset):
			c.wrong(field+"address", "%s is at %d in struct task_struct", w.Name, f.Offset)
		case c.arch.Switch.Frame != "" && j == 1 && w.Address != s.ThreadSP:
			c.wrong(field+"address", "%s is not the saved stack pointer, %s", w.Address, s.ThreadSP)
		case c.arch.Switch.Frame != "" && j > 1 && w.Address != s.Switch[j-1].Address+8:
			c.wrong(field+"address", "%s does not follow %s", w.Address, s.Switch[j-1].Address)
		}
	}
}
