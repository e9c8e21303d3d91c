package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/ftrace"
	"kernellab/harness/trace"
)

// Ftrace writes the page of lab ftrace: a script's lines as they are run, and what was
// recorded beside the stops of the run.
type Ftrace struct{ page *page }

// NewFtrace begins a page.
func NewFtrace(w io.Writer, s Style) *Ftrace { return &Ftrace{newPage(w, s)} }

// Err returns what kept the page from being written.
func (f *Ftrace) Err() error { return f.page.err }

// Head names the lab and the kernel.
func (f *Ftrace) Head(lab, arch, kernel string) {
	f.page.text("", 0, f.page.title, plain(fmt.Sprintf("ftrace of %s on %s Linux %s", lab, arch, kernel)))
	f.page.line("")
}

// Line writes what became of a line of the script, and what it printed.
func (f *Ftrace) Line(l trace.ScriptLine, printed string) {
	p := f.page
	mark := p.good.Render("✓")
	switch {
	case l.Skipped:
		mark = p.dim.Render("–")
	case l.Problem != "":
		mark = p.bad.Render("✗")
	}
	p.text(fmt.Sprintf("  %s %3d ", mark, l.Line), 8, p.title, plain(l.Text))
	note := func(style lipgloss.Style, text string) {
		if text != "" {
			p.text("", 8, style, plain(text))
		}
	}
	if l.Skipped {
		note(p.dim, "not run: a line before it failed")
	}
	if l.Problem != "" {
		note(p.bad, l.Problem)
	}
	if l.Instead != "" {
		note(p.good, "right here: "+l.Instead)
	}
	note(p.dim, l.Effect)
	const most = 40
	lines := strings.Split(strings.TrimRight(printed, "\n"), "\n")
	for _, line := range lines[:min(len(lines), most)] {
		if line != "" {
			p.line("        | %s", plain(line))
		}
	}
	if len(lines) > most {
		p.line("        | and %d lines more", len(lines)-most)
	}
}

// Compared writes ftrace's record beside the stops.
func (f *Ftrace) Compared(t *trace.Trace, rows []ftrace.Row, rest []trace.FtraceRecord) {
	p, rec := f.page, t.Ftrace()
	p.line("")
	if rec == nil {
		p.text("", 0, p.bad, "ftrace was not read: the program stopped the guest too often.")
		return
	}
	if !rec.Ran {
		p.text("", 0, p.warn, "The script did not run the program, so lab ran it behind the last line. Its name is the command: "+plain(t.Header.Program.Name))
		p.line("")
	}
	p.text("", 0, p.title, "The stops at breakpoints, and what ftrace recorded there")
	p.line("")
	agree := 0
	for _, r := range rows {
		mark := p.good.Render("✓")
		switch {
		case !r.Agrees():
			mark = p.bad.Render("✗")
		case r.Record == nil:
			mark = p.dim.Render("–")
		default:
			agree++
		}
		who := fmt.Sprintf("%d[%s]", r.Stop.Task.PID, r.Stop.Task.Comm)
		lead := fmt.Sprintf("  %s %-20s %-20s ", mark, plain(r.Stop.Point), plain(who))
		p.text(lead, lipgloss.Width(lead), lipgloss.NewStyle(), plain(beside(r)))
	}
	p.line("")
	p.text("", 0, lipgloss.NewStyle(), fmt.Sprintf("ftrace has the same call at %d of the %d stops.", agree, len(rows)))
	f.rest(rest)
	f.events(t, rows)
	if rec.Lost > 0 {
		p.text("", 0, p.warn, fmt.Sprintf("%d records are missing: there was no room for them. Fewer functions in set_ftrace_filter give fewer records.", rec.Lost))
	}
}

// beside is what ftrace has of a stop's call.
func beside(r ftrace.Row) string {
	switch r.Case {
	case ftrace.SameStack:
		return fmt.Sprintf("the same call, with the same stack of %d functions", r.Frames)
	case ftrace.SameCall:
		return "the same call; without func_stack_trace ftrace keeps no stack"
	case ftrace.OtherStack:
		end := func(s string) string {
			if s == "" {
				return "the stack's end"
			}
			return s
		}
		return fmt.Sprintf("the same call, but frame %d is %s at the breakpoint and %s in ftrace's record", r.Frames, end(r.Differ[0]), end(r.Differ[1]))
	case ftrace.Off:
		return "no record: tracing_on was 0"
	case ftrace.NoTracer:
		return "no record: current_tracer was not function"
	case ftrace.Untraceable:
		return "no record: available_filter_functions does not have " + r.Stop.Symbol
	case ftrace.NotFiltered:
		return "no record: set_ftrace_filter does not have " + r.Stop.Symbol
	case ftrace.NoEntry:
		return "no record: ftrace records calls of functions, and this stop is inside one"
	}
	return "no record, though the filter has " + r.Stop.Symbol
}

// rest sums up the calls for which there is no stop.
func (f *Ftrace) rest(rest []trace.FtraceRecord) {
	if len(rest) == 0 {
		return
	}
	counts := map[string]int{}
	var names []string
	for _, r := range rest {
		if counts[r.Function]++; counts[r.Function] == 1 {
			names = append(names, r.Function)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return counts[b] - counts[a] })
	const most = 5
	var all []string
	for _, n := range names[:min(most, len(names))] {
		all = append(all, fmt.Sprintf("%s (%d)", n, counts[n]))
	}
	if len(names) > most {
		all = append(all, fmt.Sprintf("%d other functions", len(names)-most))
	}
	f.page.text("", 0, lipgloss.NewStyle(), fmt.Sprintf("It recorded %d more calls, where no breakpoint was armed or which are not the lab's: %s.", len(rest), plain(strings.Join(all, ", "))))
}

// events lists the events in the lab's tasks and about them. Those of the scheduler are
// many and are counted.
func (f *Ftrace) events(t *trace.Trace, rows []ftrace.Row) {
	p := f.page
	set := map[int]bool{}
	for _, r := range rows {
		if r.Stop.Role != "" {
			set[r.Stop.Task.PID] = true
		}
	}
	pids := sorted(set)
	var own []trace.FtraceRecord
	often := map[string]int{}
	for _, r := range t.Ftrace().Records {
		if r.Event == "" || !set[r.PID] && !slices.ContainsFunc(pids, func(pid int) bool { return ftrace.About(r, pid) }) {
			continue
		}
		switch r.Event {
		case "sched_switch", "sched_wakeup", "sched_waking":
			often[r.Event]++
		default:
			own = append(own, r)
		}
	}
	if len(own)+len(often) == 0 {
		p.text("", 0, lipgloss.NewStyle(), "No events of the lab's tasks were recorded: set_event chooses them.")
		return
	}
	p.line("")
	p.text("", 0, p.title, "The events of the lab's tasks")
	p.line("")
	const most = 60
	for _, r := range own[:min(most, len(own))] {
		lead := fmt.Sprintf("  %6d µs  ", r.Time-own[0].Time)
		p.text(lead, lipgloss.Width(lead), lipgloss.NewStyle(), plain(fmt.Sprintf("%d[%s] %s: %s", r.PID, r.Comm, r.Event, r.Text)))
	}
	if len(own) > most {
		p.line("  and %d more", len(own)-most)
	}
	for _, name := range slices.Sorted(maps.Keys(often)) {
		p.line("  and %d times %s", often[name], name)
	}
}

func sorted(set map[int]bool) []int {
	return slices.Sorted(maps.Keys(set))
}
