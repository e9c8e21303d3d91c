package words

import (
	"fmt"
	"strings"

	"kernellab/harness/trace"
)

// Birth says how a new task came to its first instruction, as the kernel stack shows it
// at that stop.
type Birth struct {
	Symbol  string     // of the first instruction
	PC, SP  trace.Word // registers
	Top     trace.Word // first address above the stack
	Saved   trace.Word // thread.sp
	Return  trace.Slot // where the switch found the address of the first instruction
	Popped  bool       // Return is in a frame on the stack, and not in the task_struct
	User    int        // bytes of the saved user registers, at SP
	Parents string     // the point at which the parent's registers were recorded, "" for none
	Differ  []string   // the registers that differ from those
	Zero    string     // the register that holds a system call's result, "" if that is not 0
}

// String explains why the task starts where it does.
func (b Birth) String() string {
	var s strings.Builder
	at := b.Return.Value.String()
	if b.Return.Value == b.PC && b.Symbol != "" {
		at += " (" + b.Symbol + ")"
	}
	switch {
	case b.Return.Name == "":
	case b.Popped:
		fmt.Fprintf(&s, "copy_thread built a frame at %s on the child's new stack, with %s as its return address at %s, and stored the frame's address in thread.sp. "+
			"When the scheduler chose the child, __switch_to_asm loaded thread.sp and popped the saved registers, and __switch_to popped the return address: "+
			"the stack pointer rose by %d bytes to %s, and the child is at %s. ", b.Saved, at, b.Return.Address, b.SP-b.Saved, b.SP, b.PC)
	default:
		fmt.Fprintf(&s, "copy_thread wrote %s to thread.ra at %s in the child's task_struct, and %s to thread.sp. "+
			"When the scheduler chose the child, __switch_to loaded both and returned: the child is at %s with its stack pointer at %s. ",
			at, b.Return.Address, b.Saved, b.PC, b.SP)
	}
	fmt.Fprintf(&s, "The %d bytes from there to the top of the stack ", b.Top-b.SP)
	if rest := int(b.Top-b.SP) - b.User; rest == 0 {
		s.WriteString("are the saved user registers and nothing else. ")
	} else {
		fmt.Fprintf(&s, "hold the saved user registers in %d bytes, and above them %d bytes that this kernel reserves. ", b.User, rest)
	}
	switch {
	case b.Parents == "":
	case len(b.Differ) == 0:
		fmt.Fprintf(&s, "They are equal to the parent's at %s. ", b.Parents)
	default:
		fmt.Fprintf(&s, "They are equal to the parent's at %s but for %s. ", b.Parents, and(b.Differ))
	}
	if b.Zero != "" {
		fmt.Fprintf(&s, "The 0 in %s is what fork returns in the child. ", b.Zero)
	}
	s.WriteString("The child has nothing to return to but user mode.")
	return s.String()
}

// and joins words: "ax, sp and ip".
func and(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}
