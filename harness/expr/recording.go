package expr

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kernellab/harness/trace"
)

// Recording is the environment of recorded values: of one stop, the other stops of its
// round, the tasks of the lab and, where Header is set, the whole run.
type Recording struct {
	// Event is the stop whose names need no point; nil is none.
	Event *trace.Event
	// Stop returns the stop at a point, nil where there was none. known is false for
	// what is no point of the lab.
	Stop func(point string) (e *trace.Event, known bool)
	// Task returns a task of the lab. known is false for what is no role.
	Task func(role string) (t Task, known bool)
	// Roles are the registers by what they are for, such as {"pc": "rip"}.
	Roles map[string]string

	Header *trace.Header
	// Exit is how the program ended, nil while it is not known.
	Exit *trace.Exit
	// Hits and Calls are the functions of these names; at is the stop whose stack
	// Calls looks at, nil for none.
	Hits  func(point string) (int, error)
	Calls func(function string, at *trace.Event) (bool, error)
	// Ftrace is what ftrace recorded in the run, nil for nothing, and Traced, Enabled,
	// Option, Agrees and Events are the functions of these names.
	Ftrace                  *trace.Ftrace
	Traced, Enabled, Option func(name string) bool
	Agrees                  func(point string) (bool, error)
	Events                  func(event string, pid int, word string) int
}

// Task is a task of the lab: the address of its task_struct, 0 for one that is not
// known, and what its last stop recorded, nil for no stop.
type Task struct {
	Address trace.Word
	Last    *trace.Task
}

// Missing says that a value which an expression needs was not recorded.
type Missing struct {
	Kind  string // see the constants
	Point string // where it would be
	Of    string // what the value is a member of: "arg", "reg", "sizes"
	Name  string
	Role  string
	Why   string
}

// The kinds of missing values.
const (
	NotHit     = "not-hit"    // Point was not hit
	NoTask     = "no-task"    // the task Role is not known
	NoEvent    = "no-event"   // Name is of a stop, and there is none
	NoEnd      = "no-end"     // the program has not ended
	NoFtrace   = "no-ftrace"  // nothing is known of ftrace in the run
	Unread     = "unread"     // the read Name at Point, Why
	Unrecorded = "unrecorded" // Name, a member of Of at Point
)

func (m *Missing) Error() string { return "not in the trace: " + m.Kind }

// Is makes a member that was not recorded an [ErrNoMember].
func (m *Missing) Is(target error) bool { return target == ErrNoMember && m.Kind == Unrecorded }

// Name is [Env]'s.
func (r *Recording) Name(ctx context.Context, name string) (any, error) {
	if e, known := r.stop(name); known {
		if e == nil {
			return nil, &Missing{Kind: NotHit, Point: name}
		}
		return stop{e, r.Roles}, nil
	}
	if r.Header != nil {
		switch name {
		case "sizes":
			sizes := map[string]any{}
			for name, n := range r.Header.Sizes {
				sizes[name] = n
			}
			return record{of: name, values: sizes}, nil
		case "switch_frame":
			return r.Header.SwitchFrame, nil
		case "arch":
			return r.Header.Arch, nil
		case "kernel":
			return r.Header.Kernel.Release, nil
		case "program":
			return r.program()
		case "ftrace":
			return r.ftrace()
		}
	}
	if t, known := r.Task(name); known {
		return task{name, t}, nil
	}
	if r.Event == nil {
		return nil, &Missing{Kind: NoEvent, Name: name}
	}
	return stop{r.Event, r.Roles}.Member(ctx, name)
}

func (r *Recording) stop(point string) (*trace.Event, bool) {
	if r.Stop == nil {
		return nil, false
	}
	return r.Stop(point)
}

// Call is [Env]'s.
func (r *Recording) Call(_ context.Context, function string, args []any) (any, error) {
	switch {
	case function == "hits" && r.Hits != nil:
		return r.Hits(args[0].(string))
	case function == "calls" && r.Calls != nil:
		at := r.Event
		if len(args) > 1 {
			point := args[1].(string)
			if at, _ = r.stop(point); at == nil {
				return nil, &Missing{Kind: NotHit, Point: point}
			}
		}
		return r.Calls(args[0].(string), at)
	}
	return r.ofFtrace(function, args)
}

// ofFtrace calls a function of what ftrace recorded.
func (r *Recording) ofFtrace(function string, args []any) (any, error) {
	if r.Traced == nil || !slices.Contains(ofRun, function) {
		return nil, elsewhere(function)
	}
	if r.Ftrace == nil {
		return nil, &Missing{Kind: NoFtrace}
	}
	name := args[0].(string)
	switch function {
	case "traced":
		return r.Traced(name), nil
	case "enabled":
		return r.Enabled(name), nil
	case "option":
		return r.Option(name), nil
	case "agrees":
		return r.Agrees(name)
	case "events":
		pid, ok := args[1].(int)
		if !ok {
			return nil, errors.New("events takes a pid as its second argument")
		}
		word := ""
		if len(args) > 2 {
			word = args[2].(string)
		}
		return r.Events(name, pid, word), nil
	}
	return nil, elsewhere(function)
}

