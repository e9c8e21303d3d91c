package arch

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSkip(t *testing.T) {
	const pc = 0xffffffff80001000
	for _, c := range []struct {
		arch Arch
		code string
		want map[string]uint64
	}{
		{x86_64, "0f1f440000", map[string]uint64{"rip": pc + 5}},
		{x86_64, "6666666690", map[string]uint64{"rip": pc + 5}},
		{x86_64, "f30f1efa0f", map[string]uint64{"rip": pc + 4}},
		{x86_64, "0f1f40d655", map[string]uint64{"rip": pc + 4}},
		{x86_64, "5548 89e5 53", nil}, // push %rbp
		{riscv64, "1300000013", map[string]uint64{"pc": pc + 4}},
		{riscv64, "0100010001", map[string]uint64{"pc": pc + 2}},
		// In objdump's notation: auipc t0,0xfffe8 and auipc t0,0x1536.
		{riscv64, "9782feff13", map[string]uint64{"pc": pc + 4, "t0": pc - 0x18000}},
		{riscv64, "9762530113", map[string]uint64{"pc": pc + 4, "t0": pc + 0x1536000}},
		{riscv64, "9780feff13", nil}, // auipc ra
		{riscv64, "1711000013", nil}, // auipc sp
	} {
		code, err := hex.DecodeString(strings.ReplaceAll(c.code, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, c.arch.Skip(pc, code)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.arch.Name, c.code, diff)
		}
	}
}

func TestCalled(t *testing.T) {
	const pc = 0xffffffff81000000
	for _, c := range []struct {
		arch Arch
		code []byte
		want uint64
	}{
		{x86_64, []byte{0xe8, 0x00, 0x10, 0, 0, 0x55}, pc + 5 + 0x1000},
		{x86_64, []byte{0xe8, 0xfb, 0xff, 0xff, 0xff}, pc},
		{x86_64, []byte{0xe8, 0, 0, 0}, 0},
		{x86_64, []byte{0x0f, 0x1f, 0x44, 0, 0}, 0},
		{riscv64, []byte{0xe8, 0, 0, 0, 0}, 0},
	} {
		if got, ok := c.arch.Called(pc, c.code); got != c.want || ok != (c.want != 0) {
			t.Errorf("%s %x: %#x, %v, want %#x", c.arch.Name, c.code, got, ok, c.want)
		}
	}
}
