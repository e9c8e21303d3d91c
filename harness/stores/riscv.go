package stores

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/arch/riscv64/riscv64asm"
)

var riscv = decoder{
	decode: decodeRISCV, longest: 4, step: 2,
	scratch: []string{"ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"},
}

// registersRISCV are the gdbstub's names of x0 to x31.
var registersRISCV = strings.Fields("zero ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6")

var numbered = regexp.MustCompile(`\bx[0-9]+\b`)

// textRISCV is an instruction with the registers' names of the calling convention.
func textRISCV(x riscv64asm.Inst) string {
	return numbered.ReplaceAllStringFunc(strings.ToLower(riscv64asm.GNUSyntax(x)), func(name string) string {
		n, err := strconv.Atoi(name[1:])
		switch {
		case err != nil || n >= len(registersRISCV):
			return name
		case n == 8:
			return "s0" // gdb's name is fp
		}
		return registersRISCV[n]
	})
}

// general returns the name of a general register, "" for another argument.
func general(a riscv64asm.Arg) string {
	if r, ok := a.(riscv64asm.Reg); ok && r <= riscv64asm.X31 {
		return registersRISCV[r]
	}
	return ""
}

// widths are the bytes that loads and stores move.
var (
	loadsRISCV = map[riscv64asm.Op]int{
		riscv64asm.LB: 1, riscv64asm.LBU: 1, riscv64asm.LH: 2, riscv64asm.LHU: 2, riscv64asm.LW: 4, riscv64asm.LWU: 4, riscv64asm.LD: 8,
	}
	storesRISCV = map[riscv64asm.Op]int{
		riscv64asm.SB: 1, riscv64asm.SH: 2, riscv64asm.SW: 4, riscv64asm.SD: 8, riscv64asm.FSW: 4, riscv64asm.FSD: 8,
	}
	noResult = []riscv64asm.Op{
		riscv64asm.BEQ, riscv64asm.BNE, riscv64asm.BLT, riscv64asm.BGE, riscv64asm.BLTU, riscv64asm.BGEU,
		riscv64asm.FENCE, riscv64asm.FENCE_I, riscv64asm.ECALL, riscv64asm.EBREAK,
	}
)

func decodeRISCV(code []byte, pc uint64) (instruction, bool) {
	x, err := riscv64asm.Decode(code)
	if err != nil {
		if len(code) > 0 && code[0]&3 == 3 {
			return otherRISCV(code, pc), true
		}
		return instruction{}, false
	}
	in := instruction{pc: pc, size: x.Len, text: textRISCV(x)}
	rd := general(x.Args[0])
	if size := storesRISCV[x.Op]; size > 0 {
		to, ok := offset(x.Args[1])
		if ok {
			in.stores = &store{to: to, size: size, register: rd, constant: rd == "zero"}
		}
		return in, true
	}
	name := x.Op.String()
	if size := amo(name); size > 0 {
		in.writes = []string{rd}
		in.stores = &store{to: operand{base: registersRISCV[x.Enc>>15&31]}, size: size}
		if strings.HasPrefix(name, "SC.") || strings.HasPrefix(name, "AMOSWAP.") {
			src := registersRISCV[x.Enc>>20&31]
			in.stores.register, in.stores.constant = src, src == "zero"
		}
		return in, true
	}
	switch {
	case slices.Contains(noResult, x.Op):
		return in, true
	case x.Op == riscv64asm.JAL || x.Op == riscv64asm.JALR:
		in.calls, in.leaves = rd == "ra" || rd == "t0", rd == "zero"
	}
	if rd != "" && rd != "zero" {
		in.writes = []string{rd}
		in.define(x, rd)
	}
	return in, true
}

// otherRISCV is an instruction of four bytes that the decoder does not know.
func otherRISCV(code []byte, pc uint64) instruction {
	in := instruction{pc: pc, size: 4, text: "?"}
	if len(code) < 4 {
		return in
	}
	const sret, mret = 0x10200073, 0x30200073
	word := uint32(number(code[:4]))
	in.leaves = word == sret || word == mret
	in.writes = []string{registersRISCV[word>>7&31]} // where the formats with a result have it
	return in
}

// define sets how an instruction gives its first argument a value.
func (in *instruction) define(x riscv64asm.Inst, rd string) {
	source := general(x.Args[1])
	n, immediate := x.Args[2].(riscv64asm.Simm)
	switch {
	case loadsRISCV[x.Op] > 0:
		if from, ok := offset(x.Args[1]); ok {
			in.defines = &definition{reg: rd, from: &from, size: loadsRISCV[x.Op]}
		}
	case x.Op == riscv64asm.LUI || x.Op == riscv64asm.AUIPC:
		if u, ok := x.Args[1].(riscv64asm.Uimm); ok {
			v := uint64(int64(int32(u.Imm << 12)))
			if x.Op == riscv64asm.AUIPC {
				v += in.pc
			}
			in.defines = &definition{reg: rd, constant: &v}
		}
	case x.Op == riscv64asm.ADDI && immediate && source == "zero":
		v := uint64(int64(n.Imm))
		in.defines = &definition{reg: rd, constant: &v}
	case (x.Op == riscv64asm.ADDI || x.Op == riscv64asm.ADDIW) && immediate && source == rd:
		in.add.reg, in.add.n = rd, int64(n.Imm)
	case x.Op == riscv64asm.SLLI && source == rd:
		if u, ok := x.Args[2].(riscv64asm.Uimm); ok {
			in.shift.reg, in.shift.n = rd, int64(u.Imm)
		}
	case x.Op == riscv64asm.ADDI && immediate && n.Imm == 0:
		in.defines = &definition{reg: rd, register: source}
	case x.Op == riscv64asm.ADD && source == "zero":
		in.defines = &definition{reg: rd, register: general(x.Args[2])}
	case x.Op == riscv64asm.ADD && general(x.Args[2]) == "zero":
		in.defines = &definition{reg: rd, register: source}
	}
	if in.defines != nil && in.defines.register == "zero" {
		in.defines = &definition{reg: rd, constant: new(uint64)}
	}
}

// offset returns the memory at an offset from a register.
func offset(a riscv64asm.Arg) (operand, bool) {
	o, ok := a.(riscv64asm.RegOffset)
	return operand{base: general(o.OfsReg), disp: int64(o.Ofs.Imm)}, ok
}

// amo returns the bytes that an atomic instruction writes, 0 for another one.
func amo(name string) int {
	if !strings.HasPrefix(name, "AMO") && !strings.HasPrefix(name, "SC.") {
		return 0
	}
	switch {
	case strings.Contains(name, ".W"):
		return 4
	case strings.Contains(name, ".D"):
		return 8
	}
	return 0
}
