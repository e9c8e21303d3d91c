package kernel

// EndsInCall reports whether code, the bytes before an address, may end in a
// call, as it must before a return address. Decoding code backwards is ambiguous, so
// true is no proof.
func (im *Image) EndsInCall(code []byte) bool {
	return im.machine.endsInCall != nil && im.machine.endsInCall(code)
}

// x86EndsInCall recognizes call rel32 (e8) and the forms of call r/m64 (ff /2), which
// have two to seven bytes: Intel SDM volume 2, CALL.
func x86EndsInCall(code []byte) bool {
	n := len(code)
	if n >= 5 && code[n-5] == 0xe8 {
		return true
	}
	const groupFive, callNear = 0xff, 2
	for size := 2; size <= min(7, n); size++ {
		if code[n-size] == groupFive && code[n-size+1]>>3&7 == callNear {
			return true
		}
	}
	return false
}

// riscvEndsInCall recognizes jal and jalr that link to ra or t0, and c.jalr: the
// RISC-V unprivileged specification, chapters 2 and "C". Traced functions call ftrace
// with t0.
func riscvEndsInCall(code []byte) bool {
	n := len(code)
	if n >= 4 {
		w := le.Uint32(code[n-4:])
		rd := w >> 7 & 31
		if link := rd == 1 || rd == 5; link && (w&0x7f == 0x6f || w&0x707f == 0x67) {
			return true
		}
	}
	if n >= 2 {
		h := le.Uint16(code[n-2:])
		return h&0xf07f == 0x9002 && h>>7&31 != 0
	}
	return false
}
