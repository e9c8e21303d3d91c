package calls

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Cut says which part of a tree is written for a person.
type Cut struct {
	Depth int // of functions below a task, at least 1
	Width int // of a line, 0 is 80
}

// least is the share of all instructions below which functions are put together in a
// line: one in so many.
const least = 200

// Text writes a tree for a person.
func Text(w io.Writer, t *Tree, c Cut) error {
	p := &text{w: w, tree: t, cut: c, width: cmp.Or(c.Width, 80)}
	for _, task := range t.Tasks {
		p.most = max(p.most, task.Total)
	}
	p.columns = max(len(count(p.most)), len("instructions"))
	p.head()
	for _, task := range t.Tasks {
		name := task.Name()
		if task.PID != 0 {
			name = "task " + name
		}
		p.line(task.Total, nil, 0, name, "")
		p.nodes(task.Calls, 1)
	}
	p.tail()
	return p.err
}

type text struct {
	w       io.Writer
	tree    *Tree
	cut     Cut
	width   int
	columns int
	most    uint64
	marks   map[string]bool // what the lines use that the last lines explain
	err     error
}

func (p *text) print(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// wrapped prints a text in lines of the width.
func (p *text) wrapped(words string) {
	line := ""
	for _, word := range strings.Fields(words) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > p.width {
			p.print("%s\n", line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	p.print("%s\n", line)
}

func (p *text) head() {
	t := p.tree
	p.print("%s on %s, Linux %s\n", t.Lab, t.Arch, t.Kernel)
	functions, calls := t.Functions()
	what := fmt.Sprintf("From the stop at %s to the stop at %s: %s instructions", t.From, t.To, count(t.Ran))
	if t.In != "" {
		what += "; here those in calls of " + t.In
	}
	p.wrapped(fmt.Sprintf("%s, %s functions, %s calls.", what, count(uint64(functions)), count(calls)))
	p.print("\n%*s %*s %7s\n", p.columns, "instructions", p.columns, "of its own", "times")
}

// line writes a line of the tree: what it is about, and what follows in brackets or after a
// mark, on a line of its own if there is no room.
func (p *text) line(total uint64, n *Node, depth int, name, more string) {
	own, times := "", ""
	if n != nil {
		own = count(n.Own)
		if n.Times > 0 {
			times = count(n.Times)
		}
	}
	start := fmt.Sprintf("%*s %*s %7s  ", p.columns, count(total), p.columns, own, times)
	indent := strings.Repeat("  ", depth)
	line := start + indent + name
	if more != "" && utf8.RuneCountInString(line)+2+utf8.RuneCountInString(more) > p.width {
		p.print("%s\n", line)
		line, more = strings.Repeat(" ", len(start))+indent+"  "+more, ""
	}
	if more != "" {
		line += "  " + more
	}
	p.print("%s\n", strings.TrimRight(line, " "))
}

// nodes writes functions and what they call.
func (p *text) nodes(all []*Node, depth int) {
	var rest []*Node
	for _, n := range all {
		if n.Total*least < p.tree.Ran && len(inside(n)) == 0 {
			rest = append(rest, n)
			continue
		}
		p.node(n, depth)
	}
	switch len(rest) {
	case 0:
	case 1:
		p.node(rest[0], depth)
	default:
		all := &Node{}
		for _, n := range rest {
			all.Own, all.Times, all.Total = all.Own+n.Own, all.Times+n.Times, all.Total+n.Total
		}
		p.line(all.Total, all, depth, fmt.Sprintf("… %d more functions", len(rest)), "")
	}
}

func (p *text) node(n *Node, depth int) {
	name := n.Function
	var more []string
	switch n.Kind {
	case Interrupt, Exception, Syscall:
		name = string(n.Kind) + ": " + name
	case Before:
		p.mark("(…)")
		name += " (…)"
	case TailCall:
		p.mark("↪")
		name = "↪ " + name
	}
	if n.Unsure {
		p.mark("?")
		name = "? " + name
	}
	if len(n.Points) > 0 {
		more = append(more, "● "+strings.Join(n.Points, ", "))
		p.mark("●")
	}
	deep := depth < p.cut.Depth
	if !deep {
		if points := inside(n); len(points) > len(n.Points) {
			more = append(more, "○ "+strings.Join(points[len(n.Points):], ", "))
			p.mark("○")
		}
	}
	p.line(n.Total, n, depth, name, strings.Join(more, "  "))
	if deep {
		p.nodes(n.Calls, depth+1)
	}
}

// inside returns the points in a function and in what it calls, those of its own first.
func inside(n *Node) []string {
	points := slices.Clone(n.Points)
	for _, c := range n.Calls {
		for _, p := range inside(c) {
			if !slices.Contains(points, p) {
				points = append(points, p)
			}
		}
	}
	return points
}

func (p *text) mark(m string) {
	if p.marks == nil {
		p.marks = map[string]bool{}
	}
	p.marks[m] = true
}

func (p *text) tail() {
	p.print("\n")
	for _, m := range []struct{ mark, means string }{
		{"●", "a stop of the lab in the function"},
		{"○", "a stop in a function that it calls, which is cut off here"},
		{"(…)", "entered before: only what it ran after that is counted"},
		{"↪", "reached by a jump at the end of the function above it, for which it returns"},
		{"?", "how it was reached could not be told"},
	} {
		if p.marks[m.mark] {
			p.print("%-3s %s\n", m.mark, m.means)
		}
	}
	if n := p.tree.Unsure; n > 0 {
		p.wrapped(fmt.Sprintf("%s returns or switches could not be told; their instructions are counted, and may be in the wrong branch.", count(uint64(n))))
	}
}

// count writes a number with commas.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
