#include "textflag.h"

// func spawn(call, a, b, c, d, e, exit uintptr) uintptr
//
// The thread runs on a stack that nothing was put on, so it must not return: it ends
// here, by the call exit.
TEXT ·spawn(SB), NOSPLIT, $0-64
	MOV call+0(FP), A7
	MOV a+8(FP), A0
	MOV b+16(FP), A1
	MOV c+24(FP), A2
	MOV d+32(FP), A3
	MOV e+40(FP), A4
	MOV exit+48(FP), S2
	ECALL
	BEQ A0, ZERO, child
	MOV A0, ret+56(FP)
	RET
child:
	MOV ZERO, A0
	MOV S2, A7
	ECALL
	JMP child
