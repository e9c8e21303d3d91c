package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/gdb"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/proxy"
)

// back is what gdb is driven with: it says what it finds, and where something differs.
const back = `
def registers():
    return {r.name: register(r.name) for r in gdb.selected_frame().architecture().registers("general")
            if r.name in ("pc", "rip", "sp", "rsp", "a0", "a1", "rdi", "rsi", "rax", "rbx", "ra", "s0")}

def here():
    found = place()[0], registers(), memory(register(kernel["roles"]["sp"]), 256)
    if known.setdefault(found[0], found) != found:
        print("FOUND differs at %s: %s, not %s" % (found[0], found, known[found[0]]))
    return found[0]

known, stops = {}, []
def go(command, times=1):
    for _ in range(times):
        gdb.execute(command)
        here()
    pc = register(kernel["roles"]["pc"])
    print("FOUND", command, *[name for name, p in kernel["places"].items() if p["address"] == pc and name in lab.points])

here()
go("continue", 3)
first = here()
go("reverse-continue")
go("reverse-continue", 2)
go("reverse-continue")
go("continue", 3)
if here() != first: print("FOUND another place: %s, not %s" % (here(), first))
go("reverse-stepi", 3)
go("stepi", 2)
go("stepi")
if here() != first: print("FOUND another place: %s, not %s" % (here(), first))
go("continue", 2)
pid = lab.tasks["child"] + kernel["types"]["task_struct"]["pid"]["offset"]
after_write = word(pid, 4)
watch = gdb.Breakpoint("*(int *)%#x" % pid, gdb.BP_WATCHPOINT)
go("reverse-continue")
before = word(pid, 4)
gdb.execute("stepi", to_string=True)
print("FOUND the write", before != after_write, word(pid, 4) == after_write)
watch.delete()
go("reverse-continue", 2)
caller = gdb.selected_frame().older().pc()
go("reverse-finish")
print("FOUND the call", 0 < caller - register(kernel["roles"]["pc"]) <= 8)
entry = int(gdb.parse_and_eval("$kernel_clone"))
gdb.execute("delete")
gdb.execute("break *%#x" % (entry + after), to_string=True)
go("reverse-continue")
print("FOUND the breakpoint", register(kernel["roles"]["pc"]) == entry + after)
gdb.execute("set $" + kernel["roles"]["ret"] + " = 0x1234")
gdb.execute("stepi 3", to_string=True)
gdb.execute("reverse-stepi 3", to_string=True)
print("FOUND what was written", register(kernel["roles"]["ret"]) == 0x1234)
`

// Real gdb goes back in a lab, to stops, instructions and breakpoints, and finds there
// what it found before.
func TestGDBGoesBack(t *testing.T) {
	want := []string{
		"continue dup_task_struct",
		"reverse-continue copy_process", "reverse-continue sys_clone", "reverse-continue sys_clone", "continue dup_task_struct",
		"reverse-stepi", "stepi", "stepi dup_task_struct",
		"continue pid_vnr", "reverse-continue", "the write True True", "reverse-continue dup_task_struct",
		"reverse-finish", "the call True", "reverse-continue", "the breakpoint True", "what was written True",
	}
	// The second instruction of kernel_clone.
	after := map[string]string{"x86_64": "after = 5\n", "riscv64": "after = 4\n"}
	onKernel(t, []string{gdb.Debugger}, func(t *testing.T, a *app, tg prepare.Target) {
		said := goBack(t, a, tg, after[tg.Arch.Name]+back)
		var got []string
		for line := range strings.Lines(said) {
			if found, ok := strings.CutPrefix(line, "FOUND "); ok {
				got = append(got, strings.TrimSpace(found))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +found:\n%s\ngdb said:\n%s", diff, said)
		}
	})
	if len(after) != len(arch.All()) {
		t.Error("an architecture is missing")
	}
}

// walks is how many walks are taken in each machine; LAB_WALKS is another number.
const walks = 1

// Walks back and forth through a run, with a seed, find at each place the registers that
// were there before, and at its stops the guest's whole memory.
func TestWalks(t *testing.T) {
	n := walks
	if text := os.Getenv("LAB_WALKS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	onKernel(t, nil, func(t *testing.T, a *app, tg prepare.Target) {
		w := newWalker(t, a, tg)
		for seed := range n {
			w.take(uint64(seed))
		}
		t.Logf("%d walks, %d moves to %d places", n, w.moves, len(w.registers))
	})
}

