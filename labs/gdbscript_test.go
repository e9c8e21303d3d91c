package labs_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/gdbscripts"
	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/kernel/kerneltest"
	"kernellab/internal/labtest"
	"kernellab/labs"
)

var update = flag.Bool("update", false, "rewrite the scripts in gdbscripts")

func TestGDBScripts(t *testing.T) {
	for _, l := range all(t) {
		for _, a := range arch.Names() {
			got, err := l.GenerateGDBScript(a)
			if err != nil {
				t.Error(err)
				continue
			}
			file := filepath.Join("..", "gdbscripts", l.Name+"."+a+".gdb")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := l.GDBScript(a)
			if err != nil {
				t.Error(err)
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s is stale: run go test ./labs -run TestGDBScripts -update (-file +lab):\n%s", file, diff)
			}
		}
	}
	if _, err := all(t)[0].GenerateGDBScript("s390x"); err == nil {
		t.Error("a script for s390x")
	}
	if _, err := (labs.Lab{Name: "none"}).GDBScript("x86_64"); err == nil {
		t.Error("a script of no lab")
	}
}

const gdb = "gdb-multiarch"

// runGDB has gdb read the helper, a kernel and then scripts, without a guest.
func runGDB(t *testing.T, k labs.GDBKernel, gdbArch string, scripts ...string) string {
	t.Helper()
	dir := t.TempDir()
	facts, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-nx", "-batch", "-ex", "set architecture " + gdbArch}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args = append(args, "-x", write("lab.py", gdbscripts.Helper))
	args = append(args, "-ex", fmt.Sprintf("python kernel = json.load(open(%q))", write("kernel.json", string(facts))))
	for i, s := range scripts {
		args = append(args, "-x", write(fmt.Sprintf("%d.gdb", i), s))
	}
	out, err := exec.CommandContext(t.Context(), gdb, args...).CombinedOutput()
	if err != nil {
		t.Logf("gdb: %v", err)
	}
	return string(out)
}

// gdb accepts every lab's script with what the kernels at hand have, leaves out
// nothing, and has a breakpoint at each point, of which only the entry's is enabled.
func TestGDBOnKernels(t *testing.T) {
	for _, a := range arch.All() {
		images := kerneltest.Images(t, a.Name)
		labtest.Programs(t, a.Name, gdb)
		if testing.Short() {
			images = images[:1]
		}
		for _, path := range images {
			t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
				im, err := kernel.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range all(t) {
					k, err := l.GDBKernel(im)
					if err != nil {
						t.Error(err)
						continue
					}
					script, err := l.GDBScript(a.Name)
					if err != nil {
						t.Fatal(err)
					}
					out := runGDB(t, k, a.GDB, script+"info breakpoints\n")
					if !strings.Contains(out, "\nReady: ") || strings.Contains(out, "Left out:") {
						t.Errorf("%s: gdb said:\n%s", l.Name, out)
					}
					left := strings.Count(script, "\n# Left out: ")
					number := 0
					for _, p := range l.Points(a.Name) {
						if strings.Contains(script, "\n# Left out: "+p.Name+":") {
							left--
							continue
						}
						if p.ReturnOf != "" {
							continue
						}
						number++
						enabled := map[bool]string{true: "y", false: "n"}[p.Entry]
						line := fmt.Sprintf(`(?m)^%d +breakpoint +keep %s +%#016x .*\n\s+stop only if \$lab_at\("%s"\)`,
							number, enabled, k.Places[p.Place].Address, p.Name)
						if !regexp.MustCompile(line).MatchString(out) {
							t.Errorf("%s: no breakpoint at %s as it should be, %s:\n%s", l.Name, p.Name, line, out)
						}
					}
					if left != 0 {
						t.Errorf("%s: %d points are left out that the lab does not have", l.Name, left)
					}
				}
			})
		}
	}
}

