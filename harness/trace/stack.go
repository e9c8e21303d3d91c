package trace

import "fmt"

// Frame is a frame of a kernel stack.
type Frame struct {
	PC     Word   `json:"pc"`
	SP     Word   `json:"sp"`
	Symbol string `json:"symbol,omitempty"` // the function; "" in user mode and if unknown
	Offset Word   `json:"offset"`           // of PC in the function
	Size   Word   `json:"size"`             // of the function
	// Interrupted means that PC is the next instruction, after a trap or interrupt.
	// In other frames except the first, PC is a return address.
	Interrupted bool `json:"interrupted,omitempty"`
	User        bool `json:"user,omitempty"` // the user mode frame at the end
	// File and Line are the position of PC in the kernel's source or, if the previous
	// frame is inlined, that of its call. Without a vmlinux they are "" and 0.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Inlined means that the function is inlined into the next frame's function. PC,
	// SP, Offset and Size are those of the next frame.
	Inlined bool `json:"inlined,omitempty"`
	// Variables are the function's arguments and locals, if they were requested.
	Variables []Variable `json:"variables,omitempty"`
	// Trusted is false for a frame that may be wrong; Doubt has the reason.
	Trusted bool   `json:"trusted"`
	Doubt   string `json:"doubt,omitempty"`
}

// String returns the frame in ftrace's form: "kernel_clone+0xa1/0x440", after a
// question mark if it is not Trusted.
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

// Source returns the frame's source position, such as "kernel/fork.c:2172", or "".
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
	// Text is the value as gdb prints it; for a structure or an array it is the
	// address. Unread says why there is no value.
	Text   string `json:"text,omitempty"`
	Unread string `json:"unread,omitempty"`
}

// StackImage describes a task's kernel stack in memory.
type StackImage struct {
	Task     Task   `json:"task"`
	Role     string `json:"role"`
	Bottom   Word   `json:"bottom"` // lowest address
	Top      Word   `json:"top"`    // first address above the stack
	SP       Word   `json:"sp"`     // the task's stack pointer, or its saved one if it is not running
	ThreadSP Word   `json:"thread_sp"`
	Magic    Word   `json:"magic"` // the word at Bottom
	User     []Slot `json:"user,omitempty"`
	// Switch are the registers that __switch_to saved. For the running task they
	// are those of its last switch.
	Switch []Slot `json:"switch,omitempty"`
	// Unread has the parts that could not be read, with the reasons.
	Unread map[string]string `json:"unread,omitempty"`
}

// Slot is a word of memory with a name.
type Slot struct {
	Name    string `json:"name"` // the kernel's member
	Address Word   `json:"address"`
	Value   Word   `json:"value"`
}
