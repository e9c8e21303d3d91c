// Package verdict is the verdict document, lab.verdict/1: what came of runs of labs, as
// data. Results have checks, findings, steps and notes; a [Fact] says with fields what
// was expected, seen or missed. The document decides nothing: harness/grade fills it,
// harness/redact takes out what students may not see, and harness/report/words writes
// its sentences. verdict.schema.json is its schema.
package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"kernellab/harness/trace"
)

// Schema names the verdict document and its version.
const Schema = "lab.verdict/1"

// maxDocument bounds a verdict document that is read, in bytes.
const maxDocument = 64 << 20

// Verdict is the outcome of a result or of one check.
type Verdict string

// The verdicts. A result is never Skip, a check never Error.
const (
	Pass  Verdict = "pass"
	Fail  Verdict = "fail"
	Error Verdict = "error"
	Skip  Verdict = "skip"
)

// Document is what a program reads of a run of labs.
type Document struct {
	Schema  string   `json:"schema"`
	Results []Result `json:"results"`
}

// Result is the verdict over one trace.
type Result struct {
	Lab      string  `json:"lab"`
	Title    string  `json:"title,omitempty"`
	Summary  string  `json:"summary,omitempty"`
	Arch     string  `json:"arch"`
	Kernel   string  `json:"kernel"` // uname -r, "" when no kernel came up
	QEMU     string  `json:"qemu,omitempty"`
	Verdict  Verdict `json:"verdict"`
	Score    int     `json:"score"`
	MaxScore int     `json:"max_score"`
	// Error says why the run could not be graded, "" when it was.
	Error string `json:"error"`
	// Attempts is how many guests were started for it, 0 when not known.
	Attempts int `json:"attempts,omitempty"`
	// Duration is what the run took of the guest's time.
	Duration time.Duration `json:"duration_ns,omitempty"`
	Steps    []Step        `json:"steps"`
	// Evidence are the stops that count and are no step of the path.
	Evidence []Step `json:"evidence,omitempty"`
	// Lifetime is the life of the lab's tasks, a line an event:
	// "PID[comm]/PPID[comm] event".
	Lifetime []string `json:"lifetime,omitempty"`
	Checks   []Check  `json:"checks"`
	// Unseen are names in here that students are not told.
	Unseen []Unseen `json:"unseen,omitempty"`
	// Ordered are the questions that the order of the points answers, and that are not
	// answered rightly.
	Ordered []string `json:"ordered,omitempty"`
	// Withheld is how many checks Shown left out.
	Withheld int `json:"withheld,omitempty"`
	// Causes are what Error says, where the rules say it.
	Causes []Fact `json:"causes,omitempty"`
	// Moments say of each line of Lifetime what it is about.
	Moments []Moment `json:"moments,omitempty"`
	// Findings are what does not hold, the first divergence first.
	Findings []Finding `json:"findings"`
	Notes    []string  `json:"notes,omitempty"`
	// Remarks are what the notes say.
	Remarks []Fact `json:"remarks,omitempty"`
}

// Moment says what a line of the lifetime is about.
type Moment struct {
	Point      string     `json:"point"`
	Visibility Visibility `json:"visibility,omitempty"`
	Mentions   []Mention  `json:"mentions,omitempty"`
}

// Step is one stop on the path of the lab.
type Step struct {
	Point   string     `json:"point"`
	Symbol  string     `json:"symbol"`
	Why     string     `json:"why,omitempty"` // why the point is this symbol, when it has another name
	Address trace.Word `json:"address"`
	PID     int        `json:"pid"`
	TGID    int        `json:"tgid"`
	Comm    string     `json:"comm"`
	Role    string     `json:"role,omitempty"`
	Round   int        `json:"round,omitempty"`
	Seq     int        `json:"seq"` // of the event in the trace
	// Evidence marks a stop that is no step of the path.
	Evidence   bool       `json:"evidence,omitempty"`
	Visibility Visibility `json:"visibility,omitempty"`
	Means      string     `json:"means,omitempty"`
	Values     []Value    `json:"values,omitempty"`
	// Lifetime is its line "PID[comm]/PPID[comm] event", where the lab has one.
	Lifetime string `json:"lifetime,omitempty"`
	// Stack is the kernel's stack in ftrace's form, innermost function first.
	Stack []string `json:"stack,omitempty"`
	// Source is where the point is in the kernel's source, and Sources where each
	// function of Stack is, "" for what is not known; of a run with a vmlinux.
	Source  string   `json:"source,omitempty"`
	Sources []string `json:"sources,omitempty"`
	// Stacks are kernel stacks of the lab's tasks as they lie in memory.
	Stacks []trace.StackImage `json:"stacks,omitempty"`
	// Time is the guest's time since the program's process was made, in ns.
	Time int64 `json:"time_ns,omitempty"`
	// Raw is what the trace recorded there, before it was formatted; nil where students
	// may not see all of it.
	Raw *Raw `json:"raw,omitempty"`
	// Mentions are of point, symbol, comm, means, why, lifetime, values and stack.
	Mentions []Mention `json:"mentions,omitempty"`
}

