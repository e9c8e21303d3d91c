package blocks_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/blocks"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/prepare/preparetest"
	"kernellab/harness/probe"
	"kernellab/harness/trace"
	"kernellab/images/guest"
)

// job is the run of fork-new on the default kernel of an architecture.
func job(t *testing.T, a arch.Arch) harness.Job {
	t.Helper()
	h, target := preparetest.Target(t, a)
	l, err := prepare.Lab("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	j, err := h.Job(t.Context(), l, target, preparetest.Machine)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// events drives a job, with the log on from each stop to the next if logged, and
// returns its events as JSON, and how many instructions the log counted in all.
func events(t *testing.T, j harness.Job, each func(blocks.Block) error, every bool) (string, blocks.Total) {
	t.Helper()
	ctx := t.Context()
	o, err := j.Open(ctx, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Machine.Close()
	log, err := blocks.New(o.Machine.Stub, j.Machine.Arch)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var text strings.Builder
	var total blocks.Total
	on := false
	off := func(ctx context.Context) error {
		regs, err := o.Machine.Stub.Registers(ctx)
		if err != nil || !on {
			return err
		}
		n, err := log.Off(ctx, regs[j.Machine.Arch.Registers.PC])
		total.Blocks += n.Blocks
		total.Instructions += n.Instructions
		on = false
		return err
	}
	err = j.Drive(ctx, o, func(e trace.Event) error { return json.NewEncoder(&text).Encode(e) }, func(ctx context.Context, h *probe.Here) (bool, error) {
		if each == nil || h.Event.Aside != "" || on && !every {
			return false, nil
		}
		if err := off(ctx); err != nil {
			return false, err
		}
		on = true
		return false, log.On(ctx, each)
	})
	if err == nil {
		err = off(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text.String(), total
}

// The log changes nothing: every stop is the same with it and without. What runs between
// all stops is the sum of what runs between each two. Every block goes on where its last
// instruction says, and that is what QEMU's own disassembler says of it.
func TestSameRun(t *testing.T) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			j := job(t, a)
			without, _ := events(t, j, nil, false)
			with, whole := events(t, j, func(b blocks.Block) error { return nil }, false)
			if diff := cmp.Diff(without, with); diff != "" {
				t.Errorf("the log changes the run (-without +with):\n%s", clip(diff))
			}
			decoded := map[*blocks.Code]bool{}
			again, pieces := events(t, j, func(b blocks.Block) error {
				follows(t, b)
				if b.Code != nil && !decoded[b.Code] && len(b.Code.At) > 1 { // one alone may be our own disassembly
					decoded[b.Code] = true
					agrees(t, b.Code)
				}
				return nil
			}, true)
			if again != without {
				t.Error("the log changes the run when it is switched at each stop")
			}
			if pieces.Instructions != whole.Instructions || whole.Instructions == 0 {
				t.Errorf("%d instructions between all stops, %d between each two", whole.Instructions, pieces.Instructions)
			}
			t.Logf("%d instructions in %d blocks of %d pieces of code", whole.Instructions, whole.Blocks, len(decoded))
		})
	}
}

// follows checks that a block went on where it can have gone on.
func follows(t *testing.T, b blocks.Block) {
	if b.Code == nil || b.N == 0 {
		return
	}
	next := b.Code.End
	if b.N < len(b.Code.At) {
		next = b.Code.At[b.N]
	}
	ok := true
	switch b.Ends() {
	case blocks.Plain:
		ok = b.Next == next
	case blocks.Repeated:
		ok = b.Next == next || b.Next == b.Code.At[b.N-1]
	case blocks.Branch:
		ok = b.Next == next || b.Next == b.Code.Target
	case blocks.Jump, blocks.Call:
		// lab leaves a breakpoint at the first instruction of a function by setting the PC.
		ok = b.Next >= b.Code.Target && b.Next < b.Code.Target+8
	}
	if !ok {
		t.Errorf("%#x to %#x (%q) went on at %#x after %d instructions", b.PC, b.Code.End, b.Code.Text[len(b.Code.Text)-1], b.Next, b.N)
	}
}

// mnemonics are QEMU's names of instructions, by kind.
var mnemonics = map[blocks.Kind]*regexp.Regexp{
	blocks.Jump:     regexp.MustCompile(`^(jmp 0x|j -?\d)`),
	blocks.Branch:   regexp.MustCompile(`^(j[a-ln-z][a-z]* 0x|loop|b(eq|ne|lt|ge|gt|le)u?z? )`),
	blocks.JumpTo:   regexp.MustCompile(`^(n?o?t?r?a?c?k? ?jmpq|jr [^rt]|jr t[^0]|jalr zero,([^rt]|t[^0]))`),
	blocks.Call:     regexp.MustCompile(`^(callq 0x|jal (ra|t0),)`),
	blocks.CallTo:   regexp.MustCompile(`^(callq \*|jalr (ra|t0),)`),
	blocks.Return:   regexp.MustCompile(`^(retq|repz retq|ret$|jr (ra|t0)|jalr zero,(ra|t0))`),
	blocks.Trap:     regexp.MustCompile(`^(syscall|ecall|ebreak|int3|ud2)`),
	blocks.TrapEnd:  regexp.MustCompile(`^(iretq|sysretq|sret|mret)`),
	blocks.Repeated: regexp.MustCompile(`^rep.* (mov|sto|lod|cmp|sca)s`),
}

// agrees checks what golang.org/x/arch says of a piece of code against QEMU's
// disassembler.
func agrees(t *testing.T, c *blocks.Code) {
	text, want := c.Text[len(c.Text)-1], blocks.Plain
	for kind, m := range mnemonics {
		if m.MatchString(text) {
			want = kind
		}
	}
	if c.Kind != want {
		t.Errorf("%q at %#x is of kind %d, want %d", text, c.At[len(c.At)-1], c.Kind, want)
	}
}

// The instructions of the blocks are as many as QEMU counts in a machine that records,
// while the guest makes a process of the lab's program and that runs to its end.
func TestAgreesWithReplay(t *testing.T) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			j := job(t, a)
			s := j.Machine
			// A machine that records cannot be restored.
			s.Snapshots = nil
			s.QEMU = append(s.QEMU, "-icount", "rr=record,rrfile=/dev/null")
			ctx, done := context.WithTimeout(t.Context(), machine.DefaultGuard)
			defer done()
			m, err := s.Start(ctx, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			log, err := blocks.New(m.Stub, a)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if err := log.On(ctx, nil); err != nil {
				t.Fatal(err)
			}
			before := replayed(ctx, t, m)
			program, err := os.ReadFile(j.Program)
			if err != nil {
				t.Fatal(err)
			}
			p, err := m.Agent.Start(ctx, guest.Program{Path: "/bin/fork-new", Binary: program})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Run(ctx, guest.DefaultLimit); err != nil {
				t.Fatal(err)
			}
			after := replayed(ctx, t, m)
			regs, err := m.Stub.Registers(ctx)
			if err != nil {
				t.Fatal(err)
			}
			total, err := log.Off(ctx, regs[a.Registers.PC])
			if err != nil {
				t.Fatal(err)
			}
			if total.Instructions != after-before {
				t.Errorf("%d instructions in %d blocks, QEMU counts %d", total.Instructions, total.Blocks, after-before)
			}
			t.Logf("%d instructions in %d blocks", total.Instructions, total.Blocks)
		})
	}
}

var instruction = regexp.MustCompile(`instruction count = (\d+)`)

// replayed is QEMU's count of instructions since the machine's start.
func replayed(ctx context.Context, t *testing.T, m *machine.Machine) uint64 {
	t.Helper()
	text, err := m.Stub.Monitor(ctx, "info replay")
	if err != nil {
		t.Fatal(err)
	}
	found := instruction.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("info replay prints %q", text)
	}
	n, err := strconv.ParseUint(found[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// clip shortens what a failing test prints.
func clip(text string) string { return text[:min(len(text), 2000)] }
