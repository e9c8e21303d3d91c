package view

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Stop is a verdict.Step as people see it.
type Stop struct {
	ID string
	verdict.Step
	Number     int    // on the path, from 1; 0 for evidence
	Previous   string // the stop of the same task before this one: its point, "" for none
	Known      bool   // Previous is not ""
	Frames     []Call
	Args       []Cell
	Reads      []Cell
	Registers  []Cell
	Moved      int // how many of Registers have another value than before
	Drawings   []drawing
	Rows       []row // the words of both stacks that were compared
	Equal      int   // how many words of both are the same
	Birth      string
	Unread     []string
	Title, Who string
}

// Call is a function on the kernel stack.
type Call struct {
	Text, Source string
	New          bool // the task was not in this call at its stop before
}

// Cell is a named value.
type Cell struct {
	Name, Type, Value, Note string
	Before                  string // the value that it had, "" if that is not known
	Changed                 bool
}

// row is a word of the saved registers of both tasks.
type row struct {
	Name, Parent, Child string
	Differ              bool
	Note                string
}

// maxRaw is the number of stops whose registers are shown: of a run that goes on for
// hundreds of stops, the first.
const maxRaw = 64

// Stops returns the stops of a run whose sentences are written, evidence included, in the
// order that they came. id is what their IDs begin with.
func Stops(id string, r verdict.Result) []Stop {
	machine, steps := r.Arch, slices.Concat(r.Steps, r.Evidence)
	slices.SortStableFunc(steps, func(a, b verdict.Step) int { return a.Seq - b.Seq })
	d := newDecoder(machine, steps)
	var out []Stop
	last := map[int]int{} // place of each task's last stop, by pid
	number := 0
	for i, s := range steps {
		x := Stop{ID: fmt.Sprintf("%s-stop-%d", id, i+1), Step: s, Who: who(s)}
		if !s.Evidence {
			number++
			x.Number = number
		}
		x.Title = s.Point
		var before verdict.Step
		if j, ok := last[s.PID]; ok {
			before, x.Previous, x.Known = steps[j], steps[j].Point, true
		}
		last[s.PID] = i
		x.Frames = boxes(s, before, x.Known)
		if s.Raw != nil {
			x.raw(d, s, before, steps[:i], i < maxRaw)
		}
		x.stacks(machine, s, steps[:i])
		out = append(out, x)
	}
	return out
}

// Label is what a mark of the stop is called.
func (s Stop) Label() string {
	if s.Number == 0 {
		return "· " + s.Title
	}
	return fmt.Sprintf("%d %s", s.Number, s.Title)
}

// When returns the guest's time, "" if it is not known.
func (s Stop) When() string {
	if s.Time == 0 {
		return ""
	}
	return fmt.Sprintf("%.3f ms", float64(s.Time)/1e6)
}

// who returns the role and the name of a step's task.
func who(s verdict.Step) string {
	task := fmt.Sprintf("%d[%s]", s.PID, s.Comm)
	if s.Comm == "" {
		task = fmt.Sprint("pid ", s.PID)
	}
	return strings.TrimSpace(s.Role + " " + task)
}

// boxes returns the functions of a stack, innermost first.
func boxes(s, before verdict.Step, known bool) []Call {
	same := 0 // outermost functions that the stack before has too
	for known && same < len(before.Stack) && same < len(s.Stack)-1 && s.Stack[len(s.Stack)-1-same] == before.Stack[len(before.Stack)-1-same] {
		same++
	}
	var out []Call
	for i, f := range s.Stack {
		b := Call{Text: f, New: i < len(s.Stack)-same}
		if len(s.Sources) == len(s.Stack) {
			b.Source = s.Sources[i]
		}
		out = append(out, b)
	}
	return out
}

