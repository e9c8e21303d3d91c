package grade

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// view is a trace as the rules see it.
type view struct {
	trace *trace.Trace
	rules Rules

	exit *trace.Event
	// rounds are the lab's calls by the program in the order they began,
	// restarted ones left out.
	rounds []round
	notes  []verdict.Fact
	// asides are the stops that were not the lab's call: at the entry, and where a
	// program does in another way what the entry does.
	asides []verdict.Aside
	// byOther are the first stops of another task that are else a point's.
	byOther map[string]trace.Event
}

// aside counts a stop that is not the lab's call.
func (v *view) aside(e trace.Event) {
	a := verdict.Aside{Point: e.Point, Why: e.Aside, Task: who(e), Times: 1}
	i := slices.IndexFunc(v.asides, func(b verdict.Aside) bool {
		return a.Point == b.Point && a.Why == b.Why && *a.Task == *b.Task
	})
	if i < 0 {
		v.asides = append(v.asides, a)
		return
	}
	v.asides[i].Times++
}

// round is one call of the lab's entry and what followed from it.
type round struct {
	number int
	stops  []trace.Event
}

func (r round) first(point string) *trace.Event {
	i := slices.IndexFunc(r.stops, func(e trace.Event) bool { return e.Point == point })
	if i < 0 {
		return nil
	}
	return &r.stops[i]
}

func (r round) has(points []plan.Point) bool {
	return !slices.ContainsFunc(points, func(p plan.Point) bool { return r.first(p.Name) == nil })
}

// newView checks that t can be graded by r. With an error it still returns as
// much of the view as there is.
func newView(t *trace.Trace, r Rules) (*view, error) {
	v := &view{trace: t, rules: r.here(t), byOther: map[string]trace.Event{}}
	if r.Lab != "" && t.Header.Lab != "" && t.Header.Lab != r.Lab {
		return nil, fmt.Errorf("the trace is of lab %s, not %s", t.Header.Lab, r.Lab)
	}
	if r.Arch != "" && t.Header.Arch != "" && t.Header.Arch != r.Arch {
		return nil, fmt.Errorf("the trace is of %s, and these rules are for %s", t.Header.Arch, r.Arch)
	}
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("the rules of lab %s do not hold: %w", r.Lab, err)
	}
	started, err := v.read()
	switch {
	case err != nil:
		return v, err
	case len(t.Events) == 0:
		return v, errors.New("the trace is empty: the run ended before anything was recorded")
	case !t.Complete():
		last := t.Events[len(t.Events)-1]
		return v, &ungradable{verdict.Fact{Case: verdict.CaseCutTrace, Event: last.Seq, Name: last.Kind, Point: last.Point}}
	case !started:
		return v, errors.New("the trace has no program event: the program was never started")
	case v.exit == nil:
		return v, errors.New("the trace has no exit event: how the program ended is not known")
	}
	return v, nil
}

// read sorts the events into rounds.
func (v *view) read() (started bool, err error) {
	entry := v.rules.entry().Name
	var rounds []round
	index := map[int]int{}
	for _, e := range v.trace.Events {
		switch e.Kind {
		case trace.KindProgram:
			started = true
		case trace.KindExit:
			v.exit = &e
		case trace.KindStop:
			if e.Aside != "" {
				if e.Point == entry || slices.Contains(v.rules.Instead, e.Point) {
					v.aside(e)
				}
				if _, ok := v.byOther[e.Point]; e.ByOther && !ok {
					v.byOther[e.Point] = e
				}
				continue
			}
			if _, ok := v.rules.point(e.Point); !ok {
				return started, &ungradable{verdict.Fact{Case: verdict.CaseOtherLab, Event: e.Seq, Point: e.Point}}
			}
			i, ok := index[e.Round]
			if !ok {
				i = len(rounds)
				index[e.Round] = i
				rounds = append(rounds, round{number: e.Round})
			}
			rounds[i].stops = append(rounds[i].stops, e)
		}
	}
	v.rounds = v.fold(rounds)
	return started, nil
}

