package blocks

import (
	"encoding/binary"
	"strings"
	"sync"

	"golang.org/x/arch/riscv64/riscv64asm"
	"golang.org/x/arch/x86/x86asm"
)

// decoder is what differs between the architectures.
type decoder struct {
	// kind returns what the instruction at pc does to the flow of control.
	kind func(pc uint64, code []byte) (Kind, uint64)
	// mode returns the privilege in a block's flags.
	mode func(flags uint64) Mode
	// disassemble returns the text and size of the first instruction of code, 0 if it
	// is not known.
	disassemble func(code []byte) (string, int)
}

func decoders() map[string]decoder {
	return map[string]decoder{
		"x86_64":  {x86Kind, x86Mode, x86Text},
		"riscv64": {riscvKind, riscvMode, riscvText},
	}
}

// x86Mode: HF_CPL_MASK in QEMU's target/i386/cpu.h.
func x86Mode(flags uint64) Mode {
	if flags&3 == 3 {
		return User
	}
	return Kernel
}

// riscvMode: TB_FLAGS.MEM_IDX in QEMU's target/riscv/cpu.h, and MMUIdx_U to MMUIdx_M in
// internals.h. 2 is the kernel while it may use a program's memory.
func riscvMode(flags uint64) Mode {
	switch flags & 7 {
	case 0:
		return User
	case 3:
		return Firmware
	}
	return Kernel
}

// x86Kind decodes an instruction of x86_64. One that x86asm does not know is no jump.
func x86Kind(pc uint64, code []byte) (Kind, uint64) {
	inst, err := x86asm.Decode(code, 64)
	if err != nil {
		return Plain, 0
	}
	target, direct := uint64(0), false
	if rel, ok := inst.Args[0].(x86asm.Rel); ok {
		target, direct = pc+uint64(inst.Len)+uint64(int64(rel)), true
	}
	switch inst.Op {
	case x86asm.CALL, x86asm.LCALL:
		if direct {
			return Call, target
		}
		return CallTo, 0
	case x86asm.JMP, x86asm.LJMP:
		if direct {
			return Jump, target
		}
		return JumpTo, 0
	case x86asm.RET, x86asm.LRET:
		return Return, 0
	case x86asm.IRET, x86asm.IRETD, x86asm.IRETQ, x86asm.SYSRET, x86asm.SYSEXIT:
		return TrapEnd, 0
	case x86asm.SYSCALL, x86asm.SYSENTER, x86asm.INT, x86asm.INTO, x86asm.ICEBP, x86asm.UD0, x86asm.UD1, x86asm.UD2:
		return Trap, 0
	}
	if direct { // jcc, loop, jrcxz
		return Branch, target
	}
	for _, p := range inst.Prefix {
		rep := p&0xff == x86asm.PrefixREP || p&0xff == x86asm.PrefixREPN
		if rep && p&x86asm.PrefixIgnored == 0 && isString(inst.Op) {
			return Repeated, 0
		}
	}
	return Plain, 0
}

// x86Text disassembles an instruction of x86_64.
func x86Text(code []byte) (string, int) {
	inst, err := x86asm.Decode(code, 64)
	if err != nil {
		return "", 0
	}
	return x86asm.GNUSyntax(inst, 0, nil), inst.Len
}

// isString reports whether a rep prefix repeats the instruction.
func isString(op x86asm.Op) bool {
	name := op.String()
	for _, s := range []string{"MOVS", "STOS", "LODS", "CMPS", "SCAS", "INS", "OUTS"} {
		if rest, ok := strings.CutPrefix(name, s); ok && len(rest) == 1 && strings.Contains("BWDQ", rest) {
			return true
		}
	}
	return false
}

// riscvDecode guards riscv64asm, whose decoder writes to a variable that it shares
// (decoderCover in its decode.go).
var riscvDecode sync.Mutex

// riscvText disassembles an instruction of riscv64. The lowest bits have its size.
func riscvText(code []byte) (string, int) {
	size := 2
	if len(code) > 0 && code[0]&3 == 3 {
		size = 4
	}
	if len(code) < size {
		return "", 0
	}
	riscvDecode.Lock()
	defer riscvDecode.Unlock()
	inst, err := riscv64asm.Decode(code[:size])
	if err != nil {
		return Unread, size
	}
	return riscv64asm.GNUSyntax(inst), size
}

// riscvKind decodes an instruction of riscv64. Which jalr is a call and which a return is
// in the hints for return-address stacks of the unprivileged specification: x1 and x5 are
// link registers.
func riscvKind(pc uint64, code []byte) (Kind, uint64) {
	if len(code) == 4 {
		// riscv64asm does not know these.
		switch binary.LittleEndian.Uint32(code) {
		case 0x10200073, 0x30200073: // sret, mret
			return TrapEnd, 0
		}
	}
	riscvDecode.Lock()
	inst, err := riscv64asm.Decode(code)
	riscvDecode.Unlock()
	if err != nil {
		return Plain, 0
	}
	imm := func(i int) uint64 {
		if v, ok := inst.Args[i].(riscv64asm.Simm); ok {
			return pc + uint64(int64(v.Imm))
		}
		return 0
	}
	link := func(r riscv64asm.Reg) bool { return r == riscv64asm.X1 || r == riscv64asm.X5 }
	switch inst.Op {
	case riscv64asm.JAL:
		if rd, ok := inst.Args[0].(riscv64asm.Reg); ok && link(rd) {
			return Call, imm(1)
		}
		return Jump, imm(1)
	case riscv64asm.JALR:
		rd, _ := inst.Args[0].(riscv64asm.Reg)
		at, _ := inst.Args[1].(riscv64asm.RegOffset)
		switch {
		case link(rd):
			return CallTo, 0
		case link(at.OfsReg):
			return Return, 0
		}
		return JumpTo, 0
	case riscv64asm.BEQ, riscv64asm.BNE, riscv64asm.BLT, riscv64asm.BGE, riscv64asm.BLTU, riscv64asm.BGEU:
		return Branch, imm(2)
	case riscv64asm.ECALL, riscv64asm.EBREAK:
		return Trap, 0
	}
	return Plain, 0
}
