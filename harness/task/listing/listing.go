// Package listing writes tasks and their stacks for people: in the columns of ps and
// crash, as a tree, one task with all its parts, and a backtrace. It does not read a
// guest. For parts that could not be read it writes the reason. It escapes text that
// comes from the guest.
package listing

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"kernellab/harness/task"
	"kernellab/harness/trace"
)

// plain escapes unprintable characters of a guest's text.
func plain(s string) string {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	if !strings.ContainsFunc(s, bad) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// name returns a task's name like ps, with kernel threads in brackets.
func name(i *task.Info) string {
	n := i.Comm
	if i.FullName != "" {
		n = i.FullName
	}
	if i.KernelThread {
		n = "[" + n + "]"
	}
	return plain(n)
}

// Table writes one line per task, in the columns of crash's ps. Running tasks are
// marked with >.
func Table(w io.Writer, tasks []*task.Info) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "PID\tPPID\tCPU\tTASK\tST\tVSZ\tRSS\t  COMM\n")
	for _, i := range tasks {
		parent := "?"
		if i.RealParent != nil {
			parent = strconv.Itoa(i.RealParent.TGID)
		}
		var size, resident uint64
		if i.Memory != nil {
			size, resident = i.Memory.Size, i.Memory.RSS
		}
		mark := ""
		if i.Running {
			mark = "> "
		}
		doubt := ""
		if len(i.Unread) > 0 {
			doubt = " (incomplete: " + strings.Join(reasons(i.Unread), "; ") + ")"
		}
		fmt.Fprintf(t, "%s%d\t%s\t%d\t%s\t%s\t%d\t%d\t  %s%s\n",
			mark, i.PID, parent, i.CPU, i.Address, i.State.Letter, size, resident, name(i), plain(doubt))
	}
	t.Flush()
	return written(w, &b)
}

// written writes the text in b to w, without trailing spaces.
func written(w io.Writer, b *strings.Builder) error {
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Tree writes processes under their parents, threads in braces.
func Tree(w io.Writer, tasks []*task.Info) error {
	var b strings.Builder
	below := map[int][]*task.Info{}
	known := map[int]bool{}
	threads := map[int][]*task.Info{}
	for _, i := range tasks {
		if i.PID != i.TGID {
			threads[i.TGID] = append(threads[i.TGID], i)
			continue
		}
		known[i.PID] = true
	}
	var roots []*task.Info
	for _, i := range tasks {
		switch {
		case i.PID != i.TGID:
		case i.RealParent == nil || !known[i.RealParent.TGID] || i.RealParent.TGID == i.PID:
			roots = append(roots, i)
		default:
			below[i.RealParent.TGID] = append(below[i.RealParent.TGID], i)
		}
	}
	done := map[int]bool{} // damaged memory may contain a cycle
	var draw func(i *task.Info, lead, branch string)
	draw = func(i *task.Info, lead, branch string) {
		if done[i.PID] {
			return
		}
		done[i.PID] = true
		fmt.Fprintf(&b, "%s%s%s(%d) %s\n", lead, branch, name(i), i.PID, i.State.Letter)
		lead += map[string]string{"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
		sub := below[i.PID]
		for n, t := range threads[i.PID] {
			mark := "├─ "
			if n == len(threads[i.PID])-1 && len(sub) == 0 {
				mark = "└─ "
			}
			fmt.Fprintf(&b, "%s%s{%s}(%d) %s\n", lead, mark, name(t), t.PID, t.State.Letter)
		}
		for n, c := range sub {
			mark := "├─ "
			if n == len(sub)-1 {
				mark = "└─ "
			}
			draw(c, lead, mark)
		}
	}
	for _, i := range append(roots, tasks...) {
		if i.PID == i.TGID {
			draw(i, "", "")
		}
	}
	return written(w, &b)
}

// optimizedOut is Unread of a variable that has no place at an address.
const optimizedOut = "optimized out"

// variable returns an argument or a local as C declares it, with its value as gdb
// prints it.
func variable(v trace.Variable) string {
	kind, value := "local", v.Text
	if v.Arg {
		kind = "arg"
	}
	if v.Unread != "" {
		value = "<" + v.Unread + ">"
	}
	decl := v.Type + " " + v.Name
	if strings.HasSuffix(v.Type, "*") {
		decl = v.Type + v.Name
	}
	return fmt.Sprintf("%-6s %s = %s", kind, decl, value)
}

// Stack writes a backtrace, innermost function first, with the stack pointer, the
// source position and the variables of each frame.
func Stack(w io.Writer, t trace.Task, cpu int, frames []trace.Frame) error {
	var b strings.Builder
	fmt.Fprintf(&b, "PID: %d  TASK: %s  CPU: %d  COMMAND: %q\n", t.PID, t.Address, cpu, t.Comm)
	for n, f := range frames {
		at := "              "
		if f.PC != 0 {
			at = f.PC.String()
		}
		text := plain(f.String())
		if at := f.Source(); at != "" {
			text += "  " + plain(at)
		}
		switch {
		case f.User:
			text = "user mode, sp " + f.SP.String()
		case f.Interrupted && n > 0:
			text += "  (interrupted here)"
		}
		fmt.Fprintf(&b, "%3d  [%s]  %s  %s\n", n, f.SP, at, text)
		var gone []string
		for _, v := range f.Variables {
			if v.Unread == optimizedOut && !v.Arg {
				gone = append(gone, v.Name)
				continue
			}
			fmt.Fprintf(&b, "%9s %s\n", "", plain(variable(v)))
		}
		if len(gone) > 0 {
			slices.Sort(gone)
			fmt.Fprintf(&b, "%9s local  optimized out here: %s\n", "", plain(strings.Join(slices.Compact(gone), ", ")))
		}
	}
	return written(w, &b)
}
