package words

import (
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"kernellab/harness/arch"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Pair is the kernel stacks of a parent and of its child, which is at its first
// instruction.
type Pair struct {
	Parent, Child trace.StackImage
	// Copied has the parent's user registers when they were recorded before the child
	// ran, at the point At. Without one they are those in Parent, where the parent may
	// have gone on since.
	Copied []trace.Slot
	At     string
	Result string // member of struct pt_regs that holds a system call's result
}

// NewPair returns the stacks of a step that has two. before are the steps before it: the
// parent's registers are those of the last of them that recorded them.
func NewPair(machine string, s verdict.Step, before []verdict.Step) Pair {
	p := Pair{Parent: s.Stacks[0], Child: s.Stacks[1], Copied: s.Stacks[0].User, Result: ResultRegister(machine)}
	for _, b := range before {
		i := slices.IndexFunc(b.Stacks, func(im trace.StackImage) bool {
			return b.Round == s.Round && im.Task.Address == p.Parent.Task.Address && len(im.User) > 0
		})
		if i >= 0 {
			p.Copied, p.At = b.Stacks[i].User, b.Point
		}
	}
	return p
}

// ResultRegister returns the member of struct pt_regs that holds a system call's result on an
// architecture, "" for an unknown one.
func ResultRegister(machine string) string {
	a, err := arch.Lookup(machine)
	if err != nil {
		return ""
	}
	return a.Syscall.User["ret"]
}

// Birth returns how the child of the step came to its first instruction.
func (p Pair) Birth(s verdict.Step) Birth {
	c := p.Child
	b := Birth{Symbol: s.Symbol, PC: s.Address, SP: c.SP, Top: c.Top, Saved: c.ThreadSP, User: 8 * len(c.User), Parents: p.At}
	if i := slices.IndexFunc(c.Switch, func(s trace.Slot) bool { return s.Name == "ret_addr" || s.Name == "thread.ra" }); i >= 0 {
		b.Return = c.Switch[i]
		b.Popped = b.Return.Address >= c.Bottom && b.Return.Address < c.Top
	}
	for _, r := range c.User {
		if r.Name == p.Result && r.Value == 0 {
			b.Zero = r.Name
		}
		if value, ok := Slot(p.Copied, r.Name); !ok || value != r.Value {
			b.Differ = append(b.Differ, r.Name)
		}
	}
	return b
}

// Slot returns the value of the slot with a name.
func Slot(slots []trace.Slot, name string) (trace.Word, bool) {
	i := slices.IndexFunc(slots, func(s trace.Slot) bool { return s.Name == name })
	if i < 0 {
		return 0, false
	}
	return slots[i].Value, true
}

// Register writes a user register: an error number by its name where result says that it
// holds a system call's result.
func Register(w trace.Word, result bool) string {
	if n := -int64(w); result && n > 0 && n < 4096 {
		if e := unix.ErrnoName(syscall.Errno(n)); e != "" {
			return "-" + e
		}
	}
	return Hex(w)
}

// Hex returns a register's value; 0 is the same in every notation.
func Hex(w trace.Word) string {
	if w == 0 {
		return "0"
	}
	return w.String()
}

// stackEndMagic is what the kernel writes to the end of a task's stack
// (include/uapi/linux/magic.h).
const stackEndMagic trace.Word = 0x57ac6e9d

// Magic writes the word at the end of a stack.
func Magic(w trace.Word) string {
	if w == stackEndMagic {
		return "STACK_END_MAGIC"
	}
	return Hex(w)
}
