package grade

import (
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/trace"
)

// The places of the two checks over the path among a result's checks.
const (
	indexSequence = iota
	indexHits
	indexValues
)

// path makes the sequence and hits checks.
func (g *grader) path() {
	hits, seq := g.check(indexHits), g.on(indexSequence)
	steps := g.rules.path("")
	seq.Expected, hits.Expected = g.expectedOrder(), expectedHits(steps)
	if len(g.rounds) == 0 {
		seq.Observed, hits.Observed = "no stop at all", "no stop at all"
		settle(seq, false)
		settle(hits, false)
		g.neverCalled()
		return
	}
	ok := true
	var orders []string
	for _, r := range g.rounds {
		order, good := g.order(r)
		orders = append(orders, order)
		ok = g.edges(r) && good && ok
	}
	seq.Observed = g.inEachCall(orders)
	settle(seq, ok)
	g.on(indexHits)
	hits.Observed = g.hits(steps)
	settle(hits, hits.Observed == "")
	if hits.Observed == "" {
		hits.Observed = hits.Expected
		g.absences(hits, steps)
	}
}

// inEachCall tells what was seen in each round, once if it was the same in all.
func (g *grader) inEachCall(orders []string) string {
	distinct := slices.Compact(slices.Sorted(slices.Values(orders)))
	switch {
	case len(orders) == 1:
		return orders[0]
	case len(distinct) == 1:
		return fmt.Sprintf("in each of %d calls, %s", len(orders), orders[0])
	}
	const most = 8
	var out []string
	for i, order := range orders[:min(most, len(orders))] {
		out = append(out, fmt.Sprintf("call %d, %s", g.rounds[i].number, order))
	}
	if len(orders) > most {
		out = append(out, "…")
	}
	return strings.Join(out, "; ")
}

// neverCalled tells that the program did not do what the lab is about.
func (g *grader) neverCalled() {
	entry := g.rules.entry().Name
	seen := g.ending() + g.printed()
	if n := len(g.asides); n > 0 {
		var asides []string
		for _, why := range keys(g.asides) {
			asides = append(asides, fmt.Sprintf("%s: %s", times(g.asides[why]), why))
		}
		seen = fmt.Sprintf("%s was hit by other calls only (%s); %s", entry, strings.Join(asides, ", "), seen)
	}
	g.find(g.exit.Seq, FindNeverCalled, entry, "the program never called %s: expected %s by %s, seen: %s",
		entry, entry, g.trace.Header.Program.Name, seen)
}

