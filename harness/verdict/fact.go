package verdict

import (
	"fmt"
	"slices"
	"time"

	"kernellab/harness/trace"
)

// Fact is something that was expected, seen or missed, as data. Case says what it
// is and which of the other fields matter. harness/report/words makes a sentence of
// it, after everything has been decided.
type Fact struct {
	Case string `json:"case,omitempty"`
	// Check is the name of the check or question that the fact is about, and Checks
	// those of several.
	Check  string   `json:"check,omitempty"`
	Checks []string `json:"checks,omitempty"`
	// Questions are names of questions beside Checks.
	Questions []string `json:"questions,omitempty"`
	Point     string   `json:"point,omitempty"`
	// Other is the point that was expected, or seen, instead; After the one before it.
	Other    string       `json:"other,omitempty"`
	After    string       `json:"after,omitempty"`
	Points   []string     `json:"points,omitempty"`
	Role     string       `json:"role,omitempty"`
	Task     *TaskName    `json:"task,omitempty"`
	Expected string       `json:"expected,omitempty"`
	Observed string       `json:"observed,omitempty"`
	Times    int          `json:"times,omitempty"`
	Range    *trace.Range `json:"range,omitempty"`
	Call     int          `json:"call,omitempty"`  // number of the lab's call
	Event    int          `json:"event,omitempty"` // number of an event of the trace
	Program  string       `json:"program,omitempty"`
	End      *Ending      `json:"end,omitempty"`  // how the program ended
	Want     *Ending      `json:"want,omitempty"` // how it should have ended
	Asides   []Aside      `json:"asides,omitempty"`
	Output   *OutputFact  `json:"output,omitempty"`
	Calls    []CallPaths  `json:"calls,omitempty"`
	Counts   []PointCount `json:"counts,omitempty"`
	Why      []Fact       `json:"why,omitempty"` // the reasons
	// Of and Name say which value of Point was not read or recorded: "task" and "pid".
	Of   string `json:"of,omitempty"`
	Name string `json:"name,omitempty"`
	// Students are IDs; "" is the task of no student.
	Students []string `json:"students,omitempty"`
	// Said is what something outside the rules said: an error, the lab's author.
	Said string `json:"said,omitempty"`
	// Mentions are the names in the fact that answer a question.
	Mentions []Mention `json:"mentions,omitempty"`
}

// The cases of findings.
const (
	CaseNeverCalled = "never-called" // Point, Program, End, Output, Asides
	CaseWrongTask   = "wrong-task"   // Point is Role's, and Task hit it
	CaseNotStarted  = "not-started"  // Point of Role, which was not seen
	CaseNotReached  = "not-reached"  // Point of Role, expected after After; End
	CasePassedOver  = "passed-over"  // Point, expected after After; Other came
	CaseTooEarly    = "too-early"    // Point came, where Other was expected after After
	CasePastEnd     = "past-end"     // Point came when the path had ended with After
	CaseWithout     = "without"      // Point came, and After did not
	CaseBefore      = "before"       // Point came before After
	CaseForbidden   = "forbidden"    // Point came, Times, first by Task
	CaseTooFew      = "too-few"      // Point did not come, Range; End
	CaseHits        = "hits"         // Point came Times, Range
	CaseCalls       = "calls"        // the entry Point came Times, Range
	CaseValue       = "value"        // of Check, Expected and Observed
	CaseUnmade      = "unmade"       // Check could not be made, Why
	CaseBlocked     = "blocked"      // Checks need Point of Role, not hit in Call, but by Task; Said is what it means
	CaseOutput      = "output"       // Program did not print Output
	CaseEnding      = "ending"       // Program, End and Want
	CaseWrong       = "wrong"        // answer Observed to Check, Expected if it is revealed
	CaseUnanswered  = "unanswered"   // Checks
	CaseFits        = "fits"         // Checks, which do not hold, hold in the task of Students, and Times more
)

