package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"kernellab/harness/arch"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// stackEndMagic is what the kernel writes to the end of a task's stack
// (include/uapi/linux/magic.h).
const stackEndMagic trace.Word = 0x57ac6e9d

// drawing is a picture of the kernel stacks of a parent and of its child, which is at
// its first instruction.
type drawing struct {
	*page
	parent, child trace.StackImage
	// copied has the parent's user registers when they were recorded before the child
	// ran, at the point at. Without one they are those in parent, where the parent may
	// have gone on since.
	copied []trace.Slot
	at     string
	result string // member of struct pt_regs that holds a system call's result
}

// stacks draws the kernel stacks of a step side by side, from the top down to the stack
// pointer, and explains why the child starts where it does. before are the steps before
// it: the parent's registers are those of the last of them that recorded them.
func (p *page) stacks(machine string, s verdict.Step, before []verdict.Step) {
	d := drawing{page: p, parent: s.Stacks[0], child: s.Stacks[1], copied: s.Stacks[0].User}
	if a, err := arch.Lookup(machine); err == nil {
		d.result = a.Syscall.User["ret"]
	}
	for _, b := range before {
		i := slices.IndexFunc(b.Stacks, func(im trace.StackImage) bool {
			return b.Round == s.Round && im.Task.Address == d.parent.Task.Address && len(im.User) > 0
		})
		if i >= 0 {
			d.copied, d.at = b.Stacks[i].User, b.Point
		}
	}
	birth := d.birth(s)
	p.line("")
	d.row(" ", "", d.title(d.parent), d.title(d.child), "")
	d.row(" ", "stack top", d.parent.Top.String(), d.child.Top.String(), "")
	if d.at != "" {
		d.heading(fmt.Sprintf("struct pt_regs, the parent's at %s", plain(d.at)))
	} else {
		d.heading("struct pt_regs")
	}
	d.slots(d.copied, d.child.User, d.result, "← what fork returns", true)
	d.row(" ", "below them", d.used(d.parent.User, d.parent.ThreadSP), d.used(d.child.User, d.child.SP), "calls (the parent's at its last switch)")
	if birth.Popped {
		d.heading("the frame that a switch to the task pops")
	} else {
		d.heading("thread_struct: what a switch to the task loads")
	}
	if len(d.child.Switch) > 0 {
		d.slots(rest(d.parent.Switch), rest(d.child.Switch), birth.Return.Name, "← where it resumes", birth.Popped)
	}
	d.row(" ", "thread.sp", d.parent.ThreadSP.String(), d.child.ThreadSP.String(), "the stack pointer that a switch loads")
	d.row(" ", "sp", "", d.child.SP.String(), "the child's now")
	d.row(" ", "⋮", "", "", "")
	d.row(" ", "stack end", d.parent.Bottom.String(), d.child.Bottom.String(), "")
	d.row(" ", "word there", magic(d.parent.Magic), magic(d.child.Magic), "")
	for _, im := range s.Stacks {
		for _, what := range slices.Sorted(maps.Keys(im.Unread)) {
			p.text("", stepIndent, p.warn, plain(fmt.Sprintf("%s: %s could not be read: %s", im.Role, what, im.Unread[what])))
		}
	}
	p.line("")
	p.text("", stepIndent, p.value, plain(birth.String()))
}

// birth returns the facts of the picture.
func (d drawing) birth(s verdict.Step) words.Birth {
	c := d.child
	b := words.Birth{Symbol: s.Symbol, PC: s.Address, SP: c.SP, Top: c.Top, Saved: c.ThreadSP, User: 8 * len(c.User), Parents: d.at}
	if i := slices.IndexFunc(c.Switch, func(s trace.Slot) bool { return s.Name == "ret_addr" || s.Name == "thread.ra" }); i >= 0 {
		b.Return = c.Switch[i]
		b.Popped = b.Return.Address >= c.Bottom && b.Return.Address < c.Top
	}
	for _, r := range c.User {
		if r.Name == d.result && r.Value == 0 {
			b.Zero = r.Name
		}
		if value, ok := slot(d.copied, r.Name); !ok || value != r.Value {
			b.Differ = append(b.Differ, r.Name)
		}
	}
	return b
}

func (d drawing) title(im trace.StackImage) string {
	return fmt.Sprintf("%s %d[%s]", im.Role, im.Task.PID, im.Task.Comm)
}

// slot returns the value of the slot with a name.
func slot(slots []trace.Slot, name string) (trace.Word, bool) {
	i := slices.IndexFunc(slots, func(s trace.Slot) bool { return s.Name == name })
	if i < 0 {
		return 0, false
	}
	return slots[i].Value, true
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

// magic returns the word at the end of a stack.
func magic(w trace.Word) string {
	if w == stackEndMagic {
		return "STACK_END_MAGIC"
	}
	return hex(w)
}

// hex returns a register's value; 0 is the same in every notation.
func hex(w trace.Word) string {
	if w == 0 {
		return "0"
	}
	return w.String()
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
		theirs, ok := slot(parent, c.Name)
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

// value writes a register: an error number by its name where it is a system call's
// result.
func (d drawing) value(name string, w trace.Word) string {
	if n := -int64(w); name == d.result && n > 0 && n < 4096 {
		if e := unix.ErrnoName(syscall.Errno(n)); e != "" {
			return "-" + e
		}
	}
	return hex(w)
}