// Raw is what a trace recorded at a stop.
type Raw struct {
	Task      trace.Word            `json:"task,omitempty"` // address of struct task_struct
	CPU       int                   `json:"cpu"`
	Registers map[string]trace.Word `json:"registers,omitempty"` // by the stub's names
	Args      []trace.Arg           `json:"args,omitempty"`
	Reads     map[string]trace.Word `json:"reads,omitempty"` // by the lab's names
	Texts     map[string]string     `json:"texts,omitempty"` // the reads whose values are text
	// Paths are the expressions of the reads, such as "current.thread.sp", by their names.
	Paths map[string]string `json:"paths,omitempty"`
}

// Value is one thing seen at a step, formatted.
type Value struct {
	Name string `json:"name"`
	Text string `json:"text"`
	// Why says why there is no value; Text then says it in words.
	Why *Fact `json:"why,omitempty"`
}

// The kinds of check that are not made on the run itself.
const (
	KindQuestion = "question" // an answer to a question
	// KindGroup is several checks that share one mark. It passes when all of them
	// do; each of them names it as its Group and has a max_score of 0.
	KindGroup = "group"
)

// The types of question in which an answer is a list, and part of it may be right.
const (
	TypeOrder = "order" // of points, as the run first came to them
	TypeSet   = "set"
)

// Check is a named assertion with what was expected and observed.
type Check struct {
	Name     string  `json:"name"`
	Verdict  Verdict `json:"verdict"`
	Expected string  `json:"expected"`
	Observed string  `json:"observed"`
	Score    int     `json:"score"`
	MaxScore int     `json:"max_score"`
	Why      string  `json:"why,omitempty"`
	// Visibility is when students see it; "" is always.
	Visibility Visibility `json:"visibility,omitempty"`
	// Kind is "" of what is checked in the run, KindGroup of a group of such checks,
	// and KindQuestion of an answer, whose observed is what was answered. What is
	// expected is then told only where the lab reveals it.
	Kind  string `json:"kind,omitempty"`
	Group string `json:"group,omitempty"` // the group in which the check counts
	// Asked are the questions that the check may answer. Students do not see Why, nor the
	// values of a check that passes, until they are answered rightly.
	Asked  []string `json:"asked,omitempty"`
	Type   string   `json:"type,omitempty"`   // of the question, such as TypeSet
	Prompt string   `json:"prompt,omitempty"` // the question
	Hint   string   `json:"hint,omitempty"`   // of an answer that is wrong
	Read   string   `json:"read,omitempty"`   // what to read about it
	// Misconceptions are what the lab's author says may be behind an answer that is
	// wrong, a sentence each.
	Misconceptions []string `json:"misconceptions,omitempty"`
	// Lines are the program's output around what was looked for in it.
	Lines []OutputLine `json:"lines,omitempty"`
	// Want and Got are what Expected and Observed say; nil where those are values, or
	// what was answered.
	Want *Fact `json:"want,omitempty"`
	Got  *Fact `json:"got,omitempty"`
	// Mentions are of name, why, expected and observed.
	Mentions []Mention `json:"mentions,omitempty"`
}

// Mark says what a line of output is to the lab.
type Mark string

// The marks. Context is a line near a marked one.
const (
	Good    Mark = "good"    // expected and printed
	Bad     Mark = "bad"     // printed, and almost what was expected
	Missing Mark = "missing" // expected and not printed
	Context Mark = "context"
)

// OutputLine is one marked line.
type OutputLine struct {
	Mark Mark   `json:"mark"`
	Text string `json:"text"`
}

