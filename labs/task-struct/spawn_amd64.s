#include "textflag.h"

// func spawn(call, a, b, c, d, e, exit uintptr) uintptr
//
// The thread runs on a stack that nothing was put on, so it must not return: it ends
// here, by the call exit.
TEXT ·spawn(SB), NOSPLIT, $0-64
	MOVQ call+0(FP), AX
	MOVQ a+8(FP), DI
	MOVQ b+16(FP), SI
	MOVQ c+24(FP), DX
	MOVQ d+32(FP), R10
	MOVQ e+40(FP), R8
	MOVQ exit+48(FP), R12
	SYSCALL
	TESTQ AX, AX
	JZ child
	MOVQ AX, ret+56(FP)
	RET
child:
	XORL DI, DI
	MOVQ R12, AX
	SYSCALL
	JMP child