// The arguments of a system call are where the ABI of ptrace has the registers of
// user space: struct user_regs_struct of each architecture.
func TestGDBKernelArguments(t *testing.T) {
	offsets := map[string]int{"x86_64": 14 * 8, "riscv64": 35 * 8} // di; orig_a0
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range arch.All() {
		images := kerneltest.Images(t, a.Name)
		im, err := kernel.Open(images[len(images)-1])
		if err != nil {
			t.Fatal(err)
		}
		k, err := l.GDBKernel(im)
		if err != nil {
			t.Fatal(err)
		}
		offset := offsets[a.Name]
		first := a.Registers.Args[0]
		want := labs.GDBArg{Register: first, Offset: &offset, Size: 8}
		if diff := cmp.Diff(want, k.Places["sys_clone"].Args["clone_flags"]); diff != "" {
			t.Errorf("%s: clone_flags (-want +got):\n%s", a.Name, diff)
		}
		want = labs.GDBArg{Register: first, Size: 8, Struct: "task_struct"}
		if diff := cmp.Diff(want, k.Places["release_task"].Args["p"]); diff != "" {
			t.Errorf("%s: release_task's p (-want +got):\n%s", a.Name, diff)
		}
	}
}

// madeKernel is a kernel for tests of the helper: a task_struct of 0x40 bytes.
func madeKernel(t *testing.T, archName string) (labs.GDBKernel, arch.Arch) {
	t.Helper()
	a, err := arch.Lookup(archName)
	if err != nil {
		t.Fatal(err)
	}
	k := labs.NewGDBKernel(a)
	at := 8
	task := labs.GDBArg{Register: "a0", Size: 8, Struct: "task_struct"}
	k.Places = map[string]labs.GDBPlace{
		"sys_make": {Symbol: "__riscv_sys_make", Address: 0xffffffff80000100, Args: map[string]labs.GDBArg{
			"flags": {Register: "a0", Offset: &at, Size: 4, Signed: true},
		}},
		"dup":  {Symbol: "dup.isra.0", Address: 0xffffffff80000200, Args: map[string]labs.GDBArg{"dst": task}},
		"wake": {Symbol: "wake", Address: 0xffffffff80000300, Args: map[string]labs.GDBArg{"p": task}},
		"free": {Symbol: "free", Address: 0xffffffff80000400, Args: map[string]labs.GDBArg{"p": task}},
	}
	k.Types = map[string]map[string]labs.GDBField{"task_struct": {
		"pid":    {Offset: 0, Size: 4, Signed: true, Kind: "number"},
		"comm":   {Offset: 8, Size: 16, Kind: "text"},
		"parent": {Offset: 24, Size: 8, Struct: "task_struct", Kind: "number"},
		"se":     {Offset: 32, Size: 8, Struct: "entity", Kind: "inside"},
	}, "entity": {"weight": {Offset: 4, Size: 1, Kind: "number"}}}
	return k, a
}

// madeGuest stands in for a guest: its registers and memory are Python's. hit stops
// it at an address in a task, and does what gdb does at breakpoints there.
const madeGuest = `
python
ram = {}
registers = {}
def put(address, data):
    for i, b in enumerate(data):
        ram[address + i] = b
def memory(address, size):
    if any(address + i not in ram for i in range(size)):
        raise gdb.MemoryError("Cannot access memory at address %#x" % address)
    return bytes(ram[address + i] for i in range(size))
def register(name):
    return registers[name]
def make_task(address, pid, comm, parent=0, weight=0):
    put(address, pid.to_bytes(4, "little", signed=True) + bytes(4) + comm.ljust(16, b"\0")
        + parent.to_bytes(8, "little") + bytes(4) + bytes([weight]) + bytes(3))
def hit(task, place, a0=0, ra=0xffffffff80000999):
    registers.update(tp=task, sp=0xffffffd000000000, a0=a0, ra=ra, a1=1, a2=2, pc=place)
    for b in list(gdb.breakpoints()):
        if b.enabled and int(b.location.lstrip("*"), 0) == place:
            if gdb.parse_and_eval(b.condition):
                lab.reached(b.condition.split('"')[1])
def enabled():
    print("enabled: " + " ".join(n for n, p in lab.points.items() if p.breakpoint and p.breakpoint.enabled))
SYS, DUP, WAKE, FREE = (kernel["places"][p]["address"] for p in ("sys_make", "dup", "wake", "free"))
A, B, C, D = (0xffffffe000000000 + 0x1000 * i for i in range(4))
make_task(A, 100, b"maker")
make_task(B, -1, b"child", parent=A, weight=7)
make_task(C, 2, b"kthreadd")
make_task(D, 300, b"other", parent=C)
put(0x5008, (0x111).to_bytes(4, "little") + bytes(4))
put(0x6008, (-5).to_bytes(4, "little", signed=True) + bytes(4))
end
`

