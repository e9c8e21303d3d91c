// Package reporttest checks that what a report says is true. It reads the page that a
// person gets of a run, and compares the facts in its sentences with the run's trace:
// addresses, registers, byte counts, functions, and whose they are.
package reporttest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/trace"
)

// False returns what a page says that is not in the trace. The page is one that shows
// every step in detail.
func False(page string, t *trace.Trace) []string {
	c := &checker{trace: t, lines: strings.Split(page, "\n"), text: joined(page)}
	c.rows()
	c.details()
	c.lifetime()
	c.words()
	for _, e := range t.Events {
		if len(e.Stacks) == 2 && e.Aside == "" {
			c.picture(e)
			c.birth(e)
		}
	}
	return c.wrong
}

type checker struct {
	trace *trace.Trace
	lines []string
	text  string // the page in one line
	wrong []string
}

func (c *checker) errorf(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// joined returns a text in one line, with what was broken at a "|" put together.
func joined(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "| ", "|")
}

// stops are the stops that a page lists, in order.
func (c *checker) stops() (out []trace.Event) {
	for _, e := range c.trace.Events {
		if e.Kind == trace.KindStop && e.Aside == "" {
			out = append(out, e)
		}
	}
	return out
}

func who(t *trace.Task) string { return fmt.Sprintf("%d[%s]", t.PID, t.Comm) }

var (
	row    = regexp.MustCompile(`^ *([0-9]+|·) +([a-z_0-9]+)( |$)`)
	detail = regexp.MustCompile(`^ *([0-9]+|·)  ([a-z_0-9]+)  ?(?:[a-z]+ )?([0-9]+\[.*\])$`)
)

// rows checks the list of steps: the points in their order, and each in the column of
// its role.
func (c *checker) rows() {
	columns := map[string]int{}
	var seen []string
	for _, l := range c.lines {
		if strings.TrimSpace(l) == "Graded" {
			break
		}
		m := row.FindStringSubmatchIndex(l)
		if m == nil {
			continue
		}
		point := l[m[4]:m[5]]
		stops := c.stops()
		if len(seen) == len(stops) {
			c.errorf("%s is listed after the last stop", point)
			return
		}
		e := stops[len(seen)]
		seen = append(seen, point)
		if e.Point != point {
			c.errorf("step %d is %s, and the trace has %s", len(seen), point, e.Point)
			return
		}
		at := len([]rune(l[:m[4]]))
		if before, ok := columns[e.Role]; ok && before != at {
			c.errorf("%s is not in the column of the %s", point, e.Role)
		}
		columns[e.Role] = at
	}
	if n := len(c.stops()); len(seen) != n {
		c.errorf("%d steps are listed, and the trace has %d", len(seen), n)
	}
}

// details checks each step's section: whose it is, its backtrace, and that the numbers
// in it were recorded there.
func (c *checker) details() {
	stops := c.stops()
	stacks := map[string][]string{} // by point, as written so far
	n := 0
	for i, l := range c.lines {
		m := detail.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		if n == len(stops) {
			c.errorf("%s is described after the last stop", m[2])
			return
		}
		e := stops[n]
		n++
		if m[2] != e.Point || m[3] != who(e.Task) {
			c.errorf("%s by %s is described, and the trace has %s by %s", m[2], m[3], e.Point, who(e.Task))
			continue
		}
		end := i + 1
		for end < len(c.lines) && c.lines[end] != "" {
			end++
		}
		section := joined(strings.Join(c.lines[i+1:end], "\n"))
		c.backtrace(e, section, stacks)
		known := c.recorded(e)
		for _, w := range number.FindAllString(values(c.lines[i+1:end]), -1) {
			if v, err := strconv.ParseUint(w, 0, 64); err == nil && !known[trace.Word(v)] {
				c.errorf("%s: %s was not recorded there", e.Point, w)
			}
		}
	}
	if n != len(stops) {
		c.errorf("%d steps are described, and the trace has %d", n, len(stops))
	}
}

var number = regexp.MustCompile(`0x[0-9a-f]+`)

