package kernel

import (
	"sort"

	"github.com/go-delve/delve/pkg/dwarf/regnum"
)

// riscvFrames derives the frames from the machine code. Stock riscv64 kernels keep
// frame pointers: every function with a frame stores ra and s0 and sets s0 to its
// caller's stack pointer, with the same few instructions.
func (im *Image) riscvFrames(of span) ([]frameRange, error) {
	regs, err := im.ptRegs([]savedReg{
		{"epc", regnum.RISCV64_PC}, {"ra", regnum.RISCV64_LR}, {"sp", regnum.RISCV64_SP}, {"s0", regnum.RISCV64_S0},
		{"t6", regnum.RISCV64_X31}, // see raCopied
	})
	if err != nil {
		return nil, err
	}
	starts := im.Symbols.functionStarts()
	// Assembly without a caller, and assembly that calls C from a trap.
	outermost := im.Symbols.addrsOf("_start", "_start_kernel", "ret_from_fork", "ret_from_kernel_thread", "ret_from_fork_user_asm", "ret_from_fork_kernel_asm")
	trap := im.Symbols.addrsOf("handle_exception", "ret_from_exception")
	var ranges []frameRange
	for i, start := range starts {
		if i+1 == len(starts) {
			break // a mark such as _end
		}
		end := starts[i+1]
		if start < of.start || start >= of.end {
			continue
		}
		code, ok := im.at(start, int(min(end-start, 1<<20)))
		if !ok {
			continue
		}
		r := frameRange{start: start, end: start + uint64(len(code))}
		switch {
		case outermost[start]:
			r.rows = []frameRow{{pc: start, cfa: cfaRule{reg: regnum.RISCV64_SP}, regs: []regRule{{reg: regnum.RISCV64_LR, how: ruleUndefined}}}}
		case trap[start]:
			// Wherever these call C, sp points at a struct pt_regs.
			r.signal, r.raColumn = true, regnum.RISCV64_PC
			r.rows = []frameRow{{pc: start, signal: true, cfa: cfaRule{reg: regnum.RISCV64_SP}, regs: regs}}
		default:
			r.rows = riscvRows(start, code)
		}
		ranges = append(ranges, r)
	}
	sort.Slice(ranges, func(i, j int) bool { return ranges[i].start < ranges[j].start })
	return ranges, nil
}

// riscvState describes a frame between two instructions.
type riscvState struct {
	down          int64 // CFA - sp
	byFP          bool  // the CFA is s0 + fpOff
	fpOff         int64
	raSaved, fpIn bool  // ra, s0 are in memory
	raAt, fpAt    int64 // relative to the CFA
	// raCopied says that t6 has the return address. Assembly that calls assembly keeps
	// it there (arch/riscv/lib/uaccess.S).
	raCopied bool
	raGone   bool // raCopied, and ra has another address
}

func (s riscvState) row(pc uint64) frameRow {
	r := frameRow{pc: pc, cfa: cfaRule{reg: regnum.RISCV64_SP, off: s.down}}
	if s.byFP {
		r.cfa = cfaRule{reg: regnum.RISCV64_S0, off: s.fpOff}
	}
	switch {
	case s.raSaved:
		r.regs = append(r.regs, regRule{reg: regnum.RISCV64_LR, how: ruleOffset, off: s.raAt})
	case s.raGone:
		r.regs = append(r.regs, regRule{reg: regnum.RISCV64_LR, how: ruleRegister, base: regnum.RISCV64_X31})
	}
	if s.fpIn {
		r.regs = append(r.regs, regRule{reg: regnum.RISCV64_S0, how: ruleOffset, off: s.fpAt})
	}
	return r
}

// riscvRows follows sp, ra and s0 through a function in one pass. After a return the
// state is that of the body again, because the code after it is reached by a branch
// from the body.
func riscvRows(start uint64, code []byte) []frameRow {
	var state, body riscvState
	rows := []frameRow{state.row(start)}
	for off := 0; off+2 <= len(code); {
		in, size := riscvDecode(code[off:])
		off += size
		prev := state
		state.step(in)
		if state.byFP && (in.op == rvSetFP || in.op == rvStoreRA || in.op == rvStoreFP) {
			body = state // still in the prologue
		}
		if in.op == rvLeave && !state.byFP && state.down == 0 {
			state = body
		}
		if state != prev && off < len(code) {
			rows = append(rows, state.row(start+uint64(off)))
		}
	}
	return rows
}

func (s *riscvState) step(in rvInstr) {
	switch in.op {
	case rvAddSP: // sp += imm
		s.down -= in.imm
	case rvSetFP: // s0 = sp + imm
		if s.fpIn { // otherwise s0 is not a frame pointer
			s.byFP, s.fpOff = true, s.down-in.imm
		}
	case rvSPFromFP: // sp = s0 + imm
		if s.byFP {
			s.down = s.fpOff - in.imm
		}
	case rvStoreRA:
		if !s.raSaved {
			s.raSaved, s.raAt = true, in.imm-s.down
		}
	case rvStoreFP:
		if !s.fpIn {
			s.fpIn, s.fpAt = true, in.imm-s.down
		}
	case rvLoadRA:
		if s.raSaved && in.imm-s.down == s.raAt {
			s.raSaved, s.raCopied = false, false
		}
	case rvLoadFP:
		if s.fpIn && in.imm-s.down == s.fpAt {
			s.fpIn, s.byFP = false, false
		}
	case rvCopyRA:
		s.raCopied = s.raCopied || !s.raSaved
	case rvBackRA:
		s.raGone = false
	case rvSetRA:
		s.raGone = s.raCopied && !s.raSaved
	}
}

