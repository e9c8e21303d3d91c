// Package words writes the sentences of a verdict document from its fields: the
// messages of findings, the notes, what checks expected and observed, and why a run
// could not be graded. It decides nothing, and nothing reads what it writes: whatever
// students may not see has left the fields before.
//
// A field that is empty where a sentence needs it shows as "(not shown)".
package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kernellab/harness/verdict"
)

// Document returns d with its sentences written.
func Document(d verdict.Document) verdict.Document {
	d.Results = slices.Clone(d.Results)
	for i := range d.Results {
		d.Results[i] = Result(d.Results[i])
	}
	return d
}

// Result returns r with its sentences written. It shares no list of findings, checks
// or steps with r.
func Result(r verdict.Result) verdict.Result {
	r.Checks, r.Steps, r.Evidence, r.Findings = slices.Clone(r.Checks), slices.Clone(r.Steps), slices.Clone(r.Evidence), slices.Clone(r.Findings)
	for i := range r.Checks {
		r.Checks[i] = Check(r.Checks[i])
	}
	for i := range r.Steps {
		r.Steps[i] = Step(r.Steps[i])
	}
	for i := range r.Evidence {
		r.Evidence[i] = Step(r.Evidence[i])
	}
	for i, f := range r.Findings {
		if f.Case != "" {
			r.Findings[i].Message = Finding(f.Fact)
		}
		if r.Findings[i].Message == "" {
			r.Findings[i].Message = verdict.Unnamed
		}
	}
	if len(r.Remarks) > 0 {
		r.Notes = nil
		for _, f := range r.Remarks {
			r.Notes = append(r.Notes, Note(f))
		}
	}
	if len(r.Causes) > 0 {
		r.Error = list("; ", r.Causes, cause)
	}
	return r
}

// Check returns c with what it expected and observed written.
func Check(c verdict.Check) verdict.Check {
	if c.Want != nil {
		c.Expected = Value(*c.Want)
	}
	if c.Got != nil {
		c.Observed = Value(*c.Got)
	}
	return c
}

// Step returns s with its values written.
func Step(s verdict.Step) verdict.Step {
	s.Values = slices.Clone(s.Values)
	for i, v := range s.Values {
		if v.Why != nil {
			s.Values[i].Text = reason(*v.Why)
		}
	}
	return s
}

// Finding writes the sentence of a finding.
func Finding(f verdict.Fact) string {
	switch f.Case {
	case verdict.CaseNeverCalled:
		return neverCalled(f)
	case verdict.CaseWrongTask:
		return fmt.Sprintf("%s is a step of the %s, and was hit by %s", name(f.Point), f.Role, who(f.Task))
	case verdict.CaseNotStarted:
		return fmt.Sprintf("%s never came%s: the %s was not seen to start", name(f.Point), forCall(f), f.Role)
	case verdict.CaseNotReached:
		return fmt.Sprintf("%s was not hit by the %s%s: expected it %s, seen: nothing more of the %s before the end (%s)", name(f.Point), f.Role, forCall(f), after(f), f.Role, ending(f.End))
	case verdict.CasePassedOver:
		return fmt.Sprintf("%s was not hit%s: expected it %s, seen: %s", name(f.Point), forCall(f), after(f), name(f.Other))
	case verdict.CaseTooEarly:
		return fmt.Sprintf("%s came too early: expected %s %s, seen: %s", name(f.Point), name(f.Other), after(f), name(f.Point))
	case verdict.CasePastEnd:
		return fmt.Sprintf("%s came again, after the path had ended with %s", name(f.Point), name(f.After))
	case verdict.CaseWithout:
		return fmt.Sprintf("%s came without %s, which comes before it", name(f.Point), name(f.After))
	case verdict.CaseBefore:
		return fmt.Sprintf("%s came before %s, and has to come after it", name(f.Point), name(f.After))
	case verdict.CaseForbidden:
		return fmt.Sprintf("%s came, and should not: seen %s by %s", name(f.Point), times(f.Times), who(f.Task))
	case verdict.CaseTooFew:
		return fmt.Sprintf("%s was not hit: expected %s before the end (%s)", name(f.Point), hitRange(f.Range), ending(f.End))
	case verdict.CaseHits:
		return fmt.Sprintf("%s was hit %s: expected %s, seen %s", name(f.Point), times(f.Times), hitRange(f.Range), hits(f.Times))
	case verdict.CaseCalls:
		return fmt.Sprintf("the program called %s %s: expected %s, seen %s", name(f.Point), times(f.Times), hitRange(f.Range), hits(f.Times))
	case verdict.CaseValue:
		return fmt.Sprintf("%s: expected %s, seen %s", name(f.Check), f.Expected, observed(f))
	case verdict.CaseUnmade:
		return fmt.Sprintf("%s: could not be checked: %s", name(f.Check), list("; ", f.Why, doubt))
	case verdict.CaseBlocked:
		return blocked(f)
	case verdict.CaseOutput:
		return output(f)
	case verdict.CaseEnding:
		return ended(f)
	case verdict.CaseWrong:
		if f.Expected != "" {
			return fmt.Sprintf("question %s: answered %s, and it is %s", f.Check, observed(f), f.Expected)
		}
		return fmt.Sprintf("question %s: %s is not right", f.Check, observed(f))
	case verdict.CaseUnanswered:
		return "not answered: " + strings.Join(f.Checks, ", ")
	case verdict.CaseFits:
		return fits(f)
	}
	return cause(f)
}

