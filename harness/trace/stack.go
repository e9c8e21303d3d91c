package trace

import "fmt"

// Frame is one function's activation on a kernel stack.
type Frame struct {
	PC     Word   `json:"pc"`
	SP     Word   `json:"sp"`
	Symbol string `json:"symbol,omitempty"` // the function; "" in user mode and where none is known
	Offset Word   `json:"offset"`           // of PC in it
	Size   Word   `json:"size"`             // of it
	// Interrupted: PC is the next instruction of what a trap cut short. Of other
	// frames but the first it is a return address.
	Interrupted bool `json:"interrupted,omitempty"`
	User        bool `json:"user,omitempty"` // the user registers at the bottom
	// File and Line are where PC is in the kernel's source, of a frame that others
	// are inlined into where the call is. They need a vmlinux: "" and 0 without.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Inlined: the function is inlined into that of the next frame, whose PC and
	// SP these are. Offset and Size are the next frame's too.
	Inlined bool `json:"inlined,omitempty"`
	// Variables are the function's arguments and locals, where they were asked for.
	Variables []Variable `json:"variables,omitempty"`
	// Trusted is false for a frame that may not be one; Doubt says why.
	Trusted bool   `json:"trusted"`
	Doubt   string `json:"doubt,omitempty"`
}

// String is the frame in ftrace's form: "kernel_clone+0xa1/0x440", with a
// question mark where it is not to be trusted.
func (f Frame) String() string {
	s := fmt.Sprintf("%s+%s/%s", f.Symbol, f.Offset, f.Size)
	switch {
	case f.Inlined:
		s = f.Symbol + " (inlined)"
	case f.User:
		s = "user " + f.PC.String()
	case f.Symbol == "" && f.PC != 0:
		s = f.PC.String()
	case f.Symbol == "":
		s = ""
	}
	if f.Trusted {
		return s
	}
	if s != "" {
		s += " "
	}
	return "? " + s + "(" + f.Doubt + ")"
}

// Source is where the frame is in the source, "kernel/fork.c:2172", or "".
func (f Frame) Source() string {
	if f.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

// Variable is an argument or a local of a function, by the debug information.
type Variable struct {
	Name string `json:"name"`
	Type string `json:"type"` // C spelling
	Arg  bool   `json:"arg,omitempty"`
	// Text is the value as gdb shows it; of a structure or an array it says where
	// it lies. Unread says why there is none.
	Text   string `json:"text,omitempty"`
	Unread string `json:"unread,omitempty"`
}

// StackImage is a task's kernel stack as it lies in memory.
type StackImage struct {
	Task     Task   `json:"task"`
	Role     string `json:"role"`
	Bottom   Word   `json:"bottom"` // lowest address
	Top      Word   `json:"top"`    // first address above it
	SP       Word   `json:"sp"`     // where the task's stack pointer is, or was when it left its CPU
	ThreadSP Word   `json:"thread_sp"`
	Magic    Word   `json:"magic"` // the word at Bottom
	User     []Slot `json:"user,omitempty"`
	// Switch is what __switch_to left. Of the running task it is what is still
	// to be read there.
	Switch []Slot `json:"switch,omitempty"`
	// Unread says of a part that could not be read why.
	Unread map[string]string `json:"unread,omitempty"`
}

// Slot is a word of memory with a name.
type Slot struct {
	Name    string `json:"name"` // the kernel's member
	Address Word   `json:"address"`
	Value   Word   `json:"value"`
}
