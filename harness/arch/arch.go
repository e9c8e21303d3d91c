// Package arch holds what differs between the architectures a lab runs on, as
// data: how QEMU starts one, what its registers are called in the gdbstub's
// target description, where a system call's arguments lie, and how the running
// task is found.
//
// Other packages use the fields of an Arch instead of comparing its name. These
// compare the name: harness/kernel, which reads and unwinds code, harness/blocks and
// harness/stores, which decode instructions, and those below images, which choose where
// kernels and compilers come from.
//
// Facts about calling conventions follow the System V psABI of each
// architecture; facts about the kernel cite the file they come from.
package arch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Arch describes one architecture.
type Arch struct {
	Name   string // as uname -m prints it: "x86_64", "riscv64"
	GOARCH string // "amd64", "riscv64"
	Debian string // Debian's name of the port: "amd64", "riscv64"
	GDB    string // gdb's "set architecture"
	// GDBWatchesBefore says that gdb takes a watchpoint to stop before the instruction
	// that meets it (set_gdbarch_have_nonsteppable_watchpoint in gdb's riscv-tdep.c).
	GDBWatchesBefore bool

	QEMU QEMU

	// Nops are instructions that only advance the PC. Most functions of a kernel
	// begin with one, which ftrace may replace by a call.
	Nops [][]byte
	// AddPC is another instruction that functions begin with for ftrace.
	AddPC AddPC
	// CallOpcode begins a direct call of five bytes, 0 where there is none.
	CallOpcode byte

	Registers Registers
	Syscall   Syscall
	Current   Current
	Stack     Stack
	Switch    Switch
	Paging    Paging
	Memory    Memory
}

// Called returns the address that the instruction at pc calls, if it is a direct call of
// the kind that ftrace writes to the beginning of a function. code starts with the bytes
// at pc.
func (a Arch) Called(pc uint64, code []byte) (target uint64, ok bool) {
	const size = 5 // the opcode and a distance from the next instruction
	if a.CallOpcode == 0 || len(code) < size || code[0] != a.CallOpcode {
		return 0, false
	}
	return pc + size + uint64(int64(int32(binary.LittleEndian.Uint32(code[1:])))), true
}

// AddPC is a four-byte instruction that sets a register to the instruction's own
// address plus the upper 20 bits of its word, which are signed.
type AddPC struct {
	Register string // "" where the architecture has none
	Low      uint32 // the lower 12 bits of the instruction's word
}

// Skip returns the registers, the PC included, that the instruction at pc would
// change if it is one of Nops or AddPC, and nil for any other instruction. code
// starts with the bytes at pc.
func (a Arch) Skip(pc uint64, code []byte) map[string]uint64 {
	for _, nop := range a.Nops {
		if bytes.HasPrefix(code, nop) {
			return map[string]uint64{a.Registers.PC: pc + uint64(len(nop))}
		}
	}
	if a.AddPC.Register == "" || len(code) < 4 {
		return nil
	}
	if word := binary.LittleEndian.Uint32(code); word&0xfff == a.AddPC.Low {
		upper := int64(int32(word &^ 0xfff))
		return map[string]uint64{a.Registers.PC: pc + 4, a.AddPC.Register: pc + uint64(upper)}
	}
	return nil
}

// QEMU says how to start a machine of this architecture.
type QEMU struct {
	Binary  string // "qemu-system-x86_64"
	Package string // Debian package that contains Binary
	Machine string // -M
	CPU     string // -cpu
	Console string // kernel's name of the first serial port, for console=
	Append  string // more kernel command line
	Devices []string
	// KernelROM: -kernel adds an option ROM to the machine (QEMU's
	// hw/i386/x86.c, linuxboot), so a restored machine needs it too.
	KernelROM bool
	// Shift sets the time that an instruction takes by the guest's clock: 2^Shift ns.
	// Booting 6.1 on x86_64 used the same processor time with 2 to 5 (4.6 to 4.9 s).
	// It used more from 6 on, where the tick comes every few thousand instructions,
	// and with 0 and 1, where delay loops run long. 3 matches a slow real machine.
	Shift int
	// Clock is a clock in the machine's physical memory.
	Clock Clock
	// Timer is the number of the control and status register that holds the time of
	// the next timer interrupt, where it has to be written again after a restore: QEMU
	// restores its value without arming its own timer. 0 means none.
	Timer int
	// WatchBefore means that a watchpoint stops the guest before the instruction that
	// writes, and not after it (gdb_stop_before_watchpoint in target/riscv/cpu.c).
	WatchBefore bool
	// Flags is the number of a control and status register that QEMU does not save,
	// and Status that of a register which writing Flags changes. 0 means none.
	Flags, Status int
}

