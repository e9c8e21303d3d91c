package stores

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	text = 0xffffffff_81000000
	data = 0xffff8880_05a3e000
	from = 0xffff8880_04bd9800
)

// The code was assembled by GNU as; objdump's listing is beside it.
const (
	codeX86 = `
		f30f1efa         00 endbr64
		4c8b06           04 mov r8,[rsi]
		4c8b4e08         07 mov r9,[rsi+8]
		488d7620         0b lea rsi,[rsi+0x20]
		4c8907           0f mov [rdi],r8
		4c894f08         12 mov [rdi+8],r9
		488d7f20         16 lea rdi,[rdi+0x20]
		c3               1a ret
		48c7c104000000   1b mov rcx,4
		f348a5           22 rep movsq
		49c744245000000000 25 mov qword ptr [r12+0x50],0
		c3               2e ret
		b800080000       2f mov eax,0x800
		eb00             34 jmp 36
		894318           36 mov [rbx+0x18],eax
		31d2             39 xor edx,edx
		48895320         3b mov [rbx+0x20],rdx
		53               3f push rbx
		6ada             40 push -38
		e8b9ffffff       42 call 0
		f0834b3002       47 lock or dword ptr [rbx+0x30],2
		4889d8           4c mov rax,rbx
		48894338         4f mov [rbx+0x38],rax
		c3               53 ret`
	codeRISCV = `
		9861       00 ld a4,0(a1)
		9c65       02 ld a5,8(a1)
		c105       04 addi a1,a1,16
		18e1       06 sd a4,0(a0)
		1ce5       08 sd a5,8(a0)
		8280       0a ret
		23b809f2   0c sd zero,-208(s3)
		8547       10 li a5,1
		ae07       12 slli a5,a5,11
		bcc4       14 sw a5,72(s1)
		3777ac57   16 lui a4,0x57ac7
		1307d7e9   1a addi a4,a4,-355
		2330e900   1e sd a4,0(s2)
		d286       22 mv a3,s4
		2334d900   24 sd a3,8(s2)
		2fa5ba00   28 amoadd.w a0,a1,(s5)
		8280       2c ret`
)

func assembled(t *testing.T, listing string) (code []byte) {
	for line := range strings.Lines(listing) {
		if f := strings.Fields(line); len(f) > 0 {
			b, err := hex.DecodeString(f[0])
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, b...)
		}
	}
	return append(code, make([]byte, 16)...)
}

// words is memory, by the addresses of its words.
type words map[uint64]uint64

