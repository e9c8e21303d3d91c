// Package arch holds what differs between the architectures a lab runs on, as
// data: how QEMU starts one, what its registers are called in the gdbstub's
// target description, where a system call's arguments lie, and how the running
// task is found.
//
// Other packages take such a fact from an Arch instead of comparing its name. These
// look at the name: harness/kernel, for how code is read and unwound, and those below
// images, for where kernels and compilers come from.
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
	Name   string // as uname -m says it: "x86_64", "riscv64"
	GOARCH string // "amd64", "riscv64"
	Debian string // Debian's name of the port: "amd64", "riscv64"
	GDB    string // gdb's "set architecture"

	QEMU QEMU

	// Nops are instructions that do nothing but move the PC on. Most functions
	// of a kernel begin with one, where ftrace may put a call.
	Nops [][]byte
	// AddPC is another that they begin with there.
	AddPC AddPC

	Registers Registers
	Syscall   Syscall
	Current   Current
	Stack     Stack
	Switch    Switch
	Paging    Paging
	Memory    Memory
}

// AddPC is an instruction of four bytes that does nothing but set a register to its
// own address plus the upper 20 bits of its word, which are signed.
type AddPC struct {
	Register string // "" where there is none
	Low      uint32 // the lower 12 bits of its word
}

// Skip returns the registers that the instruction at pc would change, the PC among
// them, if it is one of Nops or AddPC; nil for any other.
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

// QEMU is how a machine of this architecture is started.
type QEMU struct {
	Binary  string // "qemu-system-x86_64"
	Package string // Debian package that brings it
	Machine string // -M
	CPU     string // -cpu
	Console string // kernel's name of the first serial port, for console=
	Append  string // more kernel command line
	Devices []string
	// KernelROM: -kernel adds an option ROM to the machine (QEMU's
	// hw/i386/x86.c, linuxboot), so a restored machine needs it too.
	KernelROM bool
	// Shift says how long an instruction takes by the guest's clock: 2^Shift ns. A
	// boot of 6.1 on x86_64 took the same processor time with 2 to 5 (4.6 to 4.9 s) and
	// more from 6 on, as the tick then comes every few thousand instructions; with 0
	// and 1, loops that wait for a time run long. 3 is the speed of a slow real machine.
	Shift int
	// Clock is a clock of the machine's that is in its physical memory.
	Clock Clock
	// Timer is the control and status register with the time of the next timer
	// interrupt, if a restored machine has to be told it anew: QEMU carries its
	// value over but does not set its own timer by it. 0 is for none.
	Timer int
	// Flags is a control and status register that a saved machine's state lacks, if
	// there is one, and Status another that writing Flags changes. 0 is for none.
	Flags, Status int
}

// Clock is a counter of 64 bits in a machine's physical memory, which to read changes
// nothing for the guest.
type Clock struct {
	Addr uint64
	Tick int // ns that a count takes
}

// Registers names registers by what they do, in the words of the gdbstub's
// target description.
type Registers struct {
	PC, SP string
	Args   []string // integer arguments of a C function, in order
	Return string   // value returned by a C function
	Link   string   // return address register; "" when it is on the stack
	Record []string // those that a trace keeps of every stop
}

// Syscall says where a system call's arguments are in struct pt_regs, for the
// entries that take only that (ARCH_HAS_SYSCALL_WRAPPER).
type Syscall struct {
	Prefix string            // of the entry's symbol, in front of sys_NAME
	Args   []string          // members of struct pt_regs, first argument first
	User   map[string]string // role → member of struct pt_regs: "pc", "sp", "ret"
}

// Current says how the running task's address is found at a stop.
type Current struct {
	// PerCPU are per-CPU variables that hold the task pointer, the first that
	// the kernel has wins; read at base + address with base from Kernel or User.
	PerCPU []string
	// Kernel and User name the register to use in kernel and in user mode (a
	// kernel address has its top bit set on every architecture here): the
	// per-CPU base with PerCPU, the task pointer itself without.
	Kernel, User string
	// Early: when Kernel holds 0, User still holds the task (riscv64 trap entry).
	Early bool
	// Preempt are per-CPU variables that hold preempt_count, as VARIABLE or
	// TYPE.member; none where it is in thread_info.
	Preempt []string
}

// Stack is the geometry of a new task's kernel stack.
type Stack struct {
	// Top are the types that lie at the very top of the stack of a user task,
	// the first that the kernel's BTF has is the one.
	Top []string
	// SwitchFrame is what __switch_to pops between the saved stack pointer and
	// the child's first instruction, in bytes.
	SwitchFrame int
	// ReturnSlot: the first instruction's address was popped from [sp-8] by a
	// ret instruction, and is still to be read there.
	ReturnSlot bool
}

// Switch is where __switch_to leaves the registers of a task that does not run.
type Switch struct {
	SP string // member of task_struct: the saved stack pointer
	// Frame is the structure at the saved stack pointer that the switch pops; ""
	// where everything is in task_struct, of which PC and Saved are members then.
	Frame string
	PC    string // member that holds where the task goes on
	// Saved are the other registers, by the gdbstub's names, with the member
	// (of an array: member[index]) that holds each.
	Saved []Saved
}