type rvOp byte

const (
	rvOther rvOp = iota
	rvAddSP
	rvSetFP
	rvSPFromFP
	rvStoreRA
	rvStoreFP
	rvLoadRA
	rvLoadFP
	rvCopyRA // t6 = ra
	rvBackRA // ra = t6
	rvSetRA  // ra = another address
	rvLeave  // an unconditional jump or return
)

type rvInstr struct {
	op  rvOp
	imm int64
}

// riscvDecode decodes the instructions that change a frame, and returns the size of
// any instruction: the RISC-V unprivileged specification, chapters 2 and "C".
func riscvDecode(b []byte) (rvInstr, int) {
	lo := uint32(le.Uint16(b))
	if lo&3 != 3 {
		return riscvCompressed(lo), 2
	}
	if len(b) < 4 {
		return rvInstr{}, 2
	}
	w := le.Uint32(b)
	rd, rs1, rs2, funct3 := w>>7&31, w>>15&31, w>>20&31, w>>12&7
	immI := int64(int32(w) >> 20)
	immS := int64(int32(w)>>25<<5 | int32(rd))
	const sp, s0, ra, t6 = regnum.RISCV64_SP, regnum.RISCV64_S0, regnum.RISCV64_LR, regnum.RISCV64_X31
	switch w & 0x7f {
	case 0x13: // addi
		if funct3 == 0 {
			switch {
			case rd == sp && rs1 == sp:
				return rvInstr{rvAddSP, immI}, 4
			case rd == s0 && rs1 == sp:
				return rvInstr{rvSetFP, immI}, 4
			case rd == sp && rs1 == s0:
				return rvInstr{rvSPFromFP, immI}, 4
			case rd == t6 && rs1 == ra && immI == 0:
				return rvInstr{op: rvCopyRA}, 4
			case rd == ra && rs1 == t6 && immI == 0:
				return rvInstr{op: rvBackRA}, 4
			}
		}
	case 0x23: // sd
		if funct3 == 3 && rs1 == sp {
			switch rs2 {
			case ra:
				return rvInstr{rvStoreRA, immS}, 4
			case s0:
				return rvInstr{rvStoreFP, immS}, 4
			}
		}
	case 0x03: // ld
		if funct3 == 3 && rs1 == sp {
			switch rd {
			case ra:
				return rvInstr{rvLoadRA, immI}, 4
			case s0:
				return rvInstr{rvLoadFP, immI}, 4
			}
		}
	case 0x67, 0x6f: // jalr, jal
		switch rd {
		case 0:
			return rvInstr{op: rvLeave}, 4
		case ra:
			return rvInstr{op: rvSetRA}, 4
		}
	case 0x17: // auipc
		if rd == ra {
			return rvInstr{op: rvSetRA}, 4
		}
	}
	return rvInstr{}, 4
}

func riscvCompressed(h uint32) rvInstr {
	bit := func(from, to uint) int64 { return int64(h>>from&1) << to }
	rd, rs2 := h>>7&31, h>>2&31
	const sp, s0, ra, t6 = regnum.RISCV64_SP, regnum.RISCV64_S0, regnum.RISCV64_LR, regnum.RISCV64_X31
	switch h & 0xe003 {
	case 0x0000: // c.addi4spn
		if h>>2&7 == s0-8 && h != 0 {
			imm := bit(5, 3) | bit(6, 2) | int64(h>>7&15)<<6 | int64(h>>11&3)<<4
			return rvInstr{rvSetFP, imm}
		}
	case 0x0001: // c.addi
		if rd == sp {
			return rvInstr{rvAddSP, int64(h>>2&31) - bit(12, 5)}
		}
	case 0x6001: // c.addi16sp
		if rd == sp {
			return rvInstr{rvAddSP, bit(6, 4) | bit(2, 5) | bit(5, 6) | bit(3, 7) | bit(4, 8) - bit(12, 9)}
		}
	case 0xa001: // c.j
		return rvInstr{op: rvLeave}
	case 0x8002: // c.jr, c.mv, c.jalr
		switch link := h>>12&1 == 1; {
		case rd == 0:
		case rs2 == 0 && link:
			return rvInstr{op: rvSetRA}
		case rs2 == 0:
			return rvInstr{op: rvLeave}
		case rd == t6 && rs2 == ra && !link:
			return rvInstr{op: rvCopyRA}
		case rd == ra && rs2 == t6 && !link:
			return rvInstr{op: rvBackRA}
		}
	case 0x6002: // c.ldsp
		imm := int64(h>>5&3)<<3 | bit(12, 5) | int64(h>>2&7)<<6
		switch rd {
		case ra:
			return rvInstr{rvLoadRA, imm}
		case s0:
			return rvInstr{rvLoadFP, imm}
		}
	case 0xe002: // c.sdsp
		imm := int64(h>>10&7)<<3 | int64(h>>7&7)<<6
		switch rs2 {
		case ra:
			return rvInstr{rvStoreRA, imm}
		case s0:
			return rvInstr{rvStoreFP, imm}
		}
	}
	return rvInstr{}
}