// The cases of what a check expected and observed, where that is no value.
const (
	CasePaths         = "paths"          // Calls
	CaseRanges        = "ranges"         // Counts, with ranges; Times is the number of points
	CaseCounts        = "counts"         // Counts, with numbers; Times is the number of points
	CaseNoStop        = "no-stop"        // the lab's call was not made
	CaseEnded         = "ended"          // End
	CaseLines         = "lines"          // Output
	CaseMembers       = "members"        // Times checks of a group, of which Checks do not hold
	CaseHolds         = "holds"          // a condition
	CaseHoldsNot      = "holds-not"      //
	CaseNotGraded     = "not-graded"     // Why
	CaseNotAnswered   = "not-answered"   //
	CaseNotUnderstood = "not-understood" // Said
	CaseNoProgram     = "no-program"     // there was none that could be run
	CaseMachineDown   = "machine-down"   // the program's run did not end
)

// The cases of reasons why something is not known.
const (
	CaseNotHit     = "not-hit"      // Point
	CaseNoTask     = "no-task"      // Role
	CaseNoEvent    = "no-event"     // Name
	CaseNoEnd      = "no-end"       // of the program
	CaseNoFtrace   = "no-ftrace"    // nothing is known of ftrace in the run
	CaseNoStack    = "no-stack"     // there is no stop whose stack could have Point
	CaseStackGone  = "stack-gone"   // the stack at Point
	CaseUnread     = "unread"       // Of, Name of Point; Said
	CaseUnrecorded = "unrecorded"   // Of, Name of Point
	CaseUnknown    = "unknown"      // Why; whether Point came, or without Point in general
	CaseCutShort   = "cut-short"    // Point
	CaseWatchEnded = "watch-ended"  // Point, Event
	CaseNeverArmed = "never-armed"  // Point, armed by Points
	CaseNotRun     = "not-run"      // the program
	CaseFailed     = "not-computed" // Said
	CaseSaid       = "said"         // Said, a sentence
	CaseCutTrace   = "cut-trace"    // Event of Name at Point is the last
	CaseOtherLab   = "no-point"     // Event at Point, which the lab does not have
)

// The cases of notes.
const (
	NoteRestarted = "restarted"   // Point in Call ended at After and was made again as Times
	NoteRefused   = "refused"     // Point in Call ended at After and made nothing, unlike call Times
	NoteAbsent    = "absent"      // Point, on Name, Said
	NoteUnchecked = "unchecked"   // Checks, Questions
	NoteSteps     = "steps"       // only the first Times are listed
	NoteLeft      = "left-behind" // Program, Times processes
	NoteLost      = "output-lost" // Program, Times bytes
	NoteMore      = "more"        // findings were left out
	NoteWithheld  = "withheld"    // Times checks are not shown
)

// TaskName is a task as a person knows it.
type TaskName struct {
	Role string `json:"role,omitempty"` // "" is none of the lab's
	PID  int    `json:"pid,omitempty"`  // 0 when not known
	Comm string `json:"comm,omitempty"`
}

// Ending is how a program ended.
type Ending struct {
	Code     int           `json:"code"`
	TimedOut bool          `json:"timed_out,omitempty"`
	Signal   string        `json:"signal,omitempty"`
	Limit    time.Duration `json:"limit_ns,omitempty"` // it did not end within it
	Stops    int           `json:"stops,omitempty"`    // it was stopped after so many stops
	Panic    string        `json:"panic,omitempty"`    // the kernel panicked with this message, or one that begins so
}

// Aside counts the calls of a task that were not the lab's.
type Aside struct {
	Point string    `json:"point,omitempty"` // the entry, or what does the same in another way
	Task  *TaskName `json:"task,omitempty"`  // that called it
	Why   string    `json:"why"`
	Times int       `json:"times"`
}

// OutputFact is what a program had to print, or printed.
type OutputFact struct {
	Wanted  int      `json:"wanted,omitempty"`  // how many lines
	Found   int      `json:"found,omitempty"`   // how many of them came
	Lines   []string `json:"lines,omitempty"`   // some of them, or of what was printed
	Near    []string `json:"near,omitempty"`    // lines that were printed and almost are those
	Pattern []string `json:"pattern,omitempty"` // regular expressions of lines that did not come
	After   []After  `json:"after,omitempty"`   // the order that lines have to come in
	Early   []After  `json:"early,omitempty"`   // and did not
	More    int      `json:"more,omitempty"`    // lines that are not listed
	Silent  bool     `json:"silent,omitempty"`  // nothing was printed
}

// After is a line of output and the one that it has to come after.
type After struct {
	Line  string `json:"line"`
	After string `json:"after"`
}

