package main

import "encoding/binary"

const (
	machine = 243 // EM_RISCV
	flags   = 4   // EF_RISCV_FLOAT_ABI_DOUBLE
)

// code returns the instructions of hello, which the message follows.
func code(length, status int) []byte {
	var b []byte
	for _, instruction := range []uint32{
		0x00100513,                      // li a0, 1             write(standard output,
		0x00000597,                      // auipc a1, 0
		0x02058593,                      // addi a1, a1, 32        the message,
		0x00000613 | uint32(length)<<20, // li a2, length         its length)
		0x04000893,                      // li a7, 64
		0x00000073,                      // ecall
		0x00000513 | uint32(status)<<20, // li a0, status        exit_group(status)
		0x05e00893,                      // li a7, 94
		0x00000073,                      // ecall
	} {
		b = binary.LittleEndian.AppendUint32(b, instruction)
	}
	return b
}