// Value writes what a check expected or observed.
func Value(f verdict.Fact) string {
	switch f.Case {
	case verdict.CasePaths:
		return paths(f)
	case verdict.CaseRanges:
		return ranges(f)
	case verdict.CaseCounts:
		return counts(f)
	case verdict.CaseNoStop:
		return "no stop at all"
	case verdict.CaseEnded:
		return ending(f.End)
	case verdict.CaseLines:
		return lines(f.Output)
	case verdict.CaseMembers:
		if len(f.Checks) == 0 {
			return fmt.Sprintf("all of its %s hold", plural(f.Times, "check", "checks"))
		}
		return fmt.Sprintf("%d of its %s do not hold: %s", len(f.Checks), plural(f.Times, "check", "checks"), strings.Join(named(f.Checks), ", "))
	case verdict.CaseHolds:
		return "it holds"
	case verdict.CaseHoldsNot:
		return "it does not hold"
	case verdict.CaseNotGraded:
		if len(f.Why) == 0 {
			return "not graded"
		}
		return "not graded: " + list("; ", f.Why, reason)
	case verdict.CaseNotAnswered:
		return "not answered"
	case verdict.CaseNotUnderstood:
		return "not understood: " + f.Said
	case verdict.CaseNoProgram:
		return "no program was run"
	case verdict.CaseMachineDown:
		return "the program's run did not end"
	}
	return reason(f)
}

// reason writes why a value is not known.
func reason(f verdict.Fact) string {
	switch f.Case {
	case verdict.CaseNotHit:
		return "not seen: no stop at " + name(f.Point)
	case verdict.CaseNoTask:
		return "not seen: no stop of the " + f.Role
	case verdict.CaseNoEvent:
		return "not seen: " + f.Name + " has no event"
	case verdict.CaseNoEnd:
		return "not seen: the program's end"
	case verdict.CaseNoFtrace:
		return "not seen: what ftrace recorded"
	case verdict.CaseNoStack:
		return "not seen: there is no stop whose stack could have " + name(f.Point)
	case verdict.CaseStackGone:
		return "not recorded: the stack at " + name(f.Point)
	case verdict.CaseUnread:
		return fmt.Sprintf("not read: %s %s: %s", whose(f), f.Name, f.Said)
	case verdict.CaseUnrecorded:
		return fmt.Sprintf("not recorded: %s %s", whose(f), f.Name)
	case verdict.CaseUnknown:
		if f.Point == "" {
			return "not known: " + list("; ", f.Why, doubt)
		}
		return fmt.Sprintf("not known whether %s came: %s", f.Point, list("; ", f.Why, unwatched))
	case verdict.CaseCutShort, verdict.CaseWatchEnded, verdict.CaseNeverArmed:
		return unwatched(f)
	case verdict.CaseNotRun:
		return "the program was not run"
	case verdict.CaseFailed:
		return "not computed: " + f.Said
	}
	return cmp.Or(f.Said, verdict.Unnamed)
}

// doubt writes a reason about a point after the point's name.
func doubt(f verdict.Fact) string {
	switch f.Case {
	case verdict.CaseCutShort, verdict.CaseWatchEnded, verdict.CaseNeverArmed:
		return name(f.Point) + ": " + unwatched(f)
	}
	return reason(f)
}

// unwatched writes why it is not known that a point did not come.
func unwatched(f verdict.Fact) string {
	switch f.Case {
	case verdict.CaseCutShort:
		return "the program was stopped before its end, so it might still have come"
	case verdict.CaseWatchEnded:
		return fmt.Sprintf("it was watched for only until event %d", f.Event)
	case verdict.CaseNeverArmed:
		if len(f.Points) > 0 {
			return "it was never armed, as " + strings.Join(f.Points, " or ") + " was not hit"
		}
		return "it was never armed"
	}
	return reason(f)
}

