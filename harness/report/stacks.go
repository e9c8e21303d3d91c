package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// drawing is a picture of the kernel stacks of a parent and of its child, which is at
// its first instruction.
type drawing struct {
	*page
	words.Pair
}

// stacks draws the kernel stacks of a step side by side, from the top down to the stack
// pointer, and explains why the child starts where it does. before are the steps before
// it: the parent's registers are those of the last of them that recorded them.
func (p *page) stacks(machine string, s verdict.Step, before []verdict.Step) {
	d := drawing{p, words.NewPair(machine, s, before)}
	birth := d.Birth(s)
	p.line("")
	d.row(" ", "", d.title(d.Parent), d.title(d.Child), "")
	d.row(" ", "stack top", d.Parent.Top.String(), d.Child.Top.String(), "")
	if d.At != "" {
		d.heading(fmt.Sprintf("struct pt_regs, the parent's at %s", plain(d.At)))
	} else {
		d.heading("struct pt_regs")
	}
	d.slots(d.Copied, d.Child.User, d.Result, "← what fork returns", true)
	d.row(" ", "below them", d.used(d.Parent.User, d.Parent.ThreadSP), d.used(d.Child.User, d.Child.SP), "calls (the parent's at its last switch)")
	if birth.Popped {
		d.heading("the frame that a switch to the task pops")
	} else {
		d.heading("thread_struct: what a switch to the task loads")
	}
	if len(d.Child.Switch) > 0 {
		d.slots(rest(d.Parent.Switch), rest(d.Child.Switch), birth.Return.Name, "← where it resumes", birth.Popped)
	}
	d.row(" ", "thread.sp", d.Parent.ThreadSP.String(), d.Child.ThreadSP.String(), "the stack pointer that a switch loads")
	d.row(" ", "sp", "", d.Child.SP.String(), "the child's now")
	d.row(" ", "⋮", "", "", "")
	d.row(" ", "stack end", d.Parent.Bottom.String(), d.Child.Bottom.String(), "")
	d.row(" ", "word there", words.Magic(d.Parent.Magic), words.Magic(d.Child.Magic), "")
	for _, im := range s.Stacks {
		for _, what := range slices.Sorted(maps.Keys(im.Unread)) {
			p.text("", stepIndent, p.warn, plain(fmt.Sprintf("%s: %s could not be read: %s", im.Role, what, im.Unread[what])))
		}
	}
	p.line("")
	p.text("", stepIndent, p.value, plain(birth.String()))
}

func (d drawing) title(im trace.StackImage) string {
	return fmt.Sprintf("%s %d[%s]", im.Role, im.Task.PID, im.Task.Comm)
}

// rest returns the slots after thread.sp, which has its own line.
func rest(slots []trace.Slot) []trace.Slot {
	if len(slots) == 0 {
		return nil
	}
	return slots[1:]
}

// used returns the size of the stack between its pointer and the user registers.
func (d drawing) used(user []trace.Slot, sp trace.Word) string {
	switch {
	case len(user) == 0 || sp == 0 || user[0].Address < sp:
		return "?"
	case user[0].Address == sp:
		return "nothing"
	}
	return fmt.Sprintf("%d bytes", user[0].Address-sp)
}

func (d drawing) heading(text string) {
	width := min(64, d.width-stepIndent)
	d.text("", stepIndent, d.dim, "── "+text+" "+strings.Repeat("─", max(0, width-4-utf8.RuneCountInString(text))))
}

// row writes one line: a mark, a name and a value for each stack.
func (d drawing) row(mark, name, parent, child, note string) {
	line := fmt.Sprintf("%s%s %s  %s  %s", strings.Repeat(" ", stepIndent-2), mark, pad(plain(name), 11), pad(plain(parent), 19), plain(child))
	if note != "" && utf8.RuneCountInString(line)+2+utf8.RuneCountInString(note) <= d.width {
		line += "  " + d.dim.Render(note)
	}
	d.line("%s", line)
}

// slots writes the words of both stacks side by side that differ, and counts the others.
// The one called important has a note. With down it starts at the highest address.
func (d drawing) slots(parent, child []trace.Slot, important, note string, down bool) {
	order := slices.Clone(child)
	if down {
		slices.Reverse(order)
	}
	equal := 0
	for _, c := range order {
		theirs, ok := words.Slot(parent, c.Name)
		if ok && theirs == c.Value {
			equal++
			continue
		}
		left := "?"
		if ok {
			left = d.value(c.Name, theirs)
		}
		if c.Name != important {
			d.row("≠", c.Name, left, d.value(c.Name, c.Value), "")
		} else {
			d.row("≠", c.Name, left, d.value(c.Name, c.Value), note)
		}
	}
	if equal > 0 {
		d.row("=", fmt.Sprintf("%d equal", equal), "", "", "")
	}
}

// value writes a register.
func (d drawing) value(name string, w trace.Word) string { return words.Register(w, name == d.Result) }