// ftrace is how ftrace was set up, and what became of the script.
func (r *Recording) ftrace() (any, error) {
	f := r.Ftrace
	if f == nil {
		return nil, &Missing{Kind: NoFtrace}
	}
	failed, problem := 0, ""
	for _, l := range f.Script {
		if l.Problem == "" {
			continue
		}
		if failed++; failed > 1 {
			continue
		}
		problem = fmt.Sprintf("line %d: %s", l.Line, l.Problem)
		if l.Instead != "" {
			problem += "; right here: " + l.Instead
		}
	}
	return record{of: "ftrace", values: map[string]any{
		"on": f.On, "tracer": f.Tracer, "ran": f.Ran, "lost": f.Lost, "failed": failed, "problem": problem,
	}}, nil
}

// elsewhere is the error for a function of another environment.
func elsewhere(function string) error { return fmt.Errorf("no function %q here", function) }

func (r *Recording) program() (any, error) {
	x := r.Exit
	if x == nil {
		return nil, &Missing{Kind: NoEnd}
	}
	values := map[string]any{"signal": x.Signal, "output": x.Output, "panic": x.Panic}
	if x.Signal == "" && !x.TimedOut && x.Stops == 0 && x.Panic == "" {
		values["exit"] = x.Code
	}
	return record{of: "program", values: values}, nil
}

// stop is an Object: a recorded stop.
type stop struct {
	*trace.Event
	roles map[string]string
}

func (s stop) Plain(bool) (any, error) { return nil, errNotPlain }

func (s stop) Member(_ context.Context, name string) (any, error) {
	switch name {
	case "point":
		return s.Point, nil
	case "symbol":
		return s.Symbol, nil
	case "address":
		return int(s.Address), nil
	case "cpu":
		return s.CPU, nil
	case "round":
		return s.Round, nil
	case "task":
		return s.task(name, s.Task)
	case "parent_task":
		return s.task(name, s.Parent)
	case "reg":
		return s.record(name, words(s.Registers)), nil
	case "arg":
		args := map[string]any{}
		for _, a := range s.Args {
			args[a.Name] = int(a.Value)
		}
		return s.record(name, args), nil
	case "read":
		reads := words(s.Reads)
		for name, text := range s.Texts {
			reads[name] = text
		}
		return record{point: s.Point, values: reads, unread: s.Unread}, nil
	}
	if register, ok := s.roles[name]; ok {
		if v, ok := s.Registers[register]; ok {
			return int(v), nil
		}
	}
	return nil, &Missing{Kind: Unrecorded, Point: s.Point, Name: name}
}

func (s stop) task(name string, t *trace.Task) (any, error) {
	if t == nil {
		return nil, &Missing{Kind: Unrecorded, Point: s.Point, Name: name}
	}
	return s.record(name, members(*t)), nil
}

func (s stop) record(of string, values map[string]any) record {
	return record{point: s.Point, of: of, values: values}
}

func words(all map[string]trace.Word) map[string]any {
	values := map[string]any{}
	for name, v := range all {
		values[name] = int(v)
	}
	return values
}

// members returns the members of a task.
func members(t trace.Task) map[string]any {
	return map[string]any{"address": int(t.Address), "pid": t.PID, "tgid": t.TGID, "comm": t.Comm}
}

// record is an Object of recorded values.
type record struct {
	point  string // whose it is, "" for the run's
	of     string // and of what
	values map[string]any
	unread map[string]string
}

func (r record) Member(_ context.Context, name string) (any, error) {
	if v, ok := r.values[name]; ok {
		return v, nil
	}
	if why, ok := r.unread[name]; ok {
		return nil, &Missing{Kind: Unread, Point: r.point, Of: r.of, Name: name, Why: why}
	}
	return nil, &Missing{Kind: Unrecorded, Point: r.point, Of: r.of, Name: name}
}

func (r record) Plain(bool) (any, error) { return nil, errNotPlain }

// errNotPlain goes on after "X is".
var errNotPlain = errors.New("no value by itself: name a member")

// task is an Object: a task of the lab.
type task struct {
	role string
	Task
}

func (t task) Plain(bool) (any, error) {
	if t.Address == 0 {
		return nil, &Missing{Kind: NoTask, Role: t.role}
	}
	return int(t.Address), nil
}

func (t task) Member(ctx context.Context, name string) (any, error) {
	switch {
	case t.Last != nil:
		return record{of: t.role, values: members(*t.Last)}.Member(ctx, name)
	case name == "address" && t.Address != 0:
		return int(t.Address), nil
	}
	return nil, &Missing{Kind: NoTask, Role: t.role}
}