// cause writes why a result, a check or an answer could not be graded.
func cause(f verdict.Fact) string {
	switch f.Case {
	case verdict.CaseNotGraded:
		if len(f.Questions) > 0 {
			return fmt.Sprintf("question %s: %s", strings.Join(f.Questions, ", "), Value(f))
		}
		return fmt.Sprintf("%s: %s", name(f.Check), list("; ", f.Why, reason))
	case verdict.CaseCutTrace:
		at := f.Name
		if f.Point != "" {
			at += " at " + f.Point
		}
		return fmt.Sprintf("the trace is incomplete: it stops after event %d (%s) without an end, so the run was cut short", f.Event, at)
	case verdict.CaseOtherLab:
		return fmt.Sprintf("event %d: the lab has no point %q: the trace is of another version of the lab, record it again", f.Event, f.Point)
	}
	return reason(f)
}

// Note writes a note.
func Note(f verdict.Fact) string {
	switch f.Case {
	case verdict.NoteRestarted:
		return fmt.Sprintf("%s was restarted: call %d ended at %s and the same task made it again as call %d, as happens when a signal arrives. It is not counted.",
			name(f.Point), f.Call, name(f.After), f.Times)
	case verdict.NoteRefused:
		return fmt.Sprintf("Call %d of %s made nothing: its last step was %s. Call %d is the one that counts.",
			f.Call, name(f.Point), name(f.After), f.Times)
	case verdict.NoteAbsent:
		return fmt.Sprintf("%s can not be observed on %s: %s.", name(f.Point), f.Name, f.Said)
	case verdict.NoteUnchecked:
		left := named(f.Checks)
		for _, q := range f.Questions {
			left = append(left, "question "+q)
		}
		return "So this is not checked there, and scores nothing: " + strings.Join(left, ", ") + "."
	case verdict.NoteSteps:
		return fmt.Sprintf("Only the first %d steps are listed; the trace has them all.", f.Times)
	case verdict.NoteLeft:
		return fmt.Sprintf("%s left %s behind when it ended.", f.Program, plural(f.Times, "process", "processes"))
	case verdict.NoteLost:
		return fmt.Sprintf("%s printed more than is kept: %s are lost.", f.Program, plural(f.Times, "byte", "bytes"))
	case verdict.NoteMore:
		return "More findings follow from these; they are left out."
	case verdict.NoteWithheld:
		if f.Times > 1 {
			return fmt.Sprintf("%d checks more, which count and are not shown here.", f.Times)
		}
		return "1 check more, which counts and is not shown here."
	}
	return f.Said
}

func neverCalled(f verdict.Fact) string {
	seen := ending(f.End) + printed(f.Output)
	if len(f.Asides) > 0 {
		var asides []string
		for _, a := range f.Asides {
			asides = append(asides, fmt.Sprintf("%s by %s %s (%s)", name(a.Point), task(a.Task), times(a.Times), a.Why))
		}
		seen = fmt.Sprintf("other calls only: %s; %s", strings.Join(asides, ", "), seen)
	}
	return fmt.Sprintf("the program never called %s: expected %s by %s, seen: %s", name(f.Point), name(f.Point), f.Program, seen)
}

func printed(o *verdict.OutputFact) string {
	if o == nil || o.Silent {
		return ", and no output"
	}
	said := quoted(o.Lines)
	if o.More > 0 {
		said = append(said, plural(o.More, "line", "lines")+" more")
	}
	return ", after printing " + strings.Join(said, ", ")
}

// forCall says which of the lab's calls a fact is about, if it is not about all.
func forCall(f verdict.Fact) string {
	if f.Call == 0 {
		return ""
	}
	return fmt.Sprintf(" for call %d", f.Call)
}

func blocked(f verdict.Fact) string {
	hit := fmt.Sprintf("%s was never hit by the %s", name(f.Point), f.Role)
	if f.Call > 0 {
		hit = fmt.Sprintf("%s was not hit by the %s%s", name(f.Point), f.Role, forCall(f))
	}
	if f.Task != nil {
		hit += ", but by " + task(f.Task)
	}
	means := ""
	if f.Said != "" {
		means = " " + f.Said
	}
	return fmt.Sprintf("%s, and so %s can not hold.%s", hit, strings.Join(named(f.Checks), ", "), means)
}

func output(f verdict.Fact) string {
	var wrong []string
	if len(f.Output.Lines)+len(f.Output.Pattern) > 0 {
		wrong = append(wrong, unprinted(f))
	}
	for _, e := range f.Output.Early {
		wrong = append(wrong, fmt.Sprintf("%s printed %q before %q: it has to come after that line", f.Program, e.Line, e.After))
	}
	return strings.Join(wrong, "; ")
}

// unprinted writes which lines did not come.
func unprinted(f verdict.Fact) string {
	missing, seen := quoted(f.Output.Lines), ""
	for _, p := range f.Output.Pattern {
		missing = append(missing, fmt.Sprintf("%q", matches(p)))
	}
	switch {
	case len(f.Output.Near) > 0:
		seen = ": seen " + strings.Join(quoted(f.Output.Near), ", ")
	case f.Output.Silent:
		seen = ", nor anything else"
	}
	return fmt.Sprintf("%s did not print %s%s", f.Program, strings.Join(missing, ", "), seen)
}