// walker is a run that a test goes back in.
type walker struct {
	t         *testing.T
	h         *proxy.History
	points    []proxy.Point
	image     string // a file for the guest's memory
	ram, size uint64
	registers map[string]string // by place
	memory    map[string]uint32 // by place, of stops
	end       string            // the last stop
	moves     int
}

func newWalker(t *testing.T, a *app, tg prepare.Target) *walker {
	l, err := prepare.Lab("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	job, err := a.host().Job(t.Context(), l, tg, prepare.Machine{Seed: prepare.DefaultSeed, CPUs: 1})
	if err != nil {
		t.Fatal(err)
	}
	w := &walker{t: t, registers: map[string]string{}, memory: map[string]uint32{}, size: uint64(job.Machine.Config().Size())}
	w.ram = map[string]uint64{"x86_64": 0, "riscv64": 0x80000000}[tg.Arch.Name]
	w.image = filepath.Join(t.TempDir(), "ram")
	w.h, err = proxy.NewHistory(t.Context(), proxy.Config{Dir: t.TempDir(), Open: func(ctx context.Context) (*machine.Machine, error) {
		o, err := job.Open(ctx, io.Discard)
		if err != nil {
			return nil, err
		}
		return o.Machine, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.h.Close)
	for _, name := range []string{"kernel_clone", "copy_process", "arch_dup_task_struct"} {
		at, err := tg.Image.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(w.points) > 0 {
			w.move("stepi") // off the breakpoint
		}
		w.points = append(w.points, proxy.Point{Kind: '0', Addr: at.Addr, Size: 2})
		w.move("continue")
		w.remember()
	}
	w.end = w.h.Place()
	return w
}

// move moves, and compares the registers with those that were at the place before.
func (w *walker) move(how string) {
	w.t.Helper()
	ctx := w.t.Context()
	var err error
	switch how {
	case "continue":
		_, err = w.h.Continue(ctx, w.points)
	case "reverse-continue":
		_, err = w.h.ContinueBack(ctx, w.points)
	case "stepi":
		_, err = w.h.Step(ctx, w.points)
	case "reverse-stepi":
		_, err = w.h.StepBack(ctx)
	}
	if err != nil {
		w.t.Fatalf("%s to %s: %v", how, w.h.Place(), err)
	}
	m, err := w.h.Machine(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	found, err := m.Stub.Relay(ctx, "g")
	if err != nil {
		w.t.Fatal(err)
	}
	w.moves++
	place := w.h.Place()
	if was, known := w.registers[place]; known && was != string(found) {
		w.t.Errorf("%s to %s: registers %s, were %s", how, place, found, was)
	}
	w.registers[place] = string(found)
}

// remember compares the guest's memory with what it was at the place before.
func (w *walker) remember() {
	w.t.Helper()
	m, err := w.h.Machine(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if said, err := m.Stub.Monitor(w.t.Context(), fmt.Sprintf("pmemsave %#x %d %q", w.ram, w.size, w.image)); err != nil || said != "" {
		w.t.Fatal(said, err)
	}
	b, err := os.ReadFile(w.image)
	if err != nil {
		w.t.Fatal(err)
	}
	sum := crc32.ChecksumIEEE(b)
	place := w.h.Place()
	if was, known := w.memory[place]; known && was != sum {
		w.t.Errorf("at %s the guest's memory is not what it was", place)
	}
	w.memory[place] = sum
}

// take takes a walk from the last stop, and back to a stop.
func (w *walker) take(seed uint64) {
	w.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 6 {
		how := []string{"continue", "reverse-continue", "stepi", "reverse-stepi", "reverse-stepi"}[r.IntN(5)]
		if w.h.Place() == w.end && !strings.HasPrefix(how, "reverse") {
			how = "reverse-stepi" // further on is another run
		}
		w.move(how)
	}
	for w.memory[w.h.Place()] == 0 {
		w.move([]string{"continue", "reverse-continue"}[r.IntN(2)])
	}
	w.remember()
	for w.h.Place() != w.end {
		w.move("continue")
	}
}

// goBack runs a script in a session of fork-new.
func goBack(t *testing.T, a *app, tg prepare.Target, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sessionLimit)
	defer cancel()
	l, err := prepare.Lab("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	s, err := gdb.StartAtStop(ctx, a.host(), l, tg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	args := append([]string{"-batch", "-nx"}, s.Command[1:]...)
	program := exec.CommandContext(ctx, s.Command[0], append(args, "-ex", "python "+script)...)
	said, err := program.CombinedOutput()
	if err != nil {
		t.Errorf("gdb: %v", err)
	}
	return string(said)
}
