package blocks

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The lines are from logs of QEMU 10.0.

// x86Log has a loop that is run, interrupted by the local timer's interrupt, announced
// and not run, and a page fault of a program.
const x86Log = `----------------
IN: 
0xffffffff81000000:  48 89 e5                 movq     %rsp, %rbp
0xffffffff81000003:  65 48 8b 04 25 28 00 00  movq     %gs:0x28, %rax
0xffffffff8100000b:  00
0xffffffff8100000c:  75 f2                    jne      0xffffffff81000000

Trace 0: 0x7f4f7c000100 [00000000/ffffffff81000000/0040c2b0/ff022200] 
Trace 0: 0x7f4f7c000100 [00000000/ffffffff81000000/0040c2b0/ff022200] 
Stopped execution of TB chain before 0x7f4f7c000100 [ffffffff81000000] 
Servicing hardware INT=0xec
     0: v=ec e=0000 i=0 cpl=0 IP=0010:ffffffff81000000 pc=ffffffff81000000 SP=0018:ffffc90000607948 env->regs[R_EAX]=00007f252145a000
RAX=00007f252145a000 RBX=0000000000000000 RCX=000fffffffe00000 RDX=0000000000000001
----------------
IN: 
0xffffffff81c00eb0:  0f 1f 00                 nopl     (%rax)
0xffffffff81c00eb3:  48 cf                    iretq    

Trace 0: 0x7f4f7c000200 [00000000/ffffffff81c00eb0/0040c290/ff022200] 
Trace 0: 0x7f4f7c000100 [00000000/ffffffff81000000/0040c2b0/ff022200] 
----------------
IN: 
0x00454af0:  90                       nop      
0x00454af1:  89 b7 00 d0 5f ff        movl     %esi, -0xa03000(%rdi)
0x00454af7:  e8 04 00 00 00           callq    0x454b00

Trace 0: 0x7f4f7c000300 [00000000/0000000000454af0/0040c2b3/ff022200] 
check_exception old: 0xffffffff new 0xe
     1: v=0e e=0007 i=0 cpl=3 IP=0033:0000000000454af1 pc=0000000000454af1 SP=002b:000007363b0e5f20 CR2=000007363b0e5f18
`

// loopLog has a loop that an interrupt ends after it has run once, before its next round.
const loopLog = `IN: 
0xffffffff81000000:  48 89 e5                 movq     %rsp, %rbp
0xffffffff81000003:  75 fb                    jne      0xffffffff81000000

Trace 0: 0x7f4f7c000100 [00000000/ffffffff81000000/0040c2b0/ff022200] 
Servicing hardware INT=0xec
     0: v=ec e=0000 i=0 cpl=0 IP=0010:ffffffff81000000 pc=ffffffff81000000 SP=0018:ffffc90000607948 env->regs[R_EAX]=00007f252145a000
`

// deviceLog has an access to a device, before which QEMU ends the block, and an
// instruction with a rep prefix.
const deviceLog = `IN: 
0xffffffff8106ab00:  31 c0                    xorl     %eax, %eax
0xffffffff8106ab02:  89 b7 00 d0 5f ff        movl     %esi, -0xa03000(%rdi)
0xffffffff8106ab08:  f3 48 ab                 rep stosq %rax, %es:(%rdi)

Trace 0: 0x7f4f7c126600 [00000000/ffffffff8106ab00/0040c2b0/ff022200] 
cpu_io_recompile: rewound execution of TB to ffffffff8106ab02
IN: 
0xffffffff8106ab02:  89 b7 00 d0 5f ff        movl     %esi, -0xa03000(%rdi)

Trace 0: 0x7f4f7c126780 [00000000/ffffffff8106ab02/0040c2b0/ff033201] 
IN: 
0xffffffff8106ab08:  f3 48 ab                 rep stosq %rax, %es:(%rdi)

Trace 0: 0x7f4f7c126900 [00000000/ffffffff8106ab08/0040c2b0/ff022200] 
Trace 0: 0x7f4f7c126900 [00000000/ffffffff8106ab08/0040c2b0/ff022200] 
`

