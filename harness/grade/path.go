package grade

import (
	"reflect"
	"slices"

	"kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// path makes the sequence and hits checks.
func (g *grader) path() {
	if g.rules.AnswersOnly {
		return
	}
	hits, seq := g.check(g.rules.hits().Name), g.check(g.rules.sequence().Name)
	steps := g.rules.path("")
	seq.Want, hits.Want = g.expectedOrder(), expectedHits(steps)
	g.about = seq.Visibility
	if len(g.rounds) == 0 {
		seq.Got, hits.Got = &verdict.Fact{Case: verdict.CaseNoStop}, &verdict.Fact{Case: verdict.CaseNoStop}
		settle(seq, false)
		settle(hits, false)
		g.neverCalled()
		return
	}
	ok := true
	seq.Got = &verdict.Fact{Case: verdict.CasePaths}
	for _, r := range g.rounds {
		paths, good := g.order(r)
		seq.Got.Calls = append(seq.Got.Calls, verdict.CallPaths{Number: r.number, Paths: paths})
		ok = g.edges(r) && good && ok
	}
	seq.Got.Calls, seq.Got.Times = briefly(seq.Got.Calls), len(seq.Got.Calls)
	settle(seq, ok)
	g.about = hits.Visibility
	wrong := g.hits(steps)
	settle(hits, len(wrong) == 0)
	if len(wrong) > 0 {
		hits.Got = &verdict.Fact{Case: verdict.CaseCounts, Counts: wrong, Times: len(steps)}
		return
	}
	same := hits.Want.Clone()
	hits.Got = &same
	g.absences(hits, steps)
}

// briefly leaves one call of those in which the same was seen, and bounds the rest.
func briefly(calls []verdict.CallPaths) []verdict.CallPaths {
	const most = 8
	alike := !slices.ContainsFunc(calls, func(c verdict.CallPaths) bool { return !reflect.DeepEqual(c.Paths, calls[0].Paths) })
	if alike {
		return calls[:1]
	}
	return calls[:min(most, len(calls))]
}

// neverCalled finds that the program did not do what the lab is about.
func (g *grader) neverCalled() {
	f := verdict.Fact{Case: verdict.CaseNeverCalled, Point: g.rules.entry().Name, Program: g.program(), End: g.ending(), Output: g.printed()}
	const most = 6
	f.Asides = g.asides[:min(most, len(g.asides))]
	g.find(g.exit.Seq, verdict.FindNeverCalled, f)
}

func (g *grader) program() string { return g.trace.Header.Program.Name }

// order compares the steps of each role with the rules', finds the first
// divergence of each, and returns what was seen.
func (g *grader) order(r round) (seen []verdict.RolePath, ok bool) {
	const most = 32
	ok = true
	for _, e := range r.stops {
		if p, _ := g.rules.point(e.Point); p.Step && e.Role != p.Role {
			ok = false
			g.find(e.Seq, verdict.FindOrder, verdict.Fact{Case: verdict.CaseWrongTask, Point: e.Point, Role: p.Role, Task: who(e)})
		}
	}
	for _, role := range g.rules.Roles() {
		want := g.ordered(role)
		var got []trace.Event
		for _, e := range r.stops {
			p, _ := g.rules.point(e.Point)
			if !inOrder(p) || p.Role != role || e.Role != role {
				continue
			}
			if n := len(got); n == 0 || got[n-1].Point != e.Point {
				got = append(got, e)
			}
		}
		if len(want) == 0 {
			continue
		}
		if !g.diverge(r, role, want, got) {
			ok = false
		}
		path := verdict.RolePath{Role: role, Points: []string{}, More: len(got) > most}
		for _, e := range got[:min(most, len(got))] {
			path.Points = append(path.Points, e.Point)
		}
		seen = append(seen, path)
	}
	return seen, ok
}

// diverge finds the first place where got is not want.
func (g *grader) diverge(r round, role string, want []plan.Point, got []trace.Event) bool {
	i, before := 0, ""
	for _, p := range want {
		if i < len(got) && got[i].Point == p.Name {
			i, before = i+1, p.Name
			continue
		}
		if p.Times().Least == 0 {
			continue
		}
		f := verdict.Fact{Point: p.Name, Role: role, After: before}
		if r.first(p.Name) == nil && g.count(p.Name) > 0 {
			f.Call = r.number // it was hit for another call
		}
		switch {
		case i >= len(got) && role != g.rules.entry().Role && r.first(p.Name) == nil:
			f.Case = verdict.CaseNotStarted
			g.find(g.exit.Seq, verdict.FindMissing, f)
		case i >= len(got):
			f.Case, f.End = verdict.CaseNotReached, g.ending()
			g.find(g.exit.Seq, verdict.FindMissing, f)
		case r.first(p.Name) == nil:
			f.Case, f.Other = verdict.CasePassedOver, got[i].Point
			g.find(got[i].Seq, verdict.FindMissing, f)
		default:
			f.Case, f.Point, f.Other = verdict.CaseTooEarly, got[i].Point, p.Name
			g.find(got[i].Seq, verdict.FindOrder, f)
		}
		return false
	}
	if i < len(got) {
		g.find(got[i].Seq, verdict.FindOrder, verdict.Fact{Case: verdict.CasePastEnd, Point: got[i].Point, After: want[len(want)-1].Name})
		return false
	}
	return true
}

// inOrder reports whether a point has its place among the steps of its role.
func inOrder(p plan.Point) bool {
	return p.Step && !p.Anytime && p.Role != plan.Any && p.Times().Most != 0
}

// ordered returns the steps of a role that have an order.
func (g *grader) ordered(role string) []plan.Point {
	return slices.DeleteFunc(g.rules.path(role), func(p plan.Point) bool { return !inOrder(p) })
}

// edges checks the orders that hold between roles.
func (g *grader) edges(r round) bool {
	ok := true
	for _, p := range g.rules.Points {
		for _, after := range p.After {
			to, from := r.first(p.Name), r.first(after)
			switch {
			case to == nil: // found by the order, or by the check that needs it
			case from == nil:
				ok = false
				g.find(to.Seq, verdict.FindEdge, verdict.Fact{Case: verdict.CaseWithout, Point: p.Name, After: after})
			case from.Seq > to.Seq:
				ok = false
				g.find(to.Seq, verdict.FindEdge, verdict.Fact{Case: verdict.CaseBefore, Point: p.Name, After: after})
			}
		}
	}
	return ok
}

// hits returns the points that were hit too often or not often enough.
func (g *grader) hits(steps []plan.Point) []verdict.PointCount {
	var wrong []verdict.PointCount
	entry := g.rules.entry()
	extra := g.count(entry.Name) > entry.Times().Most
	for _, p := range steps {
		n := g.count(p.Name)
		h := p.Times()
		if h.Has(n) {
			continue
		}
		wrong = append(wrong, verdict.PointCount{Point: p.Name, Times: n})
		// Calls beyond the lab's hit every point once more: found once, at the entry.
		if n == 0 && inOrder(p) || extra && p.Name != entry.Name && n == h.Most*len(g.rounds) {
			continue
		}
		seq := g.nth(p.Name, max(h.Most, 0))
		f := verdict.Fact{Case: verdict.CaseHits, Point: p.Name, Times: n, Range: &h}
		kind := verdict.FindHits
		switch {
		case p.Name == entry.Name:
			f.Case = verdict.CaseCalls
		case h.Most == 0:
			f.Case, f.Task = verdict.CaseForbidden, g.hitBy(p.Name)
		case n == 0:
			seq, kind = g.exit.Seq, verdict.FindMissing
			f.Case, f.End = verdict.CaseTooFew, g.ending()
		}
		g.find(seq, kind, f)
	}
	return wrong
}

// nth returns the place of a point's hit of index i, or the end.
func (g *grader) nth(point string, i int) int {
	for _, r := range g.rounds {
		for _, e := range r.stops {
			if e.Point != point {
				continue
			}
			if i == 0 {
				return e.Seq
			}
			i--
		}
	}
	return g.end()
}

func (g *grader) expectedOrder() *verdict.Fact {
	call := verdict.CallPaths{}
	for _, role := range g.rules.Roles() {
		path := verdict.RolePath{Role: role}
		for _, p := range g.ordered(role) {
			path.Points = append(path.Points, p.Name)
		}
		if len(path.Points) > 0 {
			call.Paths = append(call.Paths, path)
		}
	}
	return &verdict.Fact{Case: verdict.CasePaths, Calls: []verdict.CallPaths{call}}
}

// expectedHits lists the points that are not to be hit just once.
func expectedHits(steps []plan.Point) *verdict.Fact {
	f := &verdict.Fact{Case: verdict.CaseRanges, Times: len(steps)}
	for _, p := range steps {
		if h := p.Times(); h != (trace.Range{Least: 1, Most: 1}) {
			f.Counts = append(f.Counts, verdict.PointCount{Point: p.Name, Range: &h})
		}
	}
	return f
}

// who is the task of an event.
func who(e trace.Event) *verdict.TaskName {
	name := &verdict.TaskName{Role: e.Role}
	if e.Task != nil {
		name.PID, name.Comm = e.Task.PID, e.Task.Comm
	}
	return name
}