func matches(pattern string) string { return "a line that matches " + pattern }

// lines writes what was to be printed, or how much of it was.
func lines(o *verdict.OutputFact) string {
	switch {
	case len(o.Early) > 0:
		var early []string
		for _, e := range o.Early {
			early = append(early, fmt.Sprintf("%q before %q", e.Line, e.After))
		}
		return fmt.Sprintf("%d of %d, and %s", o.Found, o.Wanted, strings.Join(early, ", "))
	case o.Found < o.Wanted && o.Silent:
		return "no output"
	case o.Found < o.Wanted:
		return fmt.Sprintf("%d of %d", o.Found, o.Wanted)
	case o.Wanted == 0:
		return "anything"
	case o.Wanted == 1 && len(o.Lines) > 0:
		return fmt.Sprintf("the line %q", o.Lines[0])
	case o.Wanted == 1 && len(o.Pattern) > 0:
		return fmt.Sprintf("the line %q", matches(o.Pattern[0]))
	}
	if len(o.After) > 0 {
		var order []string
		for _, a := range o.After {
			order = append(order, fmt.Sprintf("%q after %q", a.Line, a.After))
		}
		return fmt.Sprintf("%d lines, %s", o.Wanted, strings.Join(order, ", "))
	}
	return fmt.Sprintf("%d lines, in any order", o.Wanted)
}

// ended writes that a program ended in another way than it should.
func ended(f verdict.Fact) string {
	got, want := ending(f.End), ending(f.Want)
	switch {
	case f.End.Stops > 0:
		return fmt.Sprintf("%s was %s: something in it goes on and on", f.Program, got)
	case f.End.TimedOut:
		return fmt.Sprintf("%s %s, and was stopped: something in it waits for what never comes, or never stops", f.Program, got)
	case f.End.Panic+f.Want.Panic != "":
		return fmt.Sprintf("%s: expected that %s, seen: %s", f.Program, want, got)
	case f.End.Signal != "" && f.Want.Signal == "":
		return fmt.Sprintf("%s was %s instead of ending with %s", f.Program, got, want)
	case f.Want.Signal != "":
		return fmt.Sprintf("%s was to be %s, seen: %s", f.Program, want, got)
	}
	return fmt.Sprintf("%s ended with %s: expected %d", f.Program, got, f.Want.Code)
}

func ending(e *verdict.Ending) string {
	switch {
	case e == nil:
		return verdict.Unnamed
	case e.Stops > 0:
		return fmt.Sprintf("stopped after it had come to the lab's points %d times", e.Stops)
	case e.TimedOut:
		return "did not end within " + roughly(e.Limit)
	case e.Panic != "":
		return fmt.Sprintf("the kernel panics with %q", e.Panic)
	case e.Signal != "":
		return "killed by " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

func roughly(d time.Duration) string {
	if d >= 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func observed(f verdict.Fact) string {
	if len(f.Why) > 0 {
		return Value(f.Why[0])
	}
	return f.Observed
}

// whose writes the beginning of a sentence about a value.
func whose(f verdict.Fact) string {
	switch {
	case f.Point != "" && f.Of != "":
		return f.Point + "'s " + f.Of
	case f.Point != "":
		return f.Point + "'s"
	case f.Of == "sizes":
		return "the size of"
	}
	return "the program's"
}

func after(f verdict.Fact) string {
	if f.After == "" {
		return "first of all"
	}
	return "after " + f.After
}

func name(s string) string { return cmp.Or(s, verdict.Unnamed) }

// task writes a task without its role.
func task(t *verdict.TaskName) string {
	if t == nil || t.PID == 0 && t.Comm == "" {
		return "a task"
	}
	return fmt.Sprintf("%d[%s]", t.PID, t.Comm)
}

func who(t *verdict.TaskName) string {
	if t == nil {
		return "no task"
	}
	role := "another task"
	if t.Role != "" {
		role = "the " + t.Role
	}
	if t.PID == 0 && t.Comm == "" {
		return role
	}
	return fmt.Sprintf("%s, %d[%s]", role, t.PID, t.Comm)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func named(checks []string) []string {
	out := make([]string, len(checks))
	for i, c := range checks {
		out[i] = `"` + c + `"`
	}
	return out
}

func quoted(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = fmt.Sprintf("%q", t)
	}
	return out
}

func list(sep string, facts []verdict.Fact, write func(verdict.Fact) string) string {
	out := make([]string, len(facts))
	for i, f := range facts {
		out[i] = write(f)
	}
	return strings.Join(out, sep)
}
