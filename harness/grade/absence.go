package grade

import (
	"slices"
	"strings"

	"kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// absences checks that what is not to come was watched for: that a point was
// never hit says something only if the guest would have stopped there.
func (g *grader) absences(hits *verdict.Check, steps []plan.Point) {
	var doubts []verdict.Fact
	for _, p := range steps {
		if p.Times().Most != 0 {
			continue
		}
		if why := g.unwatched(p.Name); why != nil {
			doubts = append(doubts, *why)
		}
	}
	if len(doubts) == 0 {
		return
	}
	hits.Verdict, hits.Score = verdict.Skip, 0
	hits.Got = &verdict.Fact{Case: verdict.CaseUnknown, Why: doubts}
	g.find(g.exit.Seq, verdict.FindNotSeen, verdict.Fact{Case: verdict.CaseUnmade, Check: hits.Name, Why: doubts})
	if !g.exit.Exit.TimedOut {
		g.unmade = append(g.unmade, verdict.Fact{Case: verdict.CaseNotGraded, Check: hits.Name, Why: []verdict.Fact{*hits.Got}})
	}
}

// unwatched says why it is not known that a point did not come, nil when it is.
func (v *view) unwatched(point string) *verdict.Fact {
	if v.exit != nil && v.exit.Exit.TimedOut {
		return &verdict.Fact{Case: verdict.CaseCutShort, Point: point}
	}
	p, ok := v.rules.point(point)
	if !ok || p.Entry {
		return nil
	}
	recorded, armed := false, false
	for _, e := range v.trace.Events {
		recorded = recorded || len(e.Arms) > 0
		switch {
		case slices.Contains(e.Arms, point):
			armed = true
		case slices.Contains(e.Disarms, point) && e.Point != p.Until:
			return &verdict.Fact{Case: verdict.CaseWatchEnded, Point: point, Event: e.Seq}
		}
	}
	if p.ReturnOf == "" && recorded && !armed {
		return &verdict.Fact{Case: verdict.CaseNeverArmed, Point: point, Points: p.Armed}
	}
	return nil
}

// follows reports whether a point was not hit for want of another that was not: of
// the points that arm it, the call whose return it is, or those that tell whose
// stop it is.
func (v *view) follows(point string) bool {
	p, ok := v.rules.point(point)
	if !ok || v.count(point) > 0 {
		return false
	}
	unhit := func(names []string) bool {
		return len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return v.count(n) > 0 })
	}
	var tell []string
	for _, q := range v.rules.Points {
		if finds(q, p.Role) {
			tell = append(tell, q.Name)
		}
	}
	return unhit(p.Armed) || unhit(tell) || p.ReturnOf != "" && v.count(p.ReturnOf) == 0
}

// finds reports whether a point tells which task a role is.
func finds(p plan.Point, role string) bool {
	return slices.ContainsFunc(p.Finds, func(f plan.Named) bool { return f.Name == role })
}

// hitBy returns the first task that hit a point.
func (v *view) hitBy(point string) *verdict.TaskName {
	for _, r := range v.rounds {
		if e := r.first(point); e != nil {
			return who(*e)
		}
	}
	return nil
}

// calls reports whether a function is on the stack of a stop, by the name of a
// point or a symbol. Frames that are not to be trusted do not count.
func (v *view) calls(name string, e *trace.Event) (bool, error) {
	if e == nil {
		return false, &missing{verdict.Fact{Case: verdict.CaseNoStack, Point: name}}
	}
	if len(e.Stack) == 0 {
		return false, &missing{verdict.Fact{Case: verdict.CaseStackGone, Point: e.Point}}
	}
	symbol := v.symbolOf(name)
	for _, f := range e.Stack {
		if f.Trusted && !f.User && (plainSymbol(f.Symbol) == plainSymbol(symbol) || isCall(name, f.Symbol)) {
			return true, nil
		}
	}
	return false, nil
}

// symbolOf returns the symbol of a point, or the name itself.
func (v *view) symbolOf(name string) string {
	for _, p := range v.trace.Header.Points {
		if p.Point == name || p.Place == name {
			return p.Symbol
		}
	}
	return name
}

// plainSymbol is a symbol without what the compiler appended.
func plainSymbol(s string) string {
	s, _, _ = strings.Cut(s, ".")
	return s
}

// isCall reports whether a symbol is one of the functions that a system call's
// entry consists of: SYSCALL_DEFINE of include/linux/syscalls.h and the wrappers
// of the architectures.
func isCall(name, symbol string) bool {
	call, ok := strings.CutPrefix(name, "sys_")
	if !ok {
		return false
	}
	return slices.ContainsFunc([]string{"__x64_sys_", "__riscv_sys_", "__se_sys_", "__do_sys_", "sys_"}, func(prefix string) bool {
		return plainSymbol(symbol) == prefix+call
	})
}