// The kinds of finding.
const (
	FindNeverCalled = "never-called" // the program never made the lab's call
	FindMissing     = "missing"      // a point was not hit
	FindOrder       = "order"        // points of one task in another order
	FindEdge        = "edge"         // an order between two tasks does not hold
	FindHits        = "hits"         // hit too often, or not often enough
	FindCheck       = "check"        // a value is another one than expected
	FindNotSeen     = "not-seen"     // a check's evidence is not in the trace
	FindOutput      = "output"       // the program did not print a line
	FindExit        = "exit"         // the program's exit status
	FindSignal      = "signal"       // the program was killed
	FindTimeout     = "timeout"      // the program did not end
	FindAnswer      = "answer"       // a question is not answered rightly
	FindSubmission  = "submission"   // something is wrong with what was handed in
	FindCompile     = "compile"      // the program does not compile
	FindMachine     = "machine"      // the program brought its machine down
	FindFits        = "fits"         // what is wrong is right in another student's task; never shown to students
)

// Finding is one thing that does not hold.
type Finding struct {
	Kind string `json:"kind"`
	// Message is the sentence of Fact; without a case it is what another program or
	// the reader of a submission said.
	Message string `json:"message"`
	Fact
	// Part is the part of a submission that the finding is about.
	Part string `json:"part,omitempty"`
	// Step is the number of the step it showed at, from 1; 0 is none.
	Step int `json:"step,omitempty"`
	// Text is what another program said about it, such as a compiler, in lines.
	Text       string     `json:"text,omitempty"`
	Visibility Visibility `json:"visibility,omitempty"`
}

// Remark adds a note.
func (res *Result) Remark(f Fact) { res.Remarks = append(res.Remarks, f) }

// AddNote adds a note of something that is not the rules, unless it is there.
func (res *Result) AddNote(note string) {
	if !slices.Contains(res.Said(), note) {
		res.Remark(Fact{Case: CaseSaid, Said: note})
	}
}

// Said returns the notes that AddNote added.
func (res Result) Said() []string {
	var notes []string
	for _, f := range res.Remarks {
		if f.Case == CaseSaid {
			notes = append(notes, f.Said)
		}
	}
	return notes
}

// Passed reports whether every check was made and holds.
func (res Result) Passed() bool { return res.Verdict == Pass }

// The exit codes of lab.
const (
	ExitPass  = 0
	ExitFail  = 1
	ExitError = 3
)

// ExitCode returns the exit code that res alone has.
func (res Result) ExitCode() int {
	switch res.Verdict {
	case Pass:
		return ExitPass
	case Fail:
		return ExitFail
	}
	return ExitError
}

// NewDocument returns the document of results.
func NewDocument(results ...Result) Document {
	return Document{Schema: Schema, Results: append([]Result{}, results...)}
}

// ExitCode returns the worst of the results' exit codes; no results at all is
// an error, as nothing was graded.
func (d Document) ExitCode() int {
	if len(d.Results) == 0 {
		return ExitError
	}
	worst := slices.MaxFunc(d.Results, func(a, b Result) int { return a.ExitCode() - b.ExitCode() })
	return worst.ExitCode()
}

// Encode writes d as indented JSON.
func (d Document) Encode(w io.Writer) error {
	d.Schema = Schema
	if d.Results == nil {
		d.Results = []Result{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return fmt.Errorf("write verdict: %w", err)
	}
	return nil
}

// Decode reads what Encode wrote; unknown fields and other versions are refused.
func Decode(r io.Reader) (Document, error) {
	dec := json.NewDecoder(io.LimitReader(r, maxDocument))
	dec.DisallowUnknownFields()
	var d Document
	if err := dec.Decode(&d); err != nil {
		return Document{}, fmt.Errorf("read verdict: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Document{}, errors.New("read verdict: more than one JSON value")
	}
	if d.Schema != Schema {
		return Document{}, fmt.Errorf("read verdict: schema %q, want %q: write it again with this lab", d.Schema, Schema)
	}
	for i, res := range d.Results {
		if !slices.Contains([]Verdict{Pass, Fail, Error}, res.Verdict) {
			return Document{}, fmt.Errorf("read verdict: result %d: unknown verdict %q", i+1, res.Verdict)
		}
	}
	return d, nil
}
