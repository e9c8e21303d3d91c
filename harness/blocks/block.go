package blocks

// Block is a piece of code that ran.
type Block struct {
	PC   uint64 // of its first instruction
	Mode Mode
	// N is how many instructions of Code ran, from the first on.
	N int
	// Code is nil in a block of no instructions.
	Code *Code
	// Again says that the block is another round of the instruction with a rep prefix that
	// the block before ended with.
	Again bool
	// Next is where the guest went on: the address of the next block, or the one that an
	// interrupt or exception will return to.
	Next uint64
	// Interrupt is what the processor took after the block, nil if it went on to Next.
	Interrupt *Interrupt
}

// Ends returns what the last instruction that ran does. It is Plain if the block ended
// before its last instruction.
func (b Block) Ends() Kind {
	if b.Code == nil || b.N < len(b.Code.At) {
		return Plain
	}
	return b.Code.Kind
}

// Mode is the privilege that a block runs with.
type Mode uint8

const (
	Kernel   Mode = iota
	User          // a program
	Firmware      // riscv64's machine mode
)

// Code is a piece of code as QEMU translated it.
type Code struct {
	At   []uint64 // addresses of the instructions
	End  uint64   // address after the last one
	Text []string // the instructions as QEMU disassembles them
	// Kind is what the last instruction does, and Target where it goes, if that is in the
	// instruction.
	Kind   Kind
	Target uint64
}

// Unread is the Text of an instruction that is neither in the log nor in memory that
// could be read. It counts, and what it does is not known. It can only be on a page that had
// a breakpoint before the log was switched on, and has one again.
const Unread = "?"

// Kind is what an instruction does to the flow of control.
type Kind uint8

const (
	Plain    Kind = iota // none of the following
	Jump                 // to Target
	Branch               // to Target or to the next instruction
	JumpTo               // to an address that is not in the instruction
	Call                 // of the function at Target
	CallTo               // of a function whose address is not in the instruction
	Return               // of a function
	Trap                 // into the kernel or the firmware: a system call, a breakpoint
	TrapEnd              // return from an interrupt, an exception or a system call
	Repeated             // with a rep prefix: QEMU runs each round as a block
)

// Interrupt is an interrupt or exception.
type Interrupt struct {
	// Device means that a device or a timer interrupted. Otherwise the code itself did,
	// by a fault or a trap.
	Device bool
	// Cause is x86_64's vector, or the cause of the privileged specification of RISC-V
	// without its top bit.
	Cause uint64
	// SP is the stack pointer at that moment, 0 on riscv64, where the log does not say.
	SP uint64
	// Name is QEMU's name of the cause, "" on x86_64.
	Name string
}