// fold leaves out the rounds that came to nothing, when a later one came to its
// end. A signal that arrives while clone copies makes the kernel give up and enter
// the call again with the same arguments (ERESTARTNOINTR in copy_process), and the
// kernel may refuse a call, for its arguments or a limit. Neither is a mistake.
func (v *view) fold(rounds []round) []round {
	entry := v.rules.entry()
	// A call that came to nothing returns too.
	own := slices.DeleteFunc(v.rules.path(entry.Role), func(p plan.Point) bool { return p.Times().Least == 0 || p.ReturnOf != "" })
	var out []round
	for i, r := range rounds {
		first := r.first(entry.Name)
		given := first != nil && len(own) > 0 && r.first(own[len(own)-1].Name) == nil &&
			!slices.ContainsFunc(r.stops, func(e trace.Event) bool { return e.Role != entry.Role })
		again, note := -1, verdict.NoteRefused
		for j := i + 1; given && j < len(rounds); j++ {
			if !rounds[j].has(append(own, entry)) {
				continue
			}
			if again < 0 {
				again = j
			}
			if sameCall(*first, *rounds[j].first(entry.Name)) {
				again, note = j, verdict.NoteRestarted
				break
			}
		}
		if again < 0 {
			out = append(out, r)
			continue
		}
		v.notes = append(v.notes, verdict.Fact{Case: note, Point: entry.Name, Call: r.number, After: r.stops[len(r.stops)-1].Point, Times: rounds[again].number})
	}
	return out
}

func sameCall(a, b trace.Event) bool {
	return a.Task != nil && b.Task != nil && a.Task.Address == b.Task.Address && slices.Equal(a.Args, b.Args)
}

// graded returns the round whose values are checked: the first that has every
// point, or else every step, or else the first.
func (v *view) graded() round {
	needed := func(points []plan.Point) []plan.Point {
		return slices.DeleteFunc(slices.Clone(points), func(p plan.Point) bool { return p.Times().Least == 0 })
	}
	for _, points := range [][]plan.Point{needed(v.rules.Points), needed(v.rules.path("")), nil} {
		for _, r := range v.rounds {
			if r.has(points) {
				return r
			}
		}
	}
	return round{}
}

// count returns how often a point was hit in all rounds.
func (v *view) count(point string) int {
	n := 0
	for _, r := range v.rounds {
		for _, e := range r.stops {
			if e.Point == point {
				n++
			}
		}
	}
	return n
}

// end is a place after every event.
func (v *view) end() int { return len(v.trace.Events) + 1 }

func (v *view) duration() time.Duration {
	if n := len(v.trace.Events); n > 0 {
		return time.Duration(v.trace.Events[n-1].Time)
	}
	return 0
}

// ungradable is a trace that can not be graded.
type ungradable struct{ verdict.Fact }

func (u *ungradable) Error() string { return "the trace can not be graded: " + u.Case }

// maxSteps bounds the steps of a result: a program that forks without end makes
// a trace without end.
const maxSteps = 256

// lifetime returns the lines of the lifetime trace, and what each is about.
func (v *view) lifetime() (lines []string, moments []verdict.Moment) {
	f := NewFollower(v.trace.Header, v.rules)
	for _, e := range v.trace.Events {
		if s, ok := f.Step(e); ok && s.Lifetime != "" && len(lines) < maxSteps {
			lines = append(lines, s.Lifetime)
			moments = append(moments, verdict.Moment{Point: s.Point, Visibility: s.Visibility})
		}
	}
	return lines, moments
}

// steps returns the stops on the path, and the others that count, each in the order they
// came.
func (v *view) steps() (steps, evidence []verdict.Step) {
	steps = []verdict.Step{}
	f := NewFollower(v.trace.Header, v.rules)
	for _, e := range v.trace.Events {
		s, ok := f.Step(e)
		if ok && s.Evidence && len(evidence) < maxSteps {
			evidence = append(evidence, s)
		}
		if !ok || s.Evidence {
			continue
		}
		if len(steps) == maxSteps {
			v.notes = append(v.notes, verdict.Fact{Case: verdict.NoteSteps, Times: maxSteps})
			break
		}
		steps = append(steps, s)
	}
	return steps, evidence
}