// Clock is a 64-bit counter at a physical address. Reading it does not disturb the
// guest.
type Clock struct {
	Addr uint64
	Tick int // ns per count
}

// Registers names registers by their purpose. The names are those of the gdbstub's
// target description.
type Registers struct {
	PC, SP string
	Args   []string // integer arguments of a C function, in order
	Return string   // value returned by a C function
	Link   string   // return address register; "" when the address is on the stack
	Record []string // registers that a trace records at every stop
}

// Syscall says where struct pt_regs holds a system call's arguments, for entries
// whose only parameter is a pt_regs (ARCH_HAS_SYSCALL_WRAPPER).
type Syscall struct {
	Prefix string            // of the entry's symbol, before sys_NAME
	Args   []string          // members of struct pt_regs, first argument first
	User   map[string]string // role → member of struct pt_regs: "pc", "sp", "ret"
}

// Current says how to find the address of the running task at a stop.
type Current struct {
	// PerCPU lists per-CPU variables that may hold the task pointer. The first one
	// that the kernel has is read, at the base in register Kernel or User plus the
	// variable's address.
	PerCPU []string
	// Kernel and User name the register to use in kernel and in user mode. It holds
	// the per-CPU base if PerCPU is set, and the task pointer itself otherwise. A
	// kernel address has its top bit set on every architecture here.
	Kernel, User string
	// Early means that while Kernel holds 0, User still holds the task (riscv64 trap
	// entry).
	Early bool
	// Preempt lists per-CPU variables that may hold preempt_count, as VARIABLE or
	// TYPE.member. It is empty where preempt_count is in thread_info.
	Preempt []string
}

// Stack is the layout of a new task's kernel stack.
type Stack struct {
	// Top lists types that may lie at the very top of a user task's stack. The first
	// one that the kernel's BTF has applies.
	Top []string
	// SwitchFrame is the number of bytes that __switch_to pops between the saved
	// stack pointer and the child's first instruction.
	SwitchFrame int
	// ReturnSlot means that a ret instruction popped the address of the child's first
	// instruction, which can still be read at [sp-8].
	ReturnSlot bool
}

// Switch says where __switch_to saves the registers of a task that is not running.
type Switch struct {
	SP string // member of task_struct: the saved stack pointer
	// Frame is the structure at the saved stack pointer that the switch pops. It is
	// "" where task_struct holds all registers; PC and Saved are members of
	// task_struct then.
	Frame string
	PC    string // member that holds the address at which the task resumes
	// Saved lists the other registers.
	Saved []Saved
}

// Saved is a register, by the gdbstub's name, and the member that holds it, as
// MEMBER or MEMBER[INDEX].
type Saved struct{ Register, Member string }

// Paging describes a process's page tables, which start at mm_struct.pgd. Each table
// has 512 entries of 8 bytes.
type Paging struct {
	// Direct is the kernel variable (VARIABLE, or VARIABLE:TYPE.member) to add to a
	// physical address to get its address in the direct map.
	Direct string
	Levels int      // of the smallest mode
	Deeper []string // one-byte variables, each of which adds a level when set
	// Present, Leaf and Frame are masks of an entry. An entry maps a page when any bit
	// of Leaf is set, and always at the last level. Frame are the bits of the page's
	// address, after a shift left by FrameShift.
	Present, Leaf, Frame uint64
	FrameShift           uint
	// Writable, User, Accessed and Dirty are the bits of an entry that allow writing,
	// allow user mode to use the page, and record that it was used or written.
	Writable, User, Accessed, Dirty uint64
}

// Memory says how to read kernel memory while the CPU is in user mode. The gdbstub
// translates addresses with the current page tables and privilege, so Register is
// changed for the read (the Clear bits off, then the Set bits on) and restored.
type Memory struct {
	Register   string
	Clear, Set uint64
}

