package stores

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

var x86 = decoder{
	decode: decodeX86, longest: 15, step: 1, sp: "rsp",
	scratch: []string{"rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"},
}

// endbr64 is no instruction to x86asm.
var endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}

// registers64 are the names of the general registers, in the order of x86asm.
var registers64 = []string{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}

// register returns the name of the 64-bit register that r is a part of, "" for another.
func register(r x86asm.Reg) string {
	for _, group := range []struct{ first, last x86asm.Reg }{
		{x86asm.RAX, x86asm.R15}, {x86asm.EAX, x86asm.R15L}, {x86asm.AX, x86asm.R15W},
	} {
		if r >= group.first && r <= group.last {
			return registers64[r-group.first]
		}
	}
	switch {
	case r >= x86asm.AL && r <= x86asm.BL:
		return registers64[r-x86asm.AL]
	case r >= x86asm.AH && r <= x86asm.BH:
		return registers64[r-x86asm.AH]
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return registers64[4+r-x86asm.SPB]
	}
	return ""
}

// operandX86 returns the memory that an argument names.
func operandX86(m x86asm.Mem, next uint64) operand {
	o := operand{base: register(m.Base), index: register(m.Index), scale: uint64(m.Scale), disp: m.Disp}
	if m.Base == x86asm.RIP {
		o.disp += int64(next)
	}
	switch m.Segment {
	case x86asm.GS:
		o = o.plus("gs_base")
	case x86asm.FS:
		o = o.plus("fs_base")
	}
	return o
}

// plus adds the base of a segment. With both a base and an index there is no room for it,
// and the kernel has no such operand.
func (o operand) plus(reg string) operand {
	switch {
	case o.base == "":
		o.base = reg
	case o.index == "":
		o.index, o.scale = reg, 1
	}
	return o
}

// What an instruction does with its first argument, as far as it is not written.
var (
	onlyReads = []x86asm.Op{x86asm.CMP, x86asm.TEST, x86asm.NOP, x86asm.BT, x86asm.PUSH, x86asm.CALL, x86asm.JMP, x86asm.PREFETCHW, x86asm.PREFETCHNTA, x86asm.PREFETCHT0, x86asm.PREFETCHT1, x86asm.PREFETCHT2, x86asm.INVLPG, x86asm.CLFLUSH, x86asm.LGDT, x86asm.LIDT, x86asm.FXRSTOR, x86asm.FXRSTOR64, x86asm.XRSTOR, x86asm.XRSTOR64}
	loads     = []x86asm.Op{x86asm.MOV, x86asm.MOVZX, x86asm.MOVSX, x86asm.MOVSXD}
	leaving   = []x86asm.Op{x86asm.JMP, x86asm.RET, x86asm.IRETQ, x86asm.SYSRET, x86asm.UD2}
	// implied are the registers that instructions write beside their first argument.
	implied = map[x86asm.Op][]string{
		x86asm.MUL: {"rax", "rdx"}, x86asm.DIV: {"rax", "rdx"}, x86asm.IDIV: {"rax", "rdx"}, x86asm.IMUL: {"rax", "rdx"},
		x86asm.CDQ: {"rdx"}, x86asm.CQO: {"rdx"}, x86asm.CWD: {"rdx"}, x86asm.CDQE: {"rax"}, x86asm.CWDE: {"rax"}, x86asm.CBW: {"rax"},
		x86asm.CMPXCHG: {"rax"}, x86asm.CMPXCHG8B: {"rax", "rdx"}, x86asm.CMPXCHG16B: {"rax", "rdx"},
		x86asm.CPUID: {"rax", "rbx", "rcx", "rdx"}, x86asm.RDTSC: {"rax", "rdx"}, x86asm.RDTSCP: {"rax", "rcx", "rdx"}, x86asm.RDMSR: {"rax", "rdx"},
		x86asm.LEAVE: {"rsp", "rbp"}, x86asm.PUSH: {"rsp"}, x86asm.POP: {"rsp"}, x86asm.PUSHFQ: {"rsp"}, x86asm.POPFQ: {"rsp"}, x86asm.CALL: {"rsp"}, x86asm.RET: {"rsp"},
		x86asm.LODSB: {"rax", "rsi", "rcx"}, x86asm.LODSD: {"rax", "rsi", "rcx"}, x86asm.LODSQ: {"rax", "rsi", "rcx"}, x86asm.SCASB: {"rdi", "rcx"}, x86asm.CMPSB: {"rsi", "rdi", "rcx"},
	}
	// moves and sets are the string instructions, with the bytes of a step.
	moves = map[x86asm.Op]int{x86asm.MOVSB: 1, x86asm.MOVSW: 2, x86asm.MOVSD: 4, x86asm.MOVSQ: 8}
	sets  = map[x86asm.Op]int{x86asm.STOSB: 1, x86asm.STOSW: 2, x86asm.STOSD: 4, x86asm.STOSQ: 8}
	// saves are the instructions that store the state of the floating-point unit, with
	// the most bytes that they write.
	saves = map[x86asm.Op]int{x86asm.FXSAVE: 512, x86asm.FXSAVE64: 512, x86asm.XSAVE: 4096, x86asm.XSAVE64: 4096, x86asm.XSAVEOPT: 4096, x86asm.XSAVEOPT64: 4096}
)