func TestFind(t *testing.T) {
	type regs = map[string]uint64
	for _, tt := range []struct {
		name, arch string
		pc         uint64 // of the stop, from the beginning of the code
		regs       regs
		memory     words // after the store; the watched word is the first at data
		want       Store
		err        error
	}{
		{"a loaded register, after its base moved", "x86_64", 0x12, regs{"rdi": data, "rsi": from + 0x20, "r8": 7}, words{data: 7, from: 7},
			Store{PC: 0xf, Text: "mov qword ptr [rdi], r8", Addr: data, Size: 8, Kind: Copy, From: &Source{from, 8}}, nil},
		{"the second word", "x86_64", 0x16, regs{"rdi": data - 8, "rsi": from + 0x18, "r9": 9}, words{data: 9, from: 9},
			Store{PC: 0x12, Text: "mov qword ptr [rdi+0x8], r9", Addr: data, Size: 8, Kind: Copy, From: &Source{from, 8}}, nil},
		{"a source that has another value", "x86_64", 0x12, regs{"rdi": data, "rsi": from + 0x20, "r8": 7}, words{data: 7, from: 8},
			Store{PC: 0xf, Text: "mov qword ptr [rdi], r8", Addr: data, Size: 8, Kind: Computed}, nil},
		{"rep movs that goes on", "x86_64", 0x22, regs{"rdi": data + 8, "rsi": from + 8, "rcx": 2}, words{data: 5, from: 5},
			Store{PC: 0x22, Text: "rep movsq qword ptr [rdi], qword ptr [rsi]", Addr: data, Size: 8, Kind: Copy, From: &Source{from, 8}}, nil},
		{"rep movs that has ended", "x86_64", 0x25, regs{"rdi": data + 8, "rsi": from + 8}, words{data: 5, from: 5},
			Store{PC: 0x22, Text: "rep movsq qword ptr [rdi], qword ptr [rsi]", Addr: data, Size: 8, Kind: Copy, From: &Source{from, 8}}, nil},
		{"a constant in the instruction", "x86_64", 0x2e, regs{"r12": data - 0x50}, words{data: 0},
			Store{PC: 0x25, Text: "mov qword ptr [r12+0x50], 0x0", Addr: data, Size: 8, Kind: Constant}, nil},
		{"a register set before a jump", "x86_64", 0x39, regs{"rbx": data - 0x18, "rax": 0x800}, words{data: 0x800},
			Store{PC: 0x36, Text: "mov dword ptr [rbx+0x18], eax", Addr: data, Size: 4, Kind: Computed}, nil},
		{"a cleared register", "x86_64", 0x3f, regs{"rbx": data - 0x20}, words{data: 0},
			Store{PC: 0x3b, Text: "mov qword ptr [rbx+0x20], rdx", Addr: data, Size: 8, Kind: Constant}, nil},
		{"a cleared register that has another value", "x86_64", 0x3f, regs{"rbx": data - 0x20, "rdx": 4}, words{data: 4},
			Store{PC: 0x3b, Text: "mov qword ptr [rbx+0x20], rdx", Addr: data, Size: 8, Kind: Computed}, nil},
		{"push of a register", "x86_64", 0x40, regs{"rsp": data}, words{data: 1},
			Store{PC: 0x3f, Text: "push rbx", Addr: data, Size: 8, Kind: Computed}, nil},
		{"push of a constant", "x86_64", 0x42, regs{"rsp": data}, words{data: 1},
			Store{PC: 0x40, Text: "push 0xffffffda", Addr: data, Size: 8, Kind: Constant}, nil},
		{"a call", "x86_64", 0, regs{"rsp": data}, words{data: text + 0x47},
			Store{PC: 0x42, Text: "call 0xffffffff81000000", Addr: data, Size: 8, Kind: Call}, nil},
		{"a change of what is there", "x86_64", 0x4c, regs{"rbx": data - 0x30}, words{data: 1},
			Store{PC: 0x47, Text: "lock or dword ptr [rbx+0x30], 0x2", Addr: data, Size: 4, Kind: Computed}, nil},
		{"a store elsewhere", "x86_64", 0x53, regs{"rbx": data}, words{data: 1}, Store{}, ErrNotFound},

		{"a loaded register, after its base moved", "riscv64", 0x8, regs{"a0": data, "a1": from + 16, "a4": 7}, words{data: 7, from: 7},
			Store{PC: 0x6, Text: "sd a4,0(a0)", Addr: data, Size: 8, Kind: Copy, From: &Source{from, 8}}, nil},
		{"a constant in the instruction", "riscv64", 0x10, regs{"s3": data + 208}, words{data: 0},
			Store{PC: 0xc, Text: "sd zero,-208(s3)", Addr: data, Size: 8, Kind: Constant}, nil},
		{"a constant that is shifted", "riscv64", 0x16, regs{"s1": data - 72}, words{data: 0x800},
			Store{PC: 0x14, Text: "sw a5,72(s1)", Addr: data, Size: 4, Kind: Constant}, nil},
		{"a constant in two parts", "riscv64", 0x22, regs{"s2": data}, words{data: 0x57ac6e9d},
			Store{PC: 0x1e, Text: "sd a4,0(s2)", Addr: data, Size: 8, Kind: Constant}, nil},
		{"a moved register", "riscv64", 0x28, regs{"s2": data - 8}, words{data: 1},
			Store{PC: 0x24, Text: "sd a3,8(s2)", Addr: data, Size: 8, Kind: Computed}, nil},
		{"an atomic change", "riscv64", 0x2c, regs{"s5": data}, words{data: 1},
			Store{PC: 0x28, Text: "amoadd.w a0,a1,(s5)", Addr: data, Size: 4, Kind: Computed}, nil},
	} {
		t.Run(tt.arch+" "+tt.name, func(t *testing.T) {
			code := assembled(t, map[string]string{"x86_64": codeX86, "riscv64": codeRISCV}[tt.arch])
			got, err := Find(Guest{
				Arch: tt.arch, PC: text + tt.pc, Regs: tt.regs, Addr: data, Size: 8,
				Read: func(addr uint64, buf []byte) error {
					if off := addr - text; off < uint64(len(code)) {
						copy(buf, code[off:])
						return nil
					}
					v, ok := tt.memory[addr]
					if !ok {
						return errors.New("not mapped")
					}
					for i := range buf {
						buf[i] = byte(v >> (8 * i))
					}
					return nil
				},
				Function: func(uint64) (uint64, bool) { return text, true },
			})
			if tt.want.PC += text; tt.err != nil {
				tt.want.PC = 0
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// Any bytes decode to instructions of some size, so that the way through a function ends.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0xf3, 0x48, 0xa5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, code []byte) {
		code = append(code, make([]byte, 16)...)
		for name, d := range decoders {
			if in, ok := d.decode(code, text); ok && (in.size < 1 || in.size > d.longest) {
				t.Errorf("%s: % x has %d bytes", name, code, in.size)
			}
		}
	})
}