// order compares the steps of each role with the rules', tells the first
// divergence of each, and returns what was seen.
func (g *grader) order(r round) (seen string, ok bool) {
	ok = true
	for _, e := range r.stops {
		if p, _ := g.rules.point(e.Point); p.Step && e.Role != p.Role {
			ok = false
			g.find(e.Seq, FindOrder, e.Point, "%s is a step of the %s, and was hit by %s", e.Point, p.Role, who(e))
		}
	}
	var parts []string
	for _, role := range g.rules.Roles() {
		want := g.ordered(role)
		var got []trace.Event
		for _, e := range r.stops {
			p, _ := g.rules.point(e.Point)
			if !p.inOrder() || p.Role != role || e.Role != role {
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
		names := []string{"nothing"}
		if len(got) > 0 {
			names = nil
		}
		for _, e := range got {
			if len(names) == 32 {
				names = append(names, "…")
				break
			}
			names = append(names, e.Point)
		}
		parts = append(parts, role+": "+strings.Join(names, " → "))
	}
	return strings.Join(parts, "; "), ok
}

// diverge tells the first place where got is not want.
func (g *grader) diverge(r round, role string, want []Point, got []trace.Event) bool {
	i, before := 0, "first of all"
	for _, p := range want {
		if i < len(got) && got[i].Point == p.Name {
			i, before = i+1, "after "+p.Name
			continue
		}
		if p.hits().Least == 0 {
			continue
		}
		switch {
		case i >= len(got) && role != g.rules.entry().Role && r.first(p.Name) == nil:
			g.find(g.exit.Seq, FindMissing, p.Name, "%s never came: the %s was not seen to start", p.Name, role)
		case i >= len(got):
			g.find(g.exit.Seq, FindMissing, p.Name, "%s was not hit by the %s: expected it %s, seen: nothing more of the %s before the end (%s)",
				p.Name, role, before, role, g.ending())
		case r.first(p.Name) == nil:
			g.find(got[i].Seq, FindMissing, p.Name, "%s was not hit: expected it %s, seen: %s", p.Name, before, got[i].Point)
		default:
			g.find(got[i].Seq, FindOrder, got[i].Point, "%s came too early: expected %s %s, seen: %s", got[i].Point, p.Name, before, got[i].Point)
		}
		return false
	}
	if i < len(got) {
		e := got[i]
		g.find(e.Seq, FindOrder, e.Point, "%s came again, after the path had ended with %s", e.Point, want[len(want)-1].Name)
		return false
	}
	return true
}

// inOrder reports whether a point has its place among the steps of its role.
func (p Point) inOrder() bool { return p.Step && !p.Anytime && p.Role != Any && p.hits().Most != 0 }

// ordered returns the steps of a role that have an order.
func (g *grader) ordered(role string) []Point {
	return slices.DeleteFunc(g.rules.path(role), func(p Point) bool { return !p.inOrder() })
}

// edges checks the orders that hold between roles.
func (g *grader) edges(r round) bool {
	ok := true
	for _, p := range g.rules.Points {
		for _, after := range p.After {
			to, from := r.first(p.Name), r.first(after)
			switch {
			case to == nil: // told by the order, or by the check that needs it
			case from == nil:
				ok = false
				g.find(to.Seq, FindEdge, p.Name, "%s came without %s, which comes before it", p.Name, after)
			case from.Seq > to.Seq:
				ok = false
				g.find(to.Seq, FindEdge, p.Name, "%s came before %s, and has to come after it", p.Name, after)
			}
		}
	}
	return ok
}

// hits tells which points were hit too often or not often enough, "" for none.
func (g *grader) hits(steps []Point) string {
	var wrong []string
	same := map[int]bool{}
	entry := g.rules.entry()
	extra := g.count(entry.Name) > entry.hits().Most
	for _, p := range steps {
		n := g.count(p.Name)
		same[n] = true
		h := p.hits()
		if h.has(n) {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s %s", p.Name, times(n)))
		// Calls beyond the lab's hit every point once more: told once, at the entry.
		if n == 0 && p.inOrder() || extra && p.Name != entry.Name && n == h.Most*len(g.rounds) {
			continue
		}
		seq := g.nth(p.Name, max(h.Most, 0))
		switch {
		case p.Name == entry.Name:
			g.find(seq, FindHits, p.Name, "the program called %s %s: expected %s, seen %s", p.Name, times(n), h, hitCount(n))
		case h.Most == 0:
			g.find(seq, FindHits, p.Name, "%s came, and should not: seen %s by %s", p.Name, times(n), g.hitBy(p.Name))
		case n == 0:
			g.find(g.exit.Seq, FindMissing, p.Name, "%s was not hit: expected %s before the end (%s)", p.Name, h, g.ending())
		default:
			g.find(seq, FindHits, p.Name, "%s was hit %s: expected %s, seen %s", p.Name, times(n), h, hitCount(n))
		}
	}
	if len(same) == 1 && len(wrong) == len(steps) && len(steps) > 1 {
		return fmt.Sprintf("each of %d points %s", len(steps), times(g.count(entry.Name)))
	}
	return strings.Join(wrong, ", ")
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

func (g *grader) expectedOrder() string {
	var parts []string
	for _, role := range g.rules.Roles() {
		var names []string
		for _, p := range g.ordered(role) {
			names = append(names, p.Name)
		}
		if len(names) > 0 {
			parts = append(parts, role+": "+strings.Join(names, " → "))
		}
	}
	return strings.Join(parts, "; ")
}

func expectedHits(steps []Point) string {
	var other []string
	for _, p := range steps {
		switch h := p.hits(); {
		case h == Range{1, 1}:
		case h == Range{}:
			other = append(other, p.Name+" never")
		case h.Least == h.Most:
			other = append(other, fmt.Sprintf("%s %s", p.Name, times(h.Most)))
		default:
			other = append(other, fmt.Sprintf("%s %s", p.Name, h))
		}
	}
	if len(other) == 0 {
		return fmt.Sprintf("each of %d points once", len(steps))
	}
	if len(other) == len(steps) {
		return strings.Join(other, ", ")
	}
	return strings.Join(other, ", ") + ", the others once"
}

func who(e trace.Event) string {
	role := e.Role
	if role == "" {
		role = "another task"
	} else {
		role = "the " + role
	}
	if e.Task == nil {
		return role
	}
	return fmt.Sprintf("%s, %d[%s]", role, e.Task.PID, e.Task.Comm)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func hitCount(n int) string {
	if n == 1 {
		return "1 hit"
	}
	return fmt.Sprintf("%d hits", n)
}