// Saved is a register and the member it is kept in.
type Saved struct{ Register, Member string }

// Paging is the shape of a process's page tables, walked from mm_struct.pgd:
// tables of 512 entries of 8 bytes.
type Paging struct {
	// Direct is the kernel's variable (VARIABLE, or VARIABLE:TYPE.member) that
	// is added to a physical address to read it in the direct map.
	Direct string
	Levels int      // of the smallest mode
	Deeper []string // variables of one byte, each of which adds a level when set
	// Of an entry: Present and Leaf are masks (an entry is a page when any bit of
	// Leaf is set; the last level always is), Frame the bits of the address after
	// a shift left by FrameShift.
	Present, Leaf, Frame uint64
	FrameShift           uint
}

// Memory is the quirk of reading kernel memory while the CPU is in user mode:
// the gdbstub translates with the current page tables and privilege, so Register
// is changed (Clear bits off, then Set bits on) for the read and restored.
type Memory struct {
	Register   string
	Clear, Set uint64
}

var x86_64 = Arch{
	Name: "x86_64", GOARCH: "amd64", Debian: "amd64", GDB: "i386:x86-64",
	QEMU: QEMU{
		Binary: "qemu-system-x86_64", Package: "qemu-system-x86",
		// With rdrand a kernel does not collect randomness from jitter for a tenth of
		// its boot.
		Machine: "pc", CPU: "qemu64,+rdrand", Console: "ttyS0", KernelROM: true,
		// Two things that a boot spends long on and no lab is about: whether the timer's
		// interrupt arrives, which it does in QEMU, and keys that sign modules.
		Append: "no_timer_check initcall_blacklist=load_system_certificate_list,jent_mod_init",
		Shift:  3,
		// The main counter of the HPET (QEMU's hw/timer/hpet.c).
		Clock: Clock{Addr: 0xfed000f0, Tick: 10},
	},
	Nops: [][]byte{
		{0x0f, 0x1f, 0x44, 0x00, 0x00}, // nopl 0(%rax,%rax), arch/x86/include/asm/nops.h
		{0x66, 0x66, 0x66, 0x66, 0x90}, // the same of 5.10 on an AMD K8, which qemu64 is
		{0xf3, 0x0f, 0x1e, 0xfa},       // endbr64, a nop without indirect branch tracking
		{0x0f, 0x1f, 0x40, 0xd6},       // nopl -42(%rax): an endbr64 that was sealed
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
		// arch/x86/include/asm/fred.h: with FRED the frame at the top carries
		// two more words than pt_regs.
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
	},
	// With page-table isolation bit 12 of CR3 selects the user's tables
	// (arch/x86/include/asm/processor-flags.h, X86_CR3_PTI_PCID_USER_BIT).
	Memory: Memory{Register: "cr3", Clear: 1 << 12},
}

var riscv64 = Arch{
	Name: "riscv64", GOARCH: "riscv64", Debian: "riscv64", GDB: "riscv:rv64",
	QEMU: QEMU{
		Binary: "qemu-system-riscv64", Package: "qemu-system-misc",
		Machine: "virt", CPU: "rv64", Console: "ttyS0",
		Shift: 3,
		// TIME_LOW and TIME_HIGH of the real-time clock (QEMU's hw/rtc/goldfish_rtc.c).
		Clock: Clock{Addr: 0x101000, Tick: 1},
		Timer: 0x14d, // stimecmp, the Sstc extension; target/riscv/time_helper.c
		// fflags are not in vmstate_riscv_cpu (target/riscv/machine.c), and writing
		// them makes the floating-point unit's state in mstatus dirty (write_fflags).
		Flags: 0x001, Status: 0x300,
	},
	Nops: [][]byte{
		{0x13, 0x00, 0x00, 0x00}, // nop
		{0x01, 0x00},             // c.nop
	},
	AddPC: AddPC{Register: "t0", Low: 0x297}, // auipc t0, of which ftrace makes a call: arch/riscv/kernel/ftrace.c
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
	},
	Memory: Memory{Register: "priv", Clear: 3, Set: 1},
}

// All returns every architecture, in the order results are shown.
func All() []Arch { return []Arch{x86_64, riscv64} }

// Names returns the names of All.
func Names() []string {
	var names []string
	for _, a := range All() {
		names = append(names, a.Name)
	}
	return names
}

// Roles returns the registers by what they do: pc, sp, ret and, where there is
// one, link.
func (r Registers) Roles() map[string]string {
	roles := map[string]string{"pc": r.PC, "sp": r.SP, "ret": r.Return}
	if r.Link != "" {
		roles["link"] = r.Link
	}
	return roles
}

// Lookup returns the architecture of that name.
func Lookup(name string) (Arch, error) {
	all := All()
	i := slices.IndexFunc(all, func(a Arch) bool { return a.Name == name })
	if i < 0 {
		return Arch{}, fmt.Errorf("unknown architecture %q: use %s", name, strings.Join(Names(), " or "))
	}
	return all[i], nil
}
