package labs

import (
	"fmt"
	"slices"
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
	if err := g.leaveOut(); err != nil {
		return "", fmt.Errorf("gdb script of lab %s for %s: %w", l.Name, archName, err)
	}
	if err := g.head(candidates); err != nil {
		return "", fmt.Errorf("gdb script of lab %s for %s: %w", l.Name, archName, err)
	}
	for i := range g.lab.Points {
		g.point(i)
	}
	g.foot()
	return g.b.String(), nil
}

// gdbWriter writes one script.
type gdbWriter struct {
	b    strings.Builder
	lab  Lab // without the points that are left out
	arch arch.Arch
	left []string // what is left out, and why
}

// leaveOut takes away the points that gdb's language can not say, and those that
// hang on them. The script says which they are; without the entry there is none.
func (g *gdbWriter) leaveOut() error {
	var kept []Point
	have := func(name string) bool {
		return slices.ContainsFunc(kept, func(p Point) bool { return p.Name == name })
	}
	for _, p := range g.lab.Points {
		_, err := g.condition(p)
		for _, f := range p.Finds {
			if err == nil {
				_, err = g.translate(p, f.Expr.For(g.arch.Name))
			}
		}
		found := !slices.ContainsFunc(g.lab.Points, func(q Point) bool { return q.finds(p.Role) }) ||
			slices.ContainsFunc(kept, func(q Point) bool { return q.finds(p.Role) })
		why := ""
		switch {
		case !p.on(g.arch.Name):
			why = p.absent(g.arch.Name)
		case p.ReturnOf != "":
			why = "type \"finish\" at " + p.ReturnOf + " to come there"
		case err != nil:
			why = err.Error()
		case !found:
			why = "nothing here tells which task the " + p.Role + " is"
		case len(p.Armed) > 0 && !slices.ContainsFunc(p.Armed, have):
			why = "it is armed at " + strings.Join(p.Armed, " or ") + ", which is left out"
		}
		if why != "" && p.Entry && p.on(g.arch.Name) {
			return fmt.Errorf("%s: %s", p.Name, why)
		}
		if why != "" {
			g.left = append(g.left, p.Name+": "+why)
			continue
		}
		kept = append(kept, p)
	}
	g.lab.Points = kept
	return nil
}

// finds reports whether a point tells which task a role is.
func (p Point) finds(role string) bool {
	return slices.ContainsFunc(p.Finds, func(f Named) bool { return f.Name == role })
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
	var done []string
	for _, p := range g.lab.Points {
		if slices.Contains(done, p.Place) {
			continue
		}
		done = append(done, p.Place)
		names, err := candidates(p.Place)
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
		g.line("    %q: [%s],", p.Place, strings.Join(quoted, ", "))
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
	var variables, sets []string
	for _, t := range g.lab.Tasks {
		variables = append(variables, "$lab_"+t.Role)
		sets = append(sets, "set $lab_"+t.Role+" = 0")
	}
	g.comment("The lab's own tasks are told from others by their task_struct, which is what " + strings.Join(variables, " and ") + " hold; 0 is none.")
	g.line("%s\n", strings.Join(sets, "\n"))
	if len(g.left) > 0 {
		g.comment("What the lab watches and this script does not:")
		for _, why := range g.left {
			g.comment("- " + why)
		}
		g.line("")
	}
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
func (g *gdbWriter) point(i int) {
	p := g.lab.Points[i]
	g.comment(p.Name + ": " + p.Means)
	cond, _ := g.condition(p) // leaveOut has tried it
	g.line("break *$%s if %s", p.Place, cond)
	g.line("set $break_%s = $bpnum", p.Name)
	if !p.Entry {
		// Other tasks pass here too: it is enabled when the lab's program comes.
		g.line("disable $break_%s", p.Name)
	}
	g.line("commands $break_%s\n  silent", p.Name)
	if p.Entry {
		g.line("  set $lab_%s = %s", p.Role, g.current())
		for _, t := range g.lab.Tasks {
			if t.Role != p.Role && t.When == nil {
				g.line("  set $lab_%s = 0", t.Role)
			}
		}
	}
	for _, f := range p.Finds {
		task, _ := g.translate(p, f.Expr.For(g.arch.Name)) // likewise
		g.line("  set $lab_%s = %s", f.Name, task)
	}
	g.arm(i)
	g.line(`  printf "point %s symbol %%s", $symbol_%s`, p.Name, p.Place)
	format, values := "", ""
	for _, r := range g.registers() {
		format += " " + r + "=%#lx"
		values += ", (unsigned long)$" + r
	}
	g.line(`  printf "%s\n"%s`, format, values)
	g.line("  if $lab_auto\n    continue\n  end\nend\n")
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
		case slices.Contains(q.Armed, p.Name):
			g.line("  enable $break_%s", q.Name)
		case q.Until == p.Name:
			g.line("  disable $break_%s", q.Name)
		case p.Entry && !q.Entry && len(q.Armed) == 0:
			g.line("  enable $break_%s", q.Name)
		case i == last && p.Step && !q.Entry && len(q.Armed) == 0:
			g.line("  disable $break_%s", q.Name)
		}
	}
	if len(p.Armed) > 0 && p.Until == "" {
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
