package labs

import (
	"fmt"
	"strings"

	"kernellab/gdbscripts"
	"kernellab/harness/arch"
)

// GDBScript returns the script for a session of this lab driven by hand in gdb,
// as it is kept in gdbscripts.
func (l Lab) GDBScript(archName string) (string, error) {
	return gdbscripts.Script(l.Name, archName)
}

// GenerateGDBScript writes that script anew. Candidates returns the symbols that
// may stand for a point on the architecture, the best first; which of them a
// kernel has is found out when the script runs, so that one script serves every
// kernel.
func (l Lab) GenerateGDBScript(archName string, candidates func(point string) ([]string, error)) (string, error) {
	a, err := arch.Lookup(archName)
	if err != nil {
		return "", err
	}
	g := &gdbWriter{lab: l, arch: a}
	if err := g.head(candidates); err != nil {
		return "", fmt.Errorf("gdb script of lab %s for %s: %w", l.Name, archName, err)
	}
	for i := range l.Points {
		if err := g.point(i); err != nil {
			return "", fmt.Errorf("gdb script of lab %s for %s: %s: %w", l.Name, archName, l.Points[i].Name, err)
		}
	}
	g.foot()
	return g.b.String(), nil
}

// gdbWriter writes one script.
type gdbWriter struct {
	b    strings.Builder
	lab  Lab
	arch arch.Arch
}

func (g *gdbWriter) line(format string, args ...any) {
	fmt.Fprintf(&g.b, format+"\n", args...)
}

// comment writes text as comment lines.
func (g *gdbWriter) comment(text string) {
	line := "#"
	for _, w := range strings.Fields(text) {
		if len(line)+1+len(w) > 78 {
			g.line("%s", line)
			line = "#"
		}
		line += " " + w
	}
	g.line("%s", line)
}

func (g *gdbWriter) head(candidates func(string) ([]string, error)) error {
	g.comment(fmt.Sprintf("%s on %s, by hand: %s", g.lab.Name, g.arch.Name, g.lab.Title))
	g.line("#")
	g.comment("Generated from labs/" + g.lab.Name + "/lab.yaml by: go test ./labs -run TestGDBScripts -update")
	g.line("#")
	g.comment("Use it in gdb-multiarch that has the kernel's symbols and is connected to its guest, as \"lab debug " + g.lab.Name + "\" starts it; or:")
	g.line("#   gdb-multiarch -ex 'set architecture %s' -ex 'symbol-file SYMBOLS' \\", g.arch.GDB)
	g.line("#     -ex 'target remote SOCKET' -x gdbscripts/%s.%s.gdb", g.lab.Name, g.arch.Name)
	g.comment("Then type \"continue\", start the lab's program in the guest, and type \"continue\" at every stop. \"set $lab_auto = 1\" does that for you.")
	g.line("")
	for _, s := range []string{"confirm off", "pagination off", "breakpoint pending off", "language c"} {
		g.line("set %s", s)
	}
	g.line("if $_isvoid($lab_auto)\n  set $lab_auto = 0\nend\n")
	g.comment("A point of the lab is called differently from kernel to kernel. For each, this takes the first candidate that the loaded symbols have and keeps its address in a variable of the point's name.")
	g.line("python\nimport gdb\n\npoints = {")
	for _, p := range g.lab.Points {
		names, err := candidates(p.Name)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fmt.Errorf("%s: no candidates", p.Name)
		}
		quoted := make([]string, len(names))
		for i, n := range names {
			quoted[i] = fmt.Sprintf("%q", n)
		}
		g.line("    %q: [%s],", p.Name, strings.Join(quoted, ", "))
	}
	g.line("%s", `}

def address(symbol):
    # The compiler may have added a suffix.
    for suffix in ["", ".isra.0", ".constprop.0", ".part.0"]:
        try:
            return int(gdb.parse_and_eval("(unsigned long)&'%s%s'" % (symbol, suffix)))
        except gdb.error:
            pass

for point, symbols in points.items():
    found = [s for s in symbols if address(s) is not None]
    if not found:
        raise gdb.GdbError("point %s: this kernel has none of %s" % (point, ", ".join(symbols)))
    gdb.execute("set $%s = %#x" % (point, address(found[0])))
    gdb.set_convenience_variable("symbol_" + point, found[0])
    # A wrapped system call is given a pointer to the saved user registers.
    gdb.set_convenience_variable("wrapped_" + point, int(found[0].startswith(("__x64_", "__riscv_"))))`)
	g.line("end\n")
	g.comment("The lab's own tasks are told from others by their task_struct, which is what $lab_parent and $lab_child hold; 0 is none.")
	g.line("set $lab_parent = 0\nset $lab_child = 0\n")
	if vars := g.arch.Current.PerCPU; len(vars) > 0 {
		g.comment("The running task's is kept in a per-CPU variable, at this offset from " + g.arch.Current.Kernel + ".")
		g.line("python\ngdb.execute(\"set $percpu_current = %%#x\" %% next(a for a in map(address, [\"%s\"]) if a is not None))\nend\n", strings.Join(vars, `", "`))
	}
	return nil
}

