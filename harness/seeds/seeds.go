// Package seeds compares runs of one lab on one kernel that differ only in the seeds
// of their machines. Values that vary with the seed are random, and checks must not
// depend on them.
package seeds

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Run is the run with one seed.
type Run struct {
	Seed   uint32
	Trace  *trace.Trace // nil if the run could not be graded
	Result verdict.Result
}

// Value is a named value and its variants in the runs.
type Value struct {
	What string // "wake_up_new_task: pid"; "check: fork returns 0 in the child"
	// Seen are the different values, in the order of the seeds.
	Seen []string
	// Runs is the number of runs that had a value.
	Runs int
}

// Varies reports whether two runs had different values, or one had none.
func (v Value) Varies(runs int) bool { return len(v.Seen) > 1 || v.Runs < runs }

// Values returns the values of the runs: the verdicts of checks, the order of the
// stops, and the symbol, task, arguments, reads and guest time of each stop, but not
// the registers.
func Values(runs []Run) []Value {
	t := &table{byName: map[string]int{}}
	for _, r := range runs {
		t.add("verdict", string(r.Result.Verdict))
		for _, c := range r.Result.Checks {
			t.add("check: "+c.Name, string(c.Verdict))
		}
		if r.Trace == nil {
			continue
		}
		t.trace(r.Trace)
	}
	return t.values
}

// table collects values by name, in the order of their first use.
type table struct {
	values []Value
	byName map[string]int
}

func (t *table) add(what, value string) {
	i, known := t.byName[what]
	if !known {
		i = len(t.values)
		t.byName[what] = i
		t.values = append(t.values, Value{What: what})
	}
	v := &t.values[i]
	v.Runs++
	if !slices.Contains(v.Seen, value) {
		v.Seen = append(v.Seen, value)
	}
}

func (t *table) trace(tr *trace.Trace) {
	order := ""
	seen := map[string]int{}
	for _, e := range tr.Events {
		if e.Kind == trace.KindExit {
			t.add("guest time of the end", strconv.FormatInt(e.Time, 10))
		}
		if e.Kind != trace.KindStop || e.Aside != "" {
			continue
		}
		order += " " + e.Point
		name := e.Point
		if seen[e.Point]++; seen[e.Point] > 1 {
			name += fmt.Sprintf(" (%d)", seen[e.Point])
		}
		t.stop(name, e)
	}
	t.add("order of the stops", order)
}

func (t *table) stop(name string, e trace.Event) {
	t.add(name+": symbol", e.Symbol)
	t.add(name+": guest time", strconv.FormatInt(e.Time, 10))
	if e.Task != nil {
		t.add(name+": pid", strconv.Itoa(e.Task.PID))
		t.add(name+": task_struct", e.Task.Address.String())
	}
	for _, a := range e.Args {
		t.add(name+": argument "+a.Name, a.Value.String())
	}
	for _, r := range slices.Sorted(maps.Keys(e.Reads)) {
		t.add(name+": "+r, e.Reads[r].String())
	}
	for _, r := range slices.Sorted(maps.Keys(e.Texts)) {
		t.add(name+": "+r, e.Texts[r])
	}
}
