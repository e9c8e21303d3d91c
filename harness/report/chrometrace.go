package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"kernellab/harness/verdict"
)

// chromeEvent is an event of the Trace Event Format, which Perfetto and Chrome's tracing
// page read. Times are in microseconds.
type chromeEvent struct {
	Name  string            `json:"name"`
	Phase string            `json:"ph"`
	Time  float64           `json:"ts"`
	Dur   *float64          `json:"dur,omitempty"`
	PID   int               `json:"pid"`
	TID   int               `json:"tid"`
	ID    int               `json:"id,omitempty"`
	Cat   string            `json:"cat,omitempty"`
	Bind  string            `json:"bp,omitempty"`
	Args  map[string]string `json:"args,omitempty"`
}

// chromeTrace writes the stops of a document: a process for each result, a track for
// each task, the calls that a task was in, from the first to the last stop that shows
// them, as nested slices, and an arrow to the first stop of each task but the first.
func chromeTrace(w io.Writer, doc verdict.Document) error {
	out := struct {
		Unit   string        `json:"displayTimeUnit"`
		Events []chromeEvent `json:"traceEvents"`
	}{"ns", []chromeEvent{}}
	flows := 0
	for i, r := range doc.Results {
		c := chrome{process: i + 1, flows: &flows}
		c.meta("process_name", 0, id(r))
		c.result(r)
		out.Events = append(out.Events, c.events...)
	}
	if err := json.NewEncoder(w).Encode(out); err != nil {
		return fmt.Errorf("write chrome trace: %w", err)
	}
	return nil
}

// chrome collects the events of a result.
type chrome struct {
	process int
	flows   *int
	events  []chromeEvent
}

func (c *chrome) meta(name string, tid int, value string) {
	c.events = append(c.events, chromeEvent{Name: name, Phase: "M", PID: c.process, TID: tid, Args: map[string]string{"name": value}})
}

// slice adds a slice. Its args are values that were seen there.
func (c *chrome) slice(name string, tid int, from, to float64, values []verdict.Value) {
	e := chromeEvent{Name: plain(name), Phase: "X", Time: from, PID: c.process, TID: tid}
	dur := to - from
	e.Dur = &dur
	for _, v := range values {
		if e.Args == nil {
			e.Args = map[string]string{}
		}
		e.Args[plain(v.Name)] = plain(v.Text)
	}
	c.events = append(c.events, e)
}

func (c *chrome) flow(phase, bind string, s verdict.Step) {
	c.events = append(c.events, chromeEvent{Name: "begins", Cat: "task", Phase: phase, Time: microseconds(s), PID: c.process, TID: s.PID, ID: *c.flows, Bind: bind})
}

func microseconds(s verdict.Step) float64 { return float64(s.Time) / 1e3 }

func (c *chrome) result(r verdict.Result) {
	steps := slices.Concat(r.Steps, r.Evidence)
	slices.SortStableFunc(steps, func(a, b verdict.Step) int { return a.Seq - b.Seq })
	tasks := map[int][]verdict.Step{}
	for i, s := range steps {
		if tasks[s.PID] == nil {
			c.meta("thread_name", s.PID, strings.TrimSpace(plain(s.Role)+" "+task(s)))
			if i > 0 {
				*c.flows++
				c.flow("s", "", steps[i-1])
				c.flow("f", "e", s)
			}
		}
		tasks[s.PID] = append(tasks[s.PID], s)
	}
	for _, s := range steps {
		if own := tasks[s.PID]; own[0].Seq == s.Seq {
			c.task(own)
		}
	}
}

// task adds the slices of a task's stops, which are in the order that they came.
func (c *chrome) task(steps []verdict.Step) {
	end := func(i int) float64 { // of the slice of a stop, before the next one begins
		at := microseconds(steps[i])
		if i+1 < len(steps) {
			return at + max(0, min(1, (microseconds(steps[i+1])-at)/2))
		}
		return at + 1
	}
	var open []int // the stops since when the task is in the calls, outermost first
	leave := func(depth, last int) {
		for d := len(open) - 1; d >= depth; d-- {
			c.slice(calls(steps[last])[d].name, steps[last].PID, microseconds(steps[open[d]]), end(last), nil)
		}
		open = open[:min(depth, len(open))]
	}
	for i, s := range steps {
		now := calls(s)
		if i > 0 {
			leave(shared(calls(steps[i-1]), now), i-1)
		}
		for len(open) < len(now) {
			open = append(open, i)
		}
		c.slice(s.Point, s.PID, microseconds(s), end(i), s.Values)
	}
	leave(0, len(steps)-1)
}

// frameCall is a call on a stack: the function, and where in it the next one was called.
type frameCall struct{ name, text string }

// calls returns a step's calls, outermost first.
func calls(s verdict.Step) []frameCall {
	var out []frameCall
	for _, f := range slices.Backward(s.Stack) {
		name, _, _ := strings.Cut(f, "+")
		out = append(out, frameCall{name, f})
	}
	return out
}

// shared returns how many outermost calls of two stacks are the same calls: those of the
// same function from the same place.
func shared(a, b []frameCall) int {
	n := 0
	for n < len(a) && n < len(b) && a[n].name == b[n].name {
		n++
		if a[n-1].text != b[n-1].text {
			break
		}
	}
	return n
}