// riscvLog begins with an interrupt, and has a system call whose code is at two
// addresses, as QEMU uses a translation again for the same physical page.
const riscvLog = `riscv_cpu_do_interrupt: hart:0, async:1, cause:0000000000000005, epc:0xffffffff800219e8, tval:0x0000000000000000, desc=s_timer
----------------
IN: 
0xffffffff80a81240:  14021273          csrrw                   tp,sscratch,tp
0xffffffff80a81244:  10200073          sret                    

Trace 0: 0x7f0ae4000100 [00000000/ffffffff80a81240/82424001/ff022200] 
IN: 
0x00073740:  712d              addi                    sp,sp,-288
0x00073742:  00000073          ecall                   

Trace 0: 0x7f0ae4014b00 [00000000/0000000000073740/82024010/ff022200] 
riscv_cpu_do_interrupt: hart:0, async:0, cause:0000000000000008, epc:0x0000000000073742, tval:0x0000000000000000, desc=user_ecall
Trace 0: 0x7f0ae4000100 [00000000/ffffffff80a81240/82424001/ff022200] 
Trace 0: 0x7f0ae4014b00 [00000000/00007fff9daca740/82024010/ff022200] 
riscv_cpu_do_interrupt: hart:0, async:0, cause:0000000000000008, epc:0x00007fff9daca742, tval:0x0000000000000000, desc=user_ecall
`