var x86_64 = Arch{
	Name: "x86_64", GOARCH: "amd64", Debian: "amd64", GDB: "i386:x86-64",
	QEMU: QEMU{
		Binary: "qemu-system-x86_64", Package: "qemu-system-x86",
		// Without rdrand a kernel spends a tenth of its boot collecting randomness
		// from jitter.
		Machine: "pc", CPU: "qemu64,+rdrand", Console: "ttyS0", KernelROM: true,
		// Skip two slow steps of the boot that no lab needs: checking that the timer's
		// interrupt arrives, which it does in QEMU, and loading keys that sign modules.
		Append: "no_timer_check initcall_blacklist=load_system_certificate_list,jent_mod_init",
		Shift:  3,
		// The main counter of the HPET (QEMU's hw/timer/hpet.c).
		Clock: Clock{Addr: 0xfed000f0, Tick: 10},
	},
	CallOpcode: 0xe8,
	Nops: [][]byte{
		{0x0f, 0x1f, 0x44, 0x00, 0x00}, // nopl 0(%rax,%rax), arch/x86/include/asm/nops.h
		{0x66, 0x66, 0x66, 0x66, 0x90}, // the five-byte nop of 5.10 on an AMD K8, which qemu64 models
		{0xf3, 0x0f, 0x1e, 0xfa},       // endbr64, a nop without indirect branch tracking
		{0x0f, 0x1f, 0x40, 0xd6},       // nopl -42(%rax), which replaces a sealed endbr64
	},
	Registers: Registers{
		PC: "rip", SP: "rsp", Return: "rax",
		Args: []string{"rdi", "rsi", "rdx", "rcx", "r8", "r9"},
		Record: []string{
			"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
			"rip", "eflags", "cs", "ss", "gs_base", "k_gs_base", "cr3",
		},
	},
	Syscall: Syscall{
		// arch/x86/include/asm/syscall_wrapper.h, SC_X86_64_REGS_TO_ARGS
		Prefix: "__x64_",
		Args:   []string{"di", "si", "dx", "r10", "r8", "r9"},
		User:   map[string]string{"pc": "ip", "sp": "sp", "ret": "ax"},
	},
	Current: Current{
		// arch/x86/include/asm/current.h: current_task until 6.1, the first
		// member of pcpu_hot from 6.2 to 6.14, current_task again from 6.15.
		PerCPU: []string{"pcpu_hot", "current_task"},
		Kernel: "gs_base", User: "k_gs_base",
		// arch/x86/include/asm/preempt.h; in pcpu_hot from 6.2 to 6.14
		Preempt: []string{"pcpu_hot.preempt_count", "__preempt_count"},
	},
	Stack: Stack{
		// arch/x86/include/asm/fred.h: with FRED the frame at the top has two more
		// words than pt_regs.
		Top: []string{"fred_frame", "pt_regs"},
		// arch/x86/include/asm/switch_to.h, struct inactive_task_frame
		SwitchFrame: 0x38, ReturnSlot: true,
	},
	Switch: Switch{
		SP: "thread.sp", Frame: "inactive_task_frame", PC: "ret_addr",
		Saved: []Saved{{"rbp", "bp"}, {"rbx", "bx"}, {"r12", "r12"}, {"r13", "r13"}, {"r14", "r14"}, {"r15", "r15"}},
	},
	// arch/x86/include/asm/pgtable_types.h: present, page size, and the address
	// without the attribute bits.
	Paging: Paging{
		Direct: "page_offset_base", Levels: 4, Deeper: []string{"__pgtable_l5_enabled"},
		Present: 1 << 0, Leaf: 1 << 7, Frame: 0x000ffffffffff000,
		// arch/x86/include/asm/pgtable_types.h
		Writable: 1 << 1, User: 1 << 2, Accessed: 1 << 5, Dirty: 1 << 6,
	},
	// With page-table isolation bit 12 of CR3 selects the user's tables
	// (arch/x86/include/asm/processor-flags.h, X86_CR3_PTI_PCID_USER_BIT).
	Memory: Memory{Register: "cr3", Clear: 1 << 12},
}

