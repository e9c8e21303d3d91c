package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// backtrace writes a step's kernel stack in ftrace's form, or with one function per
// line and its source position.
func (p *page) backtrace(s verdict.Step) {
	if p.verbose && len(s.Sources) == len(s.Stack) && len(s.Stack) > 0 {
		widest := 0
		for _, f := range s.Stack {
			widest = max(widest, utf8.RuneCountInString(plain(f)))
		}
		for i, f := range s.Stack {
			lead := "  "
			if i > 0 {
				lead = "← "
			}
			p.line("%s%s", strings.Repeat(" ", stepIndent), p.dim.Render(strings.TrimRight(lead+pad(plain(f), widest)+"  "+plain(s.Sources[i]), " ")))
		}
		return
	}
	if len(s.Stack) > 0 {
		p.text(strings.Repeat(" ", stepIndent), stepIndent, p.dim, plain(strings.Join(s.Stack, " ← ")))
	}
}

// stacks draws the parent's and the child's kernel stacks side by side, from the
// top down to the stack pointer, and explains why the child starts where it does.
func (p *page) stacks(s verdict.Step) {
	if len(s.Stacks) != 2 {
		return
	}
	d := drawing{page: p, parent: s.Stacks[0], child: s.Stacks[1]}
	p.line("")
	d.row(" ", "", d.title(d.parent), d.title(d.child), "")
	d.row(" ", "stack top", d.parent.Top.String(), d.child.Top.String(), "")
	d.heading("struct pt_regs: the user's registers")
	differ := d.slots(d.parent.User, d.child.User, "", true)
	d.row(" ", "stack used", d.used(d.parent), d.used(d.child), "calls below the registers")
	d.onStack = len(d.child.Switch) > 1 && d.within(d.child.Switch[1])
	if d.onStack {
		d.heading("the frame that __switch_to pops")
	} else {
		d.heading("thread_struct: what __switch_to restores")
	}
	if len(d.child.Switch) > 0 {
		d.slots(rest(d.parent.Switch), rest(d.child.Switch), d.thread(d.child), d.onStack)
	}
	d.row(" ", "thread.sp", d.parent.ThreadSP.String(), d.child.ThreadSP.String(), "the stack pointer that the switch loads")
	d.row(" ", "sp now", d.parent.SP.String(), d.child.SP.String(), "")
	d.row(" ", "⋮", "", "", "")
	d.row(" ", "stack end", d.parent.Bottom.String(), d.child.Bottom.String(), "")
	d.row(" ", "magic there", d.parent.Magic.String(), d.child.Magic.String(), "")
	for _, im := range s.Stacks {
		for _, what := range slices.Sorted(maps.Keys(im.Unread)) {
			p.text("", stepIndent, p.warn, plain(fmt.Sprintf("%s: %s could not be read: %s", im.Role, what, im.Unread[what])))
		}
	}
	p.line("")
	p.text("", stepIndent, p.value, plain(d.why(s, differ)))
}

// drawing is a picture of two stacks.
type drawing struct {
	*page
	parent, child trace.StackImage
	onStack       bool // the switch's frame is on the stack, not in thread_struct
}

func (d drawing) title(im trace.StackImage) string {
	return fmt.Sprintf("%s %d[%s]", im.Role, im.Task.PID, im.Task.Comm)
}

func (d drawing) within(s trace.Slot) bool {
	return s.Address >= d.child.Bottom && s.Address < d.child.Top
}

// rest returns the slots after thread.sp, which has its own line.
func rest(slots []trace.Slot) []trace.Slot {
	if len(slots) == 0 {
		return nil
	}
	return slots[1:]
}

// thread returns the name of the slot with the task's start address.
func (d drawing) thread(im trace.StackImage) string {
	if s, ok := start(im); ok {
		return s.Name
	}
	return ""
}

// start returns the slot with the address at which the task resumes after a switch.
func start(im trace.StackImage) (trace.Slot, bool) {
	i := slices.IndexFunc(im.Switch, func(s trace.Slot) bool { return s.Name == "ret_addr" || s.Name == "thread.ra" })
	if i < 0 {
		return trace.Slot{}, false
	}
	return im.Switch[i], true
}

