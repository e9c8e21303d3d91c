package contradiction

import (
	"fmt"
	"strings"

	"kernellab/harness/trace"
)

// ftrace checks what ftrace recorded: against the script of the header, and its records
// against the settings.
func (c *checker) ftrace(i int, e *trace.Event) {
	f := e.Ftrace
	lines := strings.Split(c.header.Program.Script, "\n")
	switch {
	case f == nil:
		c.wrong("ftrace", "what ftrace recorded is missing")
		return
	case c.header.Program.Script == "":
		c.wrong("ftrace", "the header has no script that set ftrace up")
	case i == 0:
		c.wrong("kind", "nothing was recorded before the program's start")
	case f.All && len(f.Filter) > 0:
		c.wrong("ftrace.filter", "the filter is empty, and has %d functions", len(f.Filter))
	case f.Lost < 0:
		c.wrong("ftrace.lost", "a number below 0")
	}
	last := 0
	for n, l := range f.Script {
		field := fmt.Sprintf("ftrace.script[%d]", n)
		switch {
		case l.Line <= last || l.Line > len(lines):
			c.wrong(field+".line", "%d is no line of the script after line %d", l.Line, last)
			return
		case strings.TrimSpace(lines[l.Line-1]) != l.Text:
			c.wrong(field+".text", "%q is not line %d of the script", l.Text, l.Line)
		}
		last = l.Line
	}
	clock := map[int]int64{} // by processor, whose buffers are in order each
	for n, r := range f.Records {
		field := fmt.Sprintf("ftrace.records[%d]", n)
		switch {
		case (r.Function == "") == (r.Event == ""):
			c.wrong(field, "it is a call of a function or an event, and not both or neither")
		case r.PID < 0 || r.CPU < 0:
			c.wrong(field, "a number below 0")
		case r.Time < clock[r.CPU]:
			c.wrong(field+".time_us", "%d µs is before the record in front of it, %d µs", r.Time, clock[r.CPU])
		}
		clock[r.CPU] = r.Time
	}
}