// current is gdb's expression for the task_struct of the task that runs, in
// kernel mode.
func (g *gdbWriter) current() string {
	c := g.arch.Current
	if len(c.PerCPU) == 0 {
		return "(unsigned long)$" + c.Kernel
	}
	return fmt.Sprintf("*(unsigned long *)((unsigned long)$%s + $percpu_current)", c.Kernel)
}

// point writes the breakpoint at a point and what is done there.
func (g *gdbWriter) point(i int) error {
	p := g.lab.Points[i]
	g.comment(p.Name + ": " + p.Means)
	cond, err := g.condition(p)
	if err != nil {
		return err
	}
	g.line("break *$%s if %s", p.Name, cond)
	g.line("set $break_%s = $bpnum", p.Name)
	if !p.Entry {
		// Other tasks pass here too: it is enabled when the lab's program comes.
		g.line("disable $break_%s", p.Name)
	}
	g.line("commands $break_%s\n  silent", p.Name)
	if p.Entry {
		g.line("  set $lab_parent = %s", g.current())
		g.line("  set $lab_child = 0")
	}
	if src := p.Child.For(g.arch.Name); src != "" {
		child, err := g.translate(p, src)
		if err != nil {
			return fmt.Errorf("child: %w", err)
		}
		g.line("  set $lab_child = %s", child)
	}
	g.arm(i)
	g.line(`  printf "point %s symbol %%s", $symbol_%s`, p.Name, p.Name)
	format, values := "", ""
	for _, r := range g.registers() {
		format += " " + r + "=%#lx"
		values += ", (unsigned long)$" + r
	}
	g.line(`  printf "%s\n"%s`, format, values)
	g.line("  if $lab_auto\n    continue\n  end\nend\n")
	return nil
}

// arm enables and disables what a stop at the point of index i decides.
func (g *gdbWriter) arm(i int) {
	p := g.lab.Points[i]
	last := i
	for j, q := range g.lab.Points {
		if q.Step {
			last = j
		}
	}
	for _, q := range g.lab.Points {
		switch {
		case q.Armed == p.Name:
			g.line("  enable $break_%s", q.Name)
		case p.Entry && !q.Entry && q.Armed == "":
			g.line("  enable $break_%s", q.Name)
		case i == last && p.Step && !q.Entry && q.Armed == "":
			g.line("  disable $break_%s", q.Name)
		}
	}
	if p.Armed != "" {
		g.line("  disable $break_%s", p.Name)
	}
}

// registers are those that a person wants to see at a stop.
func (g *gdbWriter) registers() []string {
	r := g.arch.Registers
	out := []string{r.SP}
	if r.Link != "" {
		out = append(out, r.Link)
	}
	out = append(out, r.Args[:3]...)
	for _, name := range out {
		if name == r.Return {
			return out
		}
	}
	return append(out, r.Return)
}

func (g *gdbWriter) foot() {
	var steps []string
	for _, p := range g.lab.Points {
		if p.Step {
			steps = append(steps, p.Name)
		}
	}
	g.line(`printf "Ready: %s, in this order.\n"`, strings.Join(steps, ", "))
	g.line(`printf "Type continue, and start %s in the guest.\n"`, g.lab.Name)
}
