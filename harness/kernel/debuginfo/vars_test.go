package debuginfo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"kernellab/harness/kernel/debuginfo"
)

// registers are x86_64's in the order of DWARF's numbers.
var registers = strings.Fields("rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip")

// stopped is a program that gdb has stopped.
type stopped struct {
	regs  map[uint64]uint64
	stack []byte // from sp on
	text  string // what gdb says of the frames
}

const frames = 4

// stops runs the program under gdb and stops it at its function stop_here, twice.
func stops(t *testing.T, path string) []stopped {
	t.Helper()
	dir := t.TempDir()
	look := func(n int) []string {
		c := []string{`echo @@stop\n`}
		for _, r := range registers {
			c = append(c, fmt.Sprintf(`printf "@%s %%lu\n", $%s`, r, r))
		}
		c = append(c, fmt.Sprintf("dump binary memory %s/%d $sp $sp+512", dir, n))
		for i := range frames {
			c = append(c, `echo @@frame\n`, fmt.Sprint("frame ", i), `echo @@vars\n`, "info args", "info locals")
		}
		return c
	}
	commands := []string{"set print symbol off", "set print entry-values no", "set print frame-arguments none", "set startup-with-shell off", "break *stop_here", "run"}
	commands = append(append(commands, look(0)...), "continue")
	out := gdb(t, path, append(append(commands, look(1)...), "kill")...)
	parts := strings.Split(out, "@@stop\n")[1:]
	if len(parts) != 2 {
		t.Skipf("gdb can not run a program here: %s", out)
	}
	var all []stopped
	for i, text := range parts {
		s := stopped{regs: map[uint64]uint64{}, text: text}
		for n, r := range registers {
			m := regexp.MustCompile(`(?m)^@` + r + ` (\d+)$`).FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("gdb tells no %s: %s", r, text)
			}
			s.regs[uint64(n)], _ = strconv.ParseUint(m[1], 10, 64)
		}
		var err error
		if s.stack, err = os.ReadFile(filepath.Join(dir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// Frames, arguments and locals of a stopped program are gdb's, those known by
// the caller's call site and those in registers that were saved included.
func TestProgramVariables(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the test knows the registers of x86_64")
	}
	for name, flags := range map[string][]string{"DWARF 5": {"-gdwarf-5"}, "DWARF 4": {"-gdwarf-4"}} {
		t.Run(name, func(t *testing.T) {
			path := program(t, flags...)
			f := open(t, path, debuginfo.Options{})
			numbers := 0
			for i, s := range stops(t, path) {
				numbers += s.compare(t, f, i)
			}
			if numbers < 12 {
				t.Errorf("%d numbers are too few to compare", numbers)
			}
		})
	}
}

var (
	gdbFrame = regexp.MustCompile(`(?m)^#\d+\s+(?:0x[0-9a-f]+ in )?(\S+) \(.*\) at (\S+):(\d+)$`)
	gdbVar   = regexp.MustCompile(`(?m)^(\w+) = (?:\([^)]*\)+ )?(.*)$`)
)

func (s stopped) compare(t *testing.T, f *debuginfo.File, stop int) (numbers int) {
	t.Helper()
	mem := func(addr uint64, buf []byte) error {
		at := addr - s.regs[7]
		if at >= uint64(len(s.stack)) || at+uint64(len(buf)) > uint64(len(s.stack)) {
			return fmt.Errorf("%#x is not on the stack", addr)
		}
		copy(buf, s.stack[at:])
		return nil
	}
	stack := []debuginfo.Frame{{PC: s.regs[16], Exact: true, Regs: s.regs}}
	for n := 0; n < frames; n++ {
		regs, cfa, ok := f.Caller(stack[n], mem)
		if !ok {
			break
		}
		stack[n].CFA = cfa
		pc := regs[16]
		delete(regs, 16)
		regs[7] = cfa
		stack = append(stack, debuginfo.Frame{PC: pc, Regs: regs})
	}
	theirs := strings.Split(s.text, "@@frame\n")[1:]
	for n, i := 0, 0; n < len(stack) && i < len(theirs); n++ {
		at := stack[n].PC
		if !stack[n].Exact {
			at--
		}
		found, err := f.Lookup(at)
		if err != nil {
			t.Fatal(err)
		}
		vars, err := f.Variables(stack, n, mem)
		if err != nil {
			t.Fatal(err)
		}
		for level := 0; level < len(found) && i < len(theirs); level, i = level+1, i+1 {
			head, values, _ := strings.Cut(theirs[i], "@@vars\n")
			m := gdbFrame.FindStringSubmatch(head)
			if m == nil {
				return numbers
			}
			l := found[level]
			if want := fmt.Sprintf("%s %s:%s", m[1], filepath.Base(m[2]), m[3]); want != fmt.Sprintf("%s %s:%d", l.Function, filepath.Base(l.File), l.Line) {
				t.Errorf("stop %d, frame %d: %+v, gdb: %s", stop, i, l, want)
			}
			known := map[string]string{}
			for _, v := range gdbVar.FindAllStringSubmatch(values, -1) {
				// What comes again is what the compiler left of the function elsewhere.
				if _, again := known[v[1]]; !again {
					known[v[1]] = v[2]
				}
			}
			for _, v := range vars[level] {
				want, ok := known[v.Name]
				switch {
				case !ok && v.Missing == "":
					t.Errorf("stop %d, %s: %s = %s, gdb has none", stop, l.Function, v.Name, v.Text)
				case !ok, strings.HasPrefix(want, "{"):
				case v.Missing != "":
					if want != "<optimized out>" {
						t.Errorf("stop %d, %s: %s: %s, gdb has %s", stop, l.Function, v.Name, v.Missing, want)
					}
				case v.Text != want:
					t.Errorf("stop %d, %s: %s = %s, gdb has %s", stop, l.Function, v.Name, v.Text, want)
				default:
					numbers++
				}
			}
		}
	}
	return numbers
}
