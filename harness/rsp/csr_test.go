package rsp_test

import (
	"testing"

	"kernellab/harness/rsp"
)

func TestCSR(t *testing.T) {
	riscv := rsp.Target{Architecture: "riscv:rv64", Registers: []rsp.Register{{Name: "sie", Number: 326, Bits: 64}, {Name: "menvcfg", Number: 844, Bits: 64}}}
	// menvcfg is 0x30a in the specification: the numbers of QEMU 7.2 agree.
	if r, err := riscv.CSR(0x30a); err != nil || r.Number != 844 || r.Bits != 64 {
		t.Errorf("CSR(menvcfg) = %+v, %v, want number 844", r, err)
	}
	if r, err := riscv.CSR(0x14d); err != nil || r.Number != 399 {
		t.Errorf("CSR(stimecmp) = %+v, %v, want number 399", r, err)
	}
	for _, n := range []int{-1, 1 << 12} {
		if r, err := riscv.CSR(n); err == nil {
			t.Errorf("CSR(%d) = %+v, want an error", n, r)
		}
	}
	x86 := rsp.Target{Architecture: "i386:x86-64"}
	if r, err := x86.CSR(0x14d); err == nil {
		t.Errorf("CSR of x86 = %+v, want an error", r)
	}
}