var riscv64 = Arch{
	Name: "riscv64", GOARCH: "riscv64", Debian: "riscv64", GDB: "riscv:rv64", GDBWatchesBefore: true,
	QEMU: QEMU{
		Binary: "qemu-system-riscv64", Package: "qemu-system-misc",
		Machine: "virt", CPU: "rv64", Console: "ttyS0",
		Shift: 3,
		// TIME_LOW and TIME_HIGH of the real-time clock (QEMU's hw/rtc/goldfish_rtc.c).
		Clock:       Clock{Addr: 0x101000, Tick: 1},
		WatchBefore: true,
		Timer:       0x14d, // stimecmp, the Sstc extension; target/riscv/time_helper.c
		// vmstate_riscv_cpu (target/riscv/machine.c) lacks fflags, and writing them
		// marks the floating-point unit's state in mstatus as dirty (write_fflags).
		Flags: 0x001, Status: 0x300,
	},
	Nops: [][]byte{
		{0x13, 0x00, 0x00, 0x00}, // nop
		{0x01, 0x00},             // c.nop
	},
	AddPC: AddPC{Register: "t0", Low: 0x297}, // auipc t0, half of ftrace's call: arch/riscv/kernel/ftrace.c
	Registers: Registers{
		PC: "pc", SP: "sp", Return: "a0", Link: "ra",
		Args: []string{"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"},
		Record: []string{
			"ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
			"s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6", "pc",
		},
	},
	Syscall: Syscall{
		// arch/riscv/include/asm/syscall_wrapper.h, SC_RISCV_REGS_TO_ARGS
		Prefix: "__riscv_",
		Args:   []string{"orig_a0", "a1", "a2", "a3", "a4", "a5", "a6"},
		User:   map[string]string{"pc": "epc", "sp": "sp", "ret": "a0"},
	},
	Current: Current{
		// arch/riscv/include/asm/current.h; arch/riscv/kernel/entry.S swaps
		// tp with sscratch on entry from user mode.
		Kernel: "tp", User: "sscratch",
		Early: true,
	},
	Stack: Stack{Top: []string{"pt_regs"}},
	// arch/riscv/include/asm/processor.h, struct thread_struct
	Switch: Switch{
		SP: "thread.sp", PC: "thread.ra",
		Saved: []Saved{
			{"fp", "thread.s[0]"}, {"s1", "thread.s[1]"}, {"s2", "thread.s[2]"}, {"s3", "thread.s[3]"},
			{"s4", "thread.s[4]"}, {"s5", "thread.s[5]"}, {"s6", "thread.s[6]"}, {"s7", "thread.s[7]"},
			{"s8", "thread.s[8]"}, {"s9", "thread.s[9]"}, {"s10", "thread.s[10]"}, {"s11", "thread.s[11]"},
		},
	},
	// arch/riscv/include/asm/pgtable-bits.h and pgtable-64.h: valid; readable,
	// writable or executable makes a leaf; the frame number starts at bit 10.
	Paging: Paging{
		Direct: "kernel_map:kernel_mapping.va_pa_offset", Levels: 3,
		Deeper:  []string{"pgtable_l4_enabled", "pgtable_l5_enabled"},
		Present: 1 << 0, Leaf: 7 << 1, Frame: 0x003ffffffffffc00, FrameShift: 2,
		// arch/riscv/include/asm/pgtable-bits.h
		Writable: 1 << 2, User: 1 << 4, Accessed: 1 << 6, Dirty: 1 << 7,
	},
	Memory: Memory{Register: "priv", Clear: 3, Set: 1},
}

// All returns every architecture, in the order in which results are shown.
func All() []Arch { return []Arch{x86_64, riscv64} }

// Names returns the names of All.
func Names() []string {
	var names []string
	for _, a := range All() {
		names = append(names, a.Name)
	}
	return names
}

// Roles returns the names of registers by purpose: pc, sp, ret and, where the
// architecture has a return address register, link.
func (r Registers) Roles() map[string]string {
	roles := map[string]string{"pc": r.PC, "sp": r.SP, "ret": r.Return}
	if r.Link != "" {
		roles["link"] = r.Link
	}
	return roles
}

// Lookup returns the architecture with the given Name.
func Lookup(name string) (Arch, error) {
	all := All()
	i := slices.IndexFunc(all, func(a Arch) bool { return a.Name == name })
	if i < 0 {
		return Arch{}, fmt.Errorf("unknown architecture %q: use %s", name, strings.Join(Names(), " or "))
	}
	return all[i], nil
}