// CallPaths are the points that the tasks of the lab came to in one call.
type CallPaths struct {
	Number int        `json:"number,omitempty"` // 0 is any
	Paths  []RolePath `json:"paths"`
}

// RolePath are the points of one role, in order.
type RolePath struct {
	Role   string   `json:"role"`
	Points []string `json:"points"`
	More   bool     `json:"more,omitempty"` // than are listed
}

// PointCount is how often a point came, or should.
type PointCount struct {
	Point string       `json:"point"`
	Times int          `json:"times,omitempty"`
	Range *trace.Range `json:"range,omitempty"`
}

// Mention is a place in a text or a list of names that students may not see.
type Mention struct {
	// In is the field, with an index where it is a list: "name", "values.2".
	In string `json:"in"`
	// From and To bound the place in characters; both 0 are the whole.
	From int `json:"from,omitempty"`
	To   int `json:"to,omitempty"`
	// Name is what stands there, a point, a symbol or a check: it is seen when that is.
	Name string `json:"name,omitempty"`
	// Question is the question that the place answers: it is seen when the answer is
	// right, and not even then where Always says so.
	Question string `json:"question,omitempty"`
	Always   bool   `json:"always,omitempty"`
}

// Names calls visit for every field that is the name of a point, of a task or of
// a signal, with the field's name.
func (f *Fact) Names(visit func(in string, name *string)) {
	visit("point", &f.Point)
	visit("other", &f.Other)
	visit("after", &f.After)
	for i := range f.Points {
		visit(fmt.Sprintf("points.%d", i), &f.Points[i])
	}
	if f.Task != nil {
		visit("task", &f.Task.Comm)
	}
	for i := range f.Asides {
		visit(fmt.Sprintf("asides.%d", i), &f.Asides[i].Point)
		if f.Asides[i].Task != nil {
			visit(fmt.Sprintf("asides.%d.task", i), &f.Asides[i].Task.Comm)
		}
	}
	if f.End != nil {
		visit("end", &f.End.Signal)
	}
	if f.Want != nil {
		visit("want", &f.Want.Signal)
	}
	for i, c := range f.Calls {
		for j, p := range c.Paths {
			for k := range p.Points {
				visit(fmt.Sprintf("calls.%d.%d.%d", i, j, k), &p.Points[k])
			}
		}
	}
	for i := range f.Counts {
		visit(fmt.Sprintf("counts.%d", i), &f.Counts[i].Point)
	}
}

// Texts calls visit for every text that the lab's author or something outside wrote,
// and for values.
func (f *Fact) Texts(visit func(in string, text *string)) {
	visit("said", &f.Said)
	visit("expected", &f.Expected)
	visit("observed", &f.Observed)
	for i := range f.Asides {
		visit(fmt.Sprintf("asides.%d.why", i), &f.Asides[i].Why)
	}
}

// Clone is a copy that shares nothing that hiding changes.
func (f Fact) Clone() Fact {
	f.Checks, f.Questions = slices.Clone(f.Checks), slices.Clone(f.Questions)
	f.Points, f.Counts = slices.Clone(f.Points), slices.Clone(f.Counts)
	if f.Task != nil {
		task := *f.Task
		f.Task = &task
	}
	f.Asides = slices.Clone(f.Asides)
	for i, a := range f.Asides {
		if a.Task != nil {
			task := *a.Task
			f.Asides[i].Task = &task
		}
	}
	if f.End != nil {
		end := *f.End
		f.End = &end
	}
	if f.Want != nil {
		want := *f.Want
		f.Want = &want
	}
	f.Calls = slices.Clone(f.Calls)
	for i, c := range f.Calls {
		f.Calls[i].Paths = slices.Clone(c.Paths)
		for j, p := range c.Paths {
			f.Calls[i].Paths[j].Points = slices.Clone(p.Points)
		}
	}
	f.Why = slices.Clone(f.Why)
	for i := range f.Why {
		f.Why[i] = f.Why[i].Clone()
	}
	f.Mentions = slices.Clone(f.Mentions)
	return f
}

// Withheld stands for a value that a question asks for, and Unnamed for a name that
// students may not see.
const (
	Withheld = "(a question asks for it)"
	Unnamed  = "(not shown)"
)
