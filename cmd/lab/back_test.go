package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/gdb"
	"kernellab/harness/prepare"
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