// The helper stops where the lab's tasks are at their points, and nowhere else.
func TestGDBHelper(t *testing.T) {
	labtest.Programs(t, "riscv64", gdb)
	k, a := madeKernel(t, "riscv64")
	const script = `
python
lab = Lab("made")
lab.task("maker")
lab.task("daemon", when="task.pid == 2 and current.comm == 'kthreadd'")
lab.task("child")
lab.point("sys_make", "maker", entry=True, when="bitand(arg.flags, CLONE_VM) != 0 && !(arg.flags < 0)", means="It begins.")
lab.point("dup", "maker", finds={"child": "arg.dst"})
lab.point("dup_returns", "maker", place="dup", step=False, returns="dup", when="ret != 0")
lab.point("wake", "child", armed=["dup"], when="as(arg.p, \"task_struct\").se.weight == 7")
lab.point("freed", "daemon", place="free", step=False, armed=["wake"], until="again",
    when="read.father == maker and arg.p == dup.arg.dst", reads={"father": "arg.p.none ?? arg.p.parent"})
lab.point("again", "maker", place="sys_make", step=False, armed=["wake"], when="arg.flags < 0")
lab.point("lacking", "any", place="nowhere")
lab.point("lacking_returns", "any", place="sys_make", returns="lacking")
lab.point("odd", "any", place="free", when="task.comm matches 'x'")
lab.point("typo", "any", place="free", when="arg.q == child")
lab.ready()
end
python
enabled()
for value in ("A", "B"):
    hit(eval(value), DUP, a0=B)           # before the entry: not enabled
hit(A, SYS, a0=0x6000)                     # flags are negative
hit(A, SYS, a0=0x5000)
enabled()
hit(A, SYS, a0=0x5000)                     # the maker's next call is no entry
hit(D, DUP, a0=B)                          # another task
hit(A, DUP, a0=B)
enabled()
hit(A, 0xffffffff80000999, a0=0)           # the call's return, whose condition is false
hit(D, 0xffffffff80000999, a0=1)
hit(A, 0xffffffff80000999, a0=1)
hit(B, WAKE, a0=D)                         # its weight is another
hit(B, WAKE, a0=0x7000)                    # which can not be read
hit(B, WAKE, a0=B)
enabled()
hit(A, FREE, a0=B)                         # not the daemon
hit(C, FREE, a0=D)                         # not the child
hit(C, FREE, a0=B)
hit(C, FREE, a0=B)                         # it stays until again
hit(A, SYS, a0=0x6000)
enabled()
print("lab_child is %#x" % int(gdb.convenience_variable("lab_child")))
end
`
	out := runGDB(t, k, a.GDB, madeGuest, script)
	const regs = " sp=0xffffffd000000000 ra=0xffffffff80000999 a0=%s a1=0x1 a2=0x2"
	want := []string{
		"Left out: lacking: this kernel has no place for it",
		"Left out: lacking_returns: it is the return of lacking, which is left out",
		"Left out: odd: task.comm matches 'x': Python can not read it",
		"Left out: typo: arg.q == child: arg.q is not known",
		"enabled: sys_make",
		"point sys_make symbol __riscv_sys_make" + fmt.Sprintf(regs, "0x5000"),
		"  It begins.",
		"enabled: sys_make dup",
		"point dup symbol dup.isra.0" + fmt.Sprintf(regs, "0xffffffe000001000"),
		"enabled: sys_make dup dup_returns wake",
		"point dup_returns symbol 0xffffffff80000999" + fmt.Sprintf(regs, "0x1"),
		"point wake symbol wake" + fmt.Sprintf(regs, "0xffffffe000001000"),
		"enabled: sys_make freed again",
		"point freed symbol free" + fmt.Sprintf(regs, "0xffffffe000001000"),
		"point freed symbol free" + fmt.Sprintf(regs, "0xffffffe000001000"),
		"point again symbol __riscv_sys_make" + fmt.Sprintf(regs, "0x6000"),
		"enabled: sys_make",
		"lab_child is 0xffffffe000001000",
	}
	var got []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSuffix(line, "\n"); regexp.MustCompile(`^(point|enabled:|lab_child|Left out:|  \S|.*[Ee]rror)`).MatchString(line) {
			got = append(got, line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stops (-want +got):\n%s\ngdb said:\n%s", diff, out)
	}
}

// The steps of one call of a task are not those of another. A condition looks at what was
// read at another point. A new task in the task_struct of the lab's task is another task.
func TestGDBHelperCalls(t *testing.T) {
	labtest.Programs(t, "riscv64", gdb)
	k, a := madeKernel(t, "riscv64")
	const script = `
python
lab = Lab("made")
lab.task("maker")
lab.task("child")
lab.point("sys_make", "maker", entry=True)
lab.point("dup", "maker", within="sys_make", finds={"child": "arg.dst"},
    reads={"weight": "arg.dst.se.weight", "far": "u64(0x7000)"})
lab.point("twice", "maker", place="wake", within="sys_make", most=2, step=False)
lab.point("wake", "child")
lab.point("freed", "any", place="free", when="dup.read.weight == 7 and arg.p == dup.arg.dst", step=False, armed=["dup"])
lab.point("far", "any", place="free", when="dup.read.far == 7", step=False, armed=["dup"])
lab.point("last", "child", place="free")   # the points are disabled when it comes
lab.point("left_out", "any", place="nowhere")
lab.point("within_it", "any", place="free", within="left_out")
lab.ready()
end
python
hit(A, SYS, a0=0x5000)
hit(A, DUP, a0=B)
for times in range(3):
    hit(A, WAKE)                           # the third is in another call
hit(A, DUP, a0=D)                          # as is this
hit(B, WAKE)
make_task(B, 55, b"other", weight=1)
hit(B, WAKE)                               # another task
hit(A, FREE, a0=B)                         # by the weight that was read
hit(A, FREE, a0=D)
end
`
	out := runGDB(t, k, a.GDB, madeGuest, script)
	want := []string{
		"Left out: left_out: this kernel has no place for it", "Left out: within_it: it is a step of left_out, which is left out",
		"point sys_make", "point dup", "point twice", "point twice", "point wake", "point freed",
	}
	var got []string
	for line := range strings.Lines(out) {
		line, _, _ = strings.Cut(strings.TrimSuffix(line, "\n"), " symbol ")
		if regexp.MustCompile(`^(point|Left out:|.*[Ee]rror)`).MatchString(line) {
			got = append(got, line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stops (-want +got):\n%s\ngdb said:\n%s", diff, out)
	}
}

// An entry that gdb can not stop at is an error: without it there is no lab.
func TestGDBHelperRefuses(t *testing.T) {
	labtest.Programs(t, "riscv64", gdb)
	for name, c := range map[string]struct{ point, want string }{
		"place":     {`"sys_none", "maker", entry=True`, "point sys_none: this kernel has no place for it"},
		"condition": {`"sys_make", "maker", entry=True, when="task.comm matches 'x'"`, "point sys_make: task.comm matches 'x': Python can not read it"},
		"name":      {`"sys_make", "maker", entry=True, when="arg.fags == 1"`, "point sys_make: arg.fags == 1: arg.fags is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			k, a := madeKernel(t, "riscv64")
			out := runGDB(t, k, a.GDB, fmt.Sprintf("python\nlab = Lab('made')\nlab.task('maker')\nlab.point(%s)\nlab.ready()\nend\n", c.point))
			if !strings.Contains(out, c.want) || strings.Contains(out, "Ready:") {
				t.Errorf("gdb does not refuse with %q:\n%s", c.want, out)
			}
		})
	}
}