// used returns the size of the stack between its pointer and the user registers.
func (d drawing) used(im trace.StackImage) string {
	if len(im.User) == 0 || im.SP == 0 || im.User[0].Address < im.SP {
		return "?"
	}
	n := int(im.User[0].Address - im.SP)
	if im.SP == im.ThreadSP && d.child.SP != d.child.ThreadSP {
		n -= int(d.child.SP - d.child.ThreadSP) // its switch frame is still there
	}
	if n == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d bytes", n)
}

func (d drawing) heading(text string) {
	d.line("%s%s", strings.Repeat(" ", stepIndent), d.dim.Render("── "+text+" "+strings.Repeat("─", max(0, 60-utf8.RuneCountInString(text)))))
}

// row writes one line: a mark, a name and a value for each stack.
func (d drawing) row(mark, name, parent, child, note string) {
	line := fmt.Sprintf("%s%s %s  %s  %s", strings.Repeat(" ", stepIndent-2), mark, pad(plain(name), 14), pad(plain(parent), 22), plain(child))
	if note != "" && utf8.RuneCountInString(line)+2+utf8.RuneCountInString(note) <= d.width {
		line += "  " + d.dim.Render(note)
	}
	d.line("%s", line)
}

// slots writes the words of both stacks side by side and returns those that differ.
// With down it starts at the highest address.
func (d drawing) slots(parent, child []trace.Slot, important string, down bool) (differ []trace.Slot) {
	order := slices.Clone(child)
	if down {
		slices.Reverse(order)
	}
	for _, c := range order {
		theirs := "?"
		mark := "≠"
		i := slices.IndexFunc(parent, func(s trace.Slot) bool { return s.Name == c.Name })
		if i >= 0 {
			theirs = parent[i].Value.String()
			if parent[i].Value == c.Value {
				mark = " "
			} else {
				differ = append(differ, c)
			}
		}
		note := ""
		if c.Name == important {
			note = "← where it resumes"
		}
		d.row(mark, c.Name, theirs, c.Value.String(), note)
	}
	return differ
}

// why explains in a few sentences, with the numbers of this run, why the child starts
// where it does.
func (d drawing) why(s verdict.Step, differ []trace.Slot) string {
	var b strings.Builder
	c := d.child
	if at, ok := start(c); ok {
		if d.onStack {
			fmt.Fprintf(&b, "copy_thread built a frame at %s on the child's new stack, with %s (%s) as its return address at %s, and pointed thread.sp at it. "+
				"When the scheduler chose the child, __switch_to loaded thread.sp, popped the frame and returned: the stack pointer rose by %d bytes to %s, and the child is at %s. ",
				c.ThreadSP, at.Value, s.Symbol, at.Address, c.SP-c.ThreadSP, c.SP, s.Address)
		} else {
			fmt.Fprintf(&b, "copy_thread wrote %s (%s) to thread.ra at %s in the child's task_struct, and %s to thread.sp. "+
				"When the scheduler chose the child, __switch_to loaded both and jumped to ra: the child is at %s with its stack pointer at %s. ",
				at.Value, s.Symbol, at.Address, c.ThreadSP, s.Address, c.SP)
		}
	}
	fmt.Fprintf(&b, "The %d bytes from there to the top of the stack are the saved user registers and nothing else, copied from the parent's", c.Top-c.SP)
	var names []string
	zero := ""
	for _, r := range differ {
		names = append(names, r.Name)
		if r.Value == 0 {
			zero = r.Name
		}
	}
	switch {
	case len(names) == 1 && zero != "":
		fmt.Fprintf(&b, ". Only %s differs: its 0 is what fork returns in the child.", zero)
	case zero != "":
		fmt.Fprintf(&b, ". They differ in %s; the 0 in %s is what fork returns in the child.", strings.Join(names, ", "), zero)
	default:
		b.WriteString(".")
	}
	b.WriteString(" So the stack fits the start address, and the child only has to return to user mode.")
	return b.String()
}