func decodeX86(code []byte, pc uint64) (instruction, bool) {
	if bytes.HasPrefix(code, endbr64) {
		return instruction{pc: pc, size: len(endbr64), text: "endbr64"}, true
	}
	x, err := x86asm.Decode(code, 64)
	if err != nil {
		return instruction{}, false
	}
	next := pc + uint64(x.Len)
	in := instruction{
		pc: pc, size: x.Len, text: strings.ToLower(x86asm.IntelSyntax(x, pc, nil)),
		leaves: slices.Contains(leaving, x.Op), calls: x.Op == x86asm.CALL, writes: slices.Clone(implied[x.Op]),
	}
	for _, p := range x.Prefix {
		if b := p & 0xff; p != 0 && (b == 0xf3 || b == 0xf2) {
			in.repeat = true
		}
	}
	_, vector := x.Args[0].(x86asm.Mem) // MOVSD is also a move of a vector register
	if r, ok := x.Args[0].(x86asm.Reg); ok && r >= x86asm.X0 && r <= x86asm.X15 {
		vector = true
	}
	if size := moves[x.Op]; size > 0 && !(vector && x.Op == x86asm.MOVSD && x.Args[1] != nil && isVector(x.Args[0], x.Args[1])) {
		in.writes = append(in.writes, "rsi", "rdi", "rcx")
		in.stores = &store{to: operand{base: "rdi", disp: -int64(size)}, size: size, from: &operand{base: "rsi", disp: -int64(size)}}
		return in, true
	}
	if size := sets[x.Op]; size > 0 {
		in.writes = append(in.writes, "rdi", "rcx")
		in.stores = &store{to: operand{base: "rdi", disp: -int64(size)}, size: size, register: "rax"}
		return in, true
	}
	in.repeat = false
	switch first := x.Args[0].(type) {
	case x86asm.Reg:
		in.first(x, register(first), next)
	case x86asm.Mem:
		if !slices.Contains(onlyReads, x.Op) {
			in.stores = &store{to: operandX86(first, next), size: max(x.MemBytes, saves[x.Op], 1)}
			in.stores.value(x)
		}
	}
	switch x.Op {
	case x86asm.PUSH, x86asm.PUSHFQ:
		in.stores = &store{to: operand{base: "rsp"}, size: 8}
		in.add.reg, in.add.n = "rsp", -8
		switch a := x.Args[0].(type) {
		case x86asm.Reg:
			in.stores.register = register(a)
		case x86asm.Mem:
			o := operandX86(a, next)
			if o.base == "rsp" {
				o.disp += 8 // the address was made before the push
			}
			in.stores.from = &o
		case x86asm.Imm:
			in.stores.constant = true
		}
	case x86asm.POP, x86asm.POPFQ:
		in.add.reg, in.add.n = "rsp", 8
	case x86asm.CALL:
		in.stores = &store{to: operand{base: "rsp"}, size: 8, address: true}
	case x86asm.XCHG, x86asm.XADD:
		if r, ok := x.Args[1].(x86asm.Reg); ok {
			in.writes = append(in.writes, register(r))
		}
	}
	return in, true
}

func isVector(args ...x86asm.Arg) bool {
	return slices.ContainsFunc(args, func(a x86asm.Arg) bool {
		r, ok := a.(x86asm.Reg)
		return ok && r >= x86asm.X0 && r <= x86asm.X15
	})
}

// first sets what an instruction does with a register that is its first argument.
func (in *instruction) first(x x86asm.Inst, reg string, next uint64) {
	if reg == "" || slices.Contains(onlyReads, x.Op) {
		return
	}
	in.writes = append(in.writes, reg)
	n, constant := x.Args[1].(x86asm.Imm)
	switch {
	case slices.Contains(loads, x.Op):
		def := &definition{reg: reg}
		if constant {
			v := uint64(n)
			def.constant = &v
		}
		switch a := x.Args[1].(type) {
		case x86asm.Mem:
			o := operandX86(a, next)
			def.from, def.size = &o, x.MemBytes
		case x86asm.Reg:
			def.register = register(a)
		}
		if constant || def.from != nil || def.register != "" {
			in.defines = def
		}
	case x.Op == x86asm.POP:
		in.defines = &definition{reg: reg, from: &operand{base: "rsp"}, size: 8}
	case x.Op == x86asm.XOR && x.Args[0] == x.Args[1]:
		in.defines = &definition{reg: reg, constant: new(uint64)}
	case x.Op == x86asm.ADD && constant:
		in.add.reg, in.add.n = reg, int64(n)
	case x.Op == x86asm.SUB && constant:
		in.add.reg, in.add.n = reg, -int64(n)
	case x.Op == x86asm.INC:
		in.add.reg, in.add.n = reg, 1
	case x.Op == x86asm.DEC:
		in.add.reg, in.add.n = reg, -1
	case x.Op == x86asm.LEA:
		m, ok := x.Args[1].(x86asm.Mem)
		switch {
		case !ok || m.Index != 0:
		case register(m.Base) == reg:
			in.add.reg, in.add.n = reg, m.Disp
		case m.Base == x86asm.RIP:
			v := next + uint64(m.Disp)
			in.defines = &definition{reg: reg, constant: &v}
		}
	}
}

// value sets what is stored by an instruction whose first argument is memory.
func (s *store) value(x x86asm.Inst) {
	switch x.Op {
	case x86asm.MOV, x86asm.XCHG, x86asm.CMPXCHG, x86asm.MOVNTI:
	default:
		return // it changes what is there
	}
	switch a := x.Args[1].(type) {
	case x86asm.Reg:
		s.register = register(a)
	case x86asm.Imm:
		s.constant = true
	}
}