// values returns the lines of a section that are values, which are indented further.
func values(lines []string) string {
	var out []string
	for _, l := range lines {
		if strings.HasPrefix(l, "       ") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// recorded returns the numbers that a stop recorded, and those of the stops before it.
func (c *checker) recorded(of trace.Event) map[trace.Word]bool {
	out := map[trace.Word]bool{}
	for _, e := range c.trace.Events {
		if e.Seq > of.Seq {
			break
		}
		out[e.Address] = true
		for _, a := range e.Args {
			out[a.Value] = true
		}
		for _, m := range []map[string]trace.Word{e.Registers, e.Reads, e.Finds} {
			for _, w := range m {
				out[w] = true
			}
		}
		if e.Task != nil {
			out[e.Task.Address] = true
		}
		for _, text := range e.Texts {
			for _, n := range number.FindAllString(text, -1) { // as in "do_exit+0x10"
				if v, err := strconv.ParseUint(n, 0, 64); err == nil {
					out[trace.Word(v)] = true
				}
			}
		}
	}
	return out
}

var more = regexp.MustCompile(`\(([0-9]+) more, as at ([a-z_0-9]+)\)$`)

// backtrace checks the functions of a stop's stack. Those that are counted are the
// outermost ones of the task's stop at the point that is named.
func (c *checker) backtrace(e trace.Event, section string, stacks map[string][]string) {
	var want []string
	for _, f := range e.Stack {
		want = append(want, f.String())
	}
	key := func(point string) string { return point + " " + strconv.Itoa(e.Task.PID) }
	stacks[key(e.Point)] = want
	if len(want) == 0 {
		return
	}
	at := strings.LastIndex(section, want[0])
	if at < 0 {
		c.errorf("%s: the backtrace lacks %s", e.Point, want[0])
		return
	}
	got := strings.Split(section[at:], " ← ")
	if m := more.FindStringSubmatch(got[len(got)-1]); m != nil {
		n, _ := strconv.Atoi(m[1])
		before := stacks[key(m[2])]
		if n > len(before) {
			c.errorf("%s: %s has no %d functions", e.Point, m[2], n)
			return
		}
		got = append(got[:len(got)-1:len(got)-1], before[len(before)-n:]...)
	}
	if !slices.Equal(got, want) {
		c.errorf("%s: the backtrace is %q, and the trace has %q", e.Point, got, want)
	}
}

var life = regexp.MustCompile(`^  ([0-9]+\[.*?\])/([0-9]+\[.*?\]) .+`)

// lifetime checks whose the events of the lifetime are.
func (c *checker) lifetime() {
	from := slices.Index(c.lines, "Lifetime")
	if from < 0 {
		return
	}
	stops := c.stops()
	for i, l := range c.lines[from+1:] {
		if l == "" {
			return
		}
		m := life.FindStringSubmatch(l)
		switch {
		case m == nil:
			c.errorf("the lifetime has %q", l)
		case i >= len(stops):
			c.errorf("the lifetime goes on after the last stop: %s", l)
		case stops[i].Parent == nil || m[1] != who(stops[i].Task) || m[2] != who(stops[i].Parent):
			c.errorf("the lifetime has %s/%s where the trace has %s", m[1], m[2], who(stops[i].Task))
		}
	}
}

var (
	by   = regexp.MustCompile(`\bby ([0-9]+)\b( bytes)?`)
	path = regexp.MustCompile(`([a-z]+): ([a-z_0-9]+(?: → [a-z_0-9]+)*)`)
	once = regexp.MustCompile(`expected and observed each of ([0-9]+) points once`)
	// Where some points may be hit more often.
	others = regexp.MustCompile(`expected and observed (([a-z_0-9]+ at (?:least|most) [0-9]+ hits?, )+)the others once`)
	bound  = regexp.MustCompile(`([a-z_0-9]+) at (least|most) ([0-9]+) hits?, `)

	ends = regexp.MustCompile(`the program ends as it should [0-9/]+ ?expected and observed exit status ([0-9]+)`)
	dead = regexp.MustCompile(`the program ends as it should [0-9/]+ ?observed the kernel panics with "([^"]*)"`)
	died = regexp.MustCompile(`the child ends with the exit status that is asked for [0-9/]+ ?expected and observed exit status ([0-9]+)`)
)

// paths checks the points that each role came to, how many there are, and how the program
// ended.
func (c *checker) paths() {
	_, text, _ := strings.Cut(c.text, " Graded ")
	if m := others.FindStringSubmatch(text); m != nil {
		c.often(m[1])
	} else if m := once.FindStringSubmatch(text); m == nil {
		c.errorf("nothing is said of how often points are hit")
	} else if n := strings.Count(strings.Join(c.lines[:slices.Index(c.lines, "Graded")], "\n"), "\n  ·"); m[1] != strconv.Itoa(len(c.stops())-n) {
		c.errorf("%s points are hit, and the trace has %d and %d that are evidence", m[1], len(c.stops())-n, n)
	}
	for _, e := range c.trace.Events {
		if e.Kind != trace.KindExit {
			continue
		}
		if m := dead.FindStringSubmatch(text); m != nil || e.Exit.Panic != "" {
			if m == nil || m[1] != e.Exit.Panic {
				c.errorf("the program's end is %q, and the trace has the panic %q", m, e.Exit.Panic)
			}
		} else if m := ends.FindStringSubmatch(text); m == nil || m[1] != strconv.Itoa(e.Exit.Code) {
			c.errorf("the program's end is %q, and the trace has exit status %d", m, e.Exit.Code)
		}
	}
	for _, e := range c.stops() {
		if m := died.FindStringSubmatch(text); e.Point == "release_task" && m != nil && m[1] != strconv.Itoa(int(e.Reads["exit_code"]>>8)) {
			c.errorf("the child's end is %s, and the trace has exit_code %#x", m[1], e.Reads["exit_code"])
		}
	}
	text, _, _ = strings.Cut(text, "✓ each")
	for _, m := range path.FindAllStringSubmatch(text, -1) {
		stops := c.stops()
		for _, p := range strings.Split(m[2], " → ") {
			i := slices.IndexFunc(stops, func(e trace.Event) bool { return e.Point == p && e.Role == m[1] })
			if i < 0 {
				c.errorf("the %s comes to %s, and not so in the trace", m[1], p)
				break
			}
			stops = stops[i+1:]
		}
	}
}

// often checks how often points are hit: those that are named as often as is said, the
// others once.
func (c *checker) often(said string) {
	hits := map[string]int{}
	for _, e := range c.stops() {
		hits[e.Point]++
	}
	for _, m := range bound.FindAllStringSubmatch(said, -1) {
		n, err := strconv.Atoi(m[3])
		if err != nil || m[2] == "least" && hits[m[1]] < n || m[2] == "most" && hits[m[1]] > n {
			c.errorf("%s: the trace has %d", m[0], hits[m[1]])
		}
		delete(hits, m[1])
	}
	for point, n := range hits {
		if n != 1 {
			c.errorf("%s is hit %d times, and the page has it among the others", point, n)
		}
	}
}

var named = regexp.MustCompile(`(0x[0-9a-f]{8,}) \(([A-Za-z_0-9.]+)\)`)

// words checks names that stand beside addresses, wherever they do.
func (c *checker) words() {
	for _, m := range named.FindAllStringSubmatch(c.text, -1) {
		v, err := strconv.ParseUint(m[1], 0, 64)
		at := func(p trace.Point) bool { return p.Address == trace.Word(v) && p.Symbol == m[2] }
		if err != nil || !slices.ContainsFunc(c.trace.Header.Points, at) {
			c.errorf("%s is not %s", m[1], m[2])
		}
	}
	for _, m := range by.FindAllStringSubmatch(c.text, -1) {
		of := func(e trace.Event) bool { return e.Task != nil && strconv.Itoa(e.Task.PID) == m[1] }
		if m[2] == "" && !slices.ContainsFunc(c.trace.Events, of) {
			c.errorf("%q: the trace has no such task", m[0])
		}
	}
	c.paths()
	if !strings.Contains(c.text, c.trace.Header.Arch+" · Linux "+c.trace.Header.Kernel.Release+" · QEMU "+c.trace.Header.Machine.QEMU+" · ") {
		c.errorf("the page does not name the machine")
	}
}