// raw fills in the arguments, the reads and the registers. A read is compared with the
// last stop at which the task read the same, a register with the stop of the same task before.
func (x *Stop) raw(d decoder, s, before verdict.Step, earlier []verdict.Step, registers bool) {
	for _, a := range s.Raw.Args {
		value, note := d.arg(a)
		x.Args = append(x.Args, Cell{Name: a.Name, Type: a.Type, Value: value, Note: note})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Raw.Reads)) {
		w := s.Raw.Reads[name]
		c := Cell{Name: name, Type: s.Raw.Paths[name], Value: d.value(w), Note: d.note(w), Changed: true}
		if e := sameRead(s, earlier, name); e != nil {
			c.Before, c.Changed = d.value(e.Reads[name]), e.Reads[name] != w
		}
		x.Reads = append(x.Reads, c)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Raw.Texts)) {
		c := Cell{Name: name, Type: s.Raw.Paths[name], Value: s.Raw.Texts[name], Changed: true}
		if e := sameRead(s, earlier, name); e != nil {
			c.Before, c.Changed = e.Texts[name], e.Texts[name] != c.Value
		}
		x.Reads = append(x.Reads, c)
	}
	if !registers {
		return
	}
	for _, name := range d.order(s.Raw.Registers) {
		w := s.Raw.Registers[name]
		c := Cell{Name: name, Value: words.Register(w, name == d.result && s.Raw.Args == nil), Note: d.register(name, w, s)}
		if before.Raw != nil {
			if was, ok := before.Raw.Registers[name]; ok && was != w {
				c.Before, c.Changed = words.Hex(was), true
				x.Moved++
			}
		}
		x.Registers = append(x.Registers, c)
	}
}

// sameRead returns the last of the stops at which the same task read the same, nil for
// none.
func sameRead(s verdict.Step, earlier []verdict.Step, name string) *verdict.Raw {
	for _, e := range slices.Backward(earlier) {
		if e.PID == s.PID && e.Raw != nil && e.Raw.Paths[name] != "" && e.Raw.Paths[name] == s.Raw.Paths[name] {
			return e.Raw
		}
	}
	return nil
}

// stacks draws the kernel stacks of a step.
func (x *Stop) stacks(machine string, s verdict.Step, before []verdict.Step) {
	x.Drawings = drawings(x.ID, s.Stacks)
	result := words.ResultRegister(machine)
	for _, im := range s.Stacks {
		for _, what := range slices.Sorted(maps.Keys(im.Unread)) {
			x.Unread = append(x.Unread, fmt.Sprintf("%s: %s could not be read: %s", im.Role, what, im.Unread[what]))
		}
	}
	if len(s.Stacks) != 2 {
		return
	}
	p := words.NewPair(machine, s, before)
	birth := p.Birth(s)
	x.Birth = birth.String()
	add := func(parent, child []trace.Slot, note func(trace.Slot) string) {
		for _, c := range child {
			r := row{Name: c.Name, Parent: "?", Child: words.Register(c.Value, c.Name == result), Differ: true, Note: note(c)}
			if w, ok := words.Slot(parent, c.Name); ok {
				r.Parent, r.Differ = words.Register(w, c.Name == result), w != c.Value
			}
			if !r.Differ {
				x.Equal++
			}
			x.Rows = append(x.Rows, r)
		}
	}
	add(p.Copied, p.Child.User, func(c trace.Slot) string {
		return map[bool]string{true: "what fork returns"}[c.Name == result]
	})
	if len(p.Child.Switch) > 0 {
		add(p.Parent.Switch, p.Child.Switch, func(c trace.Slot) string {
			return map[bool]string{true: "where it resumes"}[c.Name == birth.Return.Name]
		})
	}
}

// Heading says what Rows are.
func (s Stop) Heading() string {
	text := "Saved registers, the parent's and the child's"
	if len(s.Rows) > 0 {
		text += fmt.Sprintf(": %d of %d are equal", s.Equal, len(s.Rows))
	}
	return text
}

// decoder writes recorded values for people. It knows what the shown stops have.
type decoder struct {
	arch    arch.Arch
	result  string // the register of a function's result
	symbols map[trace.Word]string
	tasks   map[trace.Word]string
	stacks  []trace.StackImage
}

func newDecoder(machine string, steps []verdict.Step) decoder {
	d := decoder{symbols: map[trace.Word]string{}, tasks: map[trace.Word]string{}}
	if a, err := arch.Lookup(machine); err == nil {
		d.arch, d.result = a, a.Registers.Return
	}
	for _, s := range steps {
		if s.Symbol != "" && s.Address != 0 {
			d.symbols[s.Address] = s.Symbol
		}
		if s.Raw != nil && s.Raw.Task != 0 && s.Role != "" {
			d.tasks[s.Raw.Task] = s.Role
		}
		d.stacks = append(d.stacks, s.Stacks...)
	}
	return d
}
