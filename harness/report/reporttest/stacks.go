package reporttest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/trace"
)

var (
	popped = regexp.MustCompile(`copy_thread built a frame at (0x[0-9a-f]+) on the child's new stack, with (0x[0-9a-f]+) \(([a-z_0-9.]+)\) as its return address at (0x[0-9a-f]+), and stored the frame's address in thread\.sp\. ` +
		`When the scheduler chose the child, __switch_to_asm loaded thread\.sp and popped the saved registers, and __switch_to popped the return address: the stack pointer rose by ([0-9]+) bytes to (0x[0-9a-f]+), and the child is at (0x[0-9a-f]+)\. `)
	loaded = regexp.MustCompile(`copy_thread wrote (0x[0-9a-f]+) \(([a-z_0-9.]+)\) to thread\.ra at (0x[0-9a-f]+) in the child's task_struct, and (0x[0-9a-f]+) to thread\.sp\. ` +
		`When the scheduler chose the child, __switch_to loaded both and returned: the child is at (0x[0-9a-f]+) with its stack pointer at (0x[0-9a-f]+)\. `)
	above = regexp.MustCompile(`The ([0-9]+) bytes from there to the top of the stack (?:are the saved user registers and nothing else|hold the saved user registers in ([0-9]+) bytes, and above them ([0-9]+) bytes that this kernel reserves)\. ` +
		`They are equal to the parent's at ([a-z_0-9]+)(?: but for ([a-z_0-9, ]+))?\. ` +
		`(?:The 0 in ([a-z0-9]+) is what fork returns in the child\. )?The child has nothing to return to but user mode\.`)
)

// copied returns the parent's stack as a stop before e recorded it last, and the stop.
func (c *checker) copied(e trace.Event) (at string, im trace.StackImage) {
	for _, b := range c.stops() {
		if b.Seq >= e.Seq || b.Round != e.Round {
			continue
		}
		for _, s := range b.Stacks {
			if s.Role == "parent" && s.Task.Address == b.Task.Address {
				at, im = b.Point, s
			}
		}
	}
	return at, im
}

func (c *checker) same(what, got string, want trace.Word) {
	if v, err := strconv.ParseUint(got, 0, 64); err != nil || trace.Word(v) != want {
		c.errorf("%s is %s, and the trace has %s", what, got, want)
	}
}

func (c *checker) number(what, got string, want int) {
	if got != strconv.Itoa(want) {
		c.errorf("%s is %s, and the trace has %d", what, got, want)
	}
}

// birth checks the sentences about a child at its first instruction.
func (c *checker) birth(e trace.Event) {
	h, child := c.trace.Header, e.Stacks[1]
	pc, sp := e.Registers[h.Roles["pc"]], e.Registers[h.Roles["sp"]]
	if child.Task != *e.Task || child.Role != e.Role {
		c.errorf("the child's stack is that of %+v, and the trace's stop of %+v", child.Task, *e.Task)
	}
	symbol := func(got string) {
		if got != e.Symbol {
			c.errorf("the child is in %s, and the trace has %s", got, e.Symbol)
		}
	}
	if h.SwitchFrame > 0 {
		m := popped.FindStringSubmatch(c.text)
		if m == nil {
			c.errorf("nothing is said of the frame on the child's stack")
			return
		}
		c.same("the frame", m[1], sp-trace.Word(h.SwitchFrame))
		c.same("the return address", m[2], pc)
		symbol(m[3])
		c.same("the place of the return address", m[4], sp-8)
		c.number("the rise", m[5], h.SwitchFrame)
		c.same("the stack pointer", m[6], sp)
		c.same("the child's place", m[7], pc)
	} else {
		m := loaded.FindStringSubmatch(c.text)
		if m == nil {
			c.errorf("nothing is said of what the switch loads")
			return
		}
		c.same("thread.ra", m[1], pc)
		symbol(m[2])
		if f, ok := c.trace.Fields()["task_struct.thread.ra"]; ok {
			c.same("the place of thread.ra", m[3], e.Task.Address+trace.Word(f.Offset))
		} else {
			c.errorf("the trace does not say where thread.ra is")
		}
		c.same("thread.sp", m[4], sp)
		c.same("the child's place", m[5], pc)
		c.same("the stack pointer", m[6], sp)
	}
	m := above.FindStringSubmatch(c.text)
	if m == nil {
		c.errorf("nothing is said of the saved user registers")
		return
	}
	c.above(e, m)
}