// parsed reads a log and writes its blocks a line each.
func parsed(t *testing.T, arch, log string, pc uint64) (string, Total) {
	t.Helper()
	var out strings.Builder
	p := newParser(decoders()[arch])
	p.begin(func(b Block) error {
		fmt.Fprintf(&out, "%x mode %d, %d ran, ends %d, again %t, to %x", b.PC, b.Mode, b.N, b.Ends(), b.Again, b.Next)
		if in := b.Interrupt; in != nil {
			fmt.Fprintf(&out, " by %x device %t sp %x %s", in.Cause, in.Device, in.SP, in.Name)
		}
		out.WriteString("\n")
		return nil
	})
	for line := range strings.Lines(log) {
		if err := p.line([]byte(strings.TrimSuffix(line, "\n"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.end(pc); err != nil {
		t.Fatal(err)
	}
	return out.String(), p.total
}

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct {
		arch, log string
		pc        uint64
		want      string
		total     Total
	}{
		"interrupts": {"x86_64", x86Log, 0xffffffff81c00eb0, `ffffffff81000000 mode 0, 3 ran, ends 2, again false, to ffffffff81000000
ffffffff81000000 mode 0, 0 ran, ends 0, again false, to ffffffff81000000 by ec device true sp ffffc90000607948 
ffffffff81c00eb0 mode 0, 2 ran, ends 8, again false, to ffffffff81000000
ffffffff81000000 mode 0, 3 ran, ends 2, again false, to 454af0
454af0 mode 1, 1 ran, ends 0, again false, to 454af1 by e device false sp 7363b0e5f20 
`, Total{9, 5}},
		"an interrupt between the rounds of a loop": {"x86_64", loopLog, 0xffffffff81c00eb0, `ffffffff81000000 mode 0, 2 ran, ends 2, again false, to ffffffff81000000 by ec device true sp ffffc90000607948 
`, Total{2, 1}},
		"a device and rep": {"x86_64", deviceLog, 0xffffffff8106ab0b, `ffffffff8106ab00 mode 0, 1 ran, ends 0, again false, to ffffffff8106ab02
ffffffff8106ab02 mode 0, 1 ran, ends 0, again false, to ffffffff8106ab08
ffffffff8106ab08 mode 0, 1 ran, ends 9, again false, to ffffffff8106ab08
ffffffff8106ab08 mode 0, 1 ran, ends 9, again true, to ffffffff8106ab0b
`, Total{4, 4}},
		"system calls": {"riscv64", riscvLog, 0xffffffff80a81240, `ffffffff800219e8 mode 0, 0 ran, ends 0, again false, to ffffffff800219e8 by 5 device true sp 0 s_timer
ffffffff80a81240 mode 0, 2 ran, ends 8, again false, to 73740
73740 mode 1, 2 ran, ends 7, again false, to 73742 by 8 device false sp 0 user_ecall
ffffffff80a81240 mode 0, 2 ran, ends 8, again false, to 7fff9daca740
7fff9daca740 mode 1, 2 ran, ends 7, again false, to 7fff9daca742 by 8 device false sp 0 user_ecall
`, Total{8, 5}},
	} {
		got, total := parsed(t, tt.arch, tt.log, tt.pc)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if total != tt.total {
			t.Errorf("%s: %v, want %v", name, total, tt.total)
		}
	}
}

// A block whose code is not in the log is an error, and no guess.
func TestParseUnknown(t *testing.T) {
	p := newParser(decoders()["x86_64"])
	p.begin(nil)
	if err := p.line([]byte("Trace 0: 0x7f4f7c126780 [00000000/ffffffff8106ab02/0040c2b0/ff022200] ")); err == nil {
		t.Error("a block without its code is no error")
	}
}

// The one instruction that QEMU runs of a page with a breakpoint, and that is not in the
// log, is read from the page.
func TestParsePage(t *testing.T) {
	for name, tt := range map[string]struct {
		page []byte
		want Code
	}{
		"read":     {append(make([]byte, 0xb02), "\xe8\x10\x00\x00\x00"...), Code{At: []uint64{0xffffffff8106ab02}, Text: []string{"callq .+0x10"}, End: 0xffffffff8106ab07, Kind: Call, Target: 0xffffffff8106ab17}},
		"not read": {nil, Code{At: []uint64{0xffffffff8106ab02}, Text: []string{Unread}, End: 0xffffffff8106ab02}},
	} {
		p := newParser(decoders()["x86_64"])
		if tt.page != nil {
			p.pages[0xffffffff8106a000] = tt.page
		}
		var got *Code
		p.begin(func(b Block) error {
			got = b.Code
			return nil
		})
		err := p.line([]byte("Trace 0: 0x7f4f7c126780 [00000000/ffffffff8106ab02/0040c2b0/ff062201] "))
		if err == nil {
			err = p.end(0xffffffff8106ab17)
		}
		if diff := cmp.Diff(&tt.want, got); err != nil || diff != "" || p.total.Instructions != 1 {
			t.Errorf("%s: %v, %d instructions (-want +got):\n%s", name, err, p.total.Instructions, diff)
		}
	}
}

// What is kept does not grow with the number of blocks.
func TestMemory(t *testing.T) {
	p := newParser(decoders()["x86_64"])
	p.begin(nil)
	lines := strings.Split(x86Log, "\n")
	loop := []byte(lines[7])
	for _, l := range lines[:7] {
		if err := p.line([]byte(l)); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, func() {
		if err := p.line(loop); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("a block makes %v allocations", n)
	}
	if len(p.codes) != 1 || len(p.moved) != 0 {
		t.Errorf("%d and %d pieces of code are kept of one", len(p.codes), len(p.moved))
	}
}

func TestKinds(t *testing.T) {
	const pc = 0x1000
	for _, tt := range []struct {
		arch   string
		code   string
		kind   Kind
		target uint64
	}{
		{"x86_64", "\xe8\x10\x00\x00\x00", Call, 0x1015},
		{"x86_64", "\xff\xd0", CallTo, 0},
		{"x86_64", "\xeb\xfe", Jump, 0x1000},
		{"x86_64", "\x0f\x85\xfa\xff\xff\xff", Branch, 0x1000},
		{"x86_64", "\xff\xe0", JumpTo, 0},
		{"x86_64", "\xc3", Return, 0},
		{"x86_64", "\xf3\xc3", Return, 0},
		{"x86_64", "\x0f\x05", Trap, 0},
		{"x86_64", "\xcc", Trap, 0},
		{"x86_64", "\x0f\x0b", Trap, 0},
		{"x86_64", "\x48\xcf", TrapEnd, 0},
		{"x86_64", "\x48\x0f\x07", TrapEnd, 0},
		{"x86_64", "\xf3\x48\xa5", Repeated, 0},
		{"x86_64", "\xf3\xaa", Repeated, 0},
		{"x86_64", "\xf3\x90", Plain, 0},         // pause
		{"x86_64", "\xf3\x0f\x1e\xfa", Plain, 0}, // endbr64
		{"x86_64", "\xf2\x0f\x10\x00", Plain, 0}, // movsd, of floating point
		{"x86_64", "\x48\xa5", Plain, 0},
		{"riscv64", "\xef\x00\x00\x01", Call, 0x1010},        // jal ra,16
		{"riscv64", "\x6f\x00\x00\x01", Jump, 0x1010},        // j 16
		{"riscv64", "\xe7\x80\x08\x00", CallTo, 0},           // jalr ra,a7
		{"riscv64", "\x67\x80\x00\x00", Return, 0},           // ret
		{"riscv64", "\x82\x80", Return, 0},                   // c.ret
		{"riscv64", "\x82\x87", JumpTo, 0},                   // c.jr a5
		{"riscv64", "\x82\x97", CallTo, 0},                   // c.jalr a5
		{"riscv64", "\x01\xa8", Jump, 0x1010},                // c.j 16
		{"riscv64", "\x01\xc9", Branch, 0x1010},              // c.beqz a0,16
		{"riscv64", "\x63\x08\x05\x00", Branch, 0x1010},      // beqz a0,16
		{"riscv64", "\x73\x00\x00\x00", Trap, 0},             // ecall
		{"riscv64", "\x02\x90", Trap, 0},                     // c.ebreak
		{"riscv64", "\x73\x00\x20\x10", TrapEnd, 0},          // sret
		{"riscv64", "\x73\x00\x20\x30", TrapEnd, 0},          // mret
		{"riscv64", "\x13\x00\x00\x00", Plain, 0},            // nop
		{"riscv64", "\xff\xff\xff\xff", Plain, 0},            // nothing
		{"riscv64", "\x67\x80\x02\x00", Return, 0},           // jr t0
		{"riscv64", "\xef\x02\x00\x01", Call, 0x1010},        // jal t0,16
		{"riscv64", "\xe3\x18\x05\xfe", Branch, 0x1000 - 16}, // bnez a0,-16
	} {
		kind, target := decoders()[tt.arch].kind(pc, []byte(tt.code))
		if kind != tt.kind || target != tt.target {
			t.Errorf("%s % x: kind %d to %#x, want %d to %#x", tt.arch, tt.code, kind, target, tt.kind, tt.target)
		}
	}
}

// No log makes the parser panic, and no block has more instructions than its code.
func FuzzParse(f *testing.F) {
	f.Add("x86_64", x86Log)
	f.Add("x86_64", deviceLog)
	f.Add("riscv64", riscvLog)
	f.Fuzz(func(t *testing.T, arch, log string) {
		d, ok := decoders()[arch]
		if !ok {
			return
		}
		p := newParser(d)
		sum := 0
		p.begin(func(b Block) error {
			if b.N < 0 || b.Code == nil && b.N > 0 || b.Code != nil && (b.N > len(b.Code.At) || !slices.IsSorted(b.Code.At)) {
				t.Errorf("a block with %d instructions of %v", b.N, b.Code)
			}
			sum += b.N
			return nil
		})
		for line := range strings.Lines(log) {
			if p.line([]byte(strings.TrimSuffix(line, "\n"))) != nil {
				return
			}
		}
		if p.end(0) == nil && p.total.Instructions != uint64(sum) {
			t.Errorf("%d instructions in all, %d in the blocks", p.total.Instructions, sum)
		}
	})
}