// above checks what is said of the saved user registers.
func (c *checker) above(e trace.Event, m []string) {
	h, child := c.trace.Header, e.Stacks[1]
	sp := e.Registers[h.Roles["sp"]]
	size := 8 * len(child.User)
	c.number("what is above the stack pointer", m[1], h.Sizes["stack_top"])
	c.number("the stack's rest", m[1], int(child.Top-sp))
	if rest := h.Sizes["stack_top"] - size; rest > 0 || m[2] != "" {
		c.number("the user registers' size", m[2], size)
		c.number("what is reserved", m[3], rest)
	}
	if child.User[0].Address != sp || child.User[len(child.User)-1].Address != sp+trace.Word(size)-8 {
		c.errorf("the user registers are not at the stack pointer")
	}
	at, parent := c.copied(e)
	if at != m[4] {
		c.errorf("the parent's registers are those at %q, and the trace has them at %q", m[4], at)
	}
	var differ []string
	for i, s := range child.User {
		if p := parent.User[i]; p.Name != s.Name || p.Value != s.Value {
			differ = append(differ, s.Name)
		}
	}
	told := strings.FieldsFunc(strings.ReplaceAll(m[5], " and ", ","), func(r rune) bool { return r == ',' || r == ' ' })
	if !slices.Equal(told, differ) {
		c.errorf("the registers that differ are %q, and the trace has %q", told, differ)
	}
	// The return register: rax is ax in struct pt_regs, a0 is a0.
	ret := h.Roles["ret"]
	if h.Arch == "x86_64" {
		ret = strings.TrimPrefix(ret, "r")
	}
	i := slices.IndexFunc(child.User, func(s trace.Slot) bool { return s.Name == ret })
	switch {
	case i < 0:
		c.errorf("the trace lacks the register %s", ret)
	case child.User[i].Value == 0 && m[6] != ret || child.User[i].Value != 0 && m[6] != "":
		c.errorf("fork returns the 0 in %q, and the trace has %s in %s", m[6], child.User[i].Value, ret)
	}
	if read, ok := e.Reads["user_ret"]; ok && read != child.User[max(i, 0)].Value {
		c.errorf("%s is %s, and was read as %s", ret, child.User[max(i, 0)].Value, read)
	}
}

// picture checks the picture of the two stacks.
func (c *checker) picture(e trace.Event) {
	parent, child := e.Stacks[0], e.Stacks[1]
	_, copied := c.copied(e)
	hex := func(w trace.Word) string {
		if w == 0 {
			return "0"
		}
		return w.String()
	}
	want := []string{
		fmt.Sprintf("parent %d[%s] child %d[%s]", parent.Task.PID, parent.Task.Comm, child.Task.PID, child.Task.Comm),
		fmt.Sprintf("stack top %s %s", parent.Top, child.Top),
		fmt.Sprintf("thread.sp %s %s", parent.ThreadSP, child.ThreadSP),
		fmt.Sprintf("stack end %s %s", parent.Bottom, child.Bottom),
		fmt.Sprintf("below them %d bytes nothing", parent.User[0].Address-parent.ThreadSP),
		"sp " + child.SP.String() + " the child's now",
	}
	if parent.Magic == 0x57ac6e9d && child.Magic == 0x57ac6e9d {
		want = append(want, "word there STACK_END_MAGIC STACK_END_MAGIC")
	}
	for _, pair := range [][2][]trace.Slot{{copied.User, child.User}, {parent.Switch[1:], child.Switch[1:]}} {
		equal := 0
		for i, s := range pair[1] {
			p := pair[0][i]
			switch {
			case p.Value == s.Value:
				equal++
			case -int64(p.Value) == 38 && s.Value == 0: // ENOSYS, and what fork returns
				want = append(want, fmt.Sprintf("≠ %s -ENOSYS 0", s.Name))
			default:
				want = append(want, fmt.Sprintf("≠ %s %s %s", s.Name, hex(p.Value), hex(s.Value)))
			}
		}
		if equal > 0 {
			want = append(want, fmt.Sprintf("= %d equal", equal))
		}
	}
	for _, w := range want {
		if !strings.Contains(c.text, w) {
			c.errorf("the picture lacks %q", w)
		}
	}
	if n, all := strings.Count(c.text, "≠ "), slices.DeleteFunc(want, func(w string) bool { return !strings.HasPrefix(w, "≠") }); n != len(all) {
		c.errorf("the picture has %d words that differ, and the trace has %d", n, len(all))
	}
}
