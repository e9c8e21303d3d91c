package expr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"kernellab/internal/nearest"
)

// The names of a stop and those of the whole run, with the kinds of their values; nil
// is an object whose members are not listed.
var (
	eventNames = map[string]any{
		"point": Text, "symbol": Text, "address": Number, "cpu": Number, "round": Number,
		"task": taskNames, "parent_task": taskNames, "reg": nil, "arg": nil, "read": nil,
		"pc": Number, "sp": Number, "ret": Number, "link": Number,
	}
	runNames = map[string]any{
		"sizes": nil, "switch_frame": Number, "arch": Text, "kernel": Text,
		"program": map[string]Unknown{"exit": Number, "signal": Text, "output": Text, "panic": Text},
		"ftrace":  map[string]Unknown{"on": Truth, "tracer": Text, "ran": Truth, "lost": Number, "failed": Number, "problem": Text},
	}
	taskNames = map[string]Unknown{"address": Number, "pid": Number, "tgid": Number, "comm": Text}
)

// OfEvent reports whether a name is one of a stop.
func OfEvent(name string) bool { _, ok := eventNames[name]; return ok }

// Reserved reports whether a name has a meaning of its own, so that no point may have it.
func Reserved(name string) bool {
	_, run := runNames[name]
	_, function := functions[name]
	_, constant := constants()[name]
	return run || function || constant || OfEvent(name)
}

// Names is the environment of the names that an expression over recorded values may
// use, before there is a recording.
type Names struct {
	Points []string // of the lab
	Roles  []string
	// At is the point whose stop the names of an event are of, "" for none.
	At string
	// Reads returns the names of a point's reads.
	Reads func(point string) []string
	// Run says that the whole run is known: its names and functions, and of the stop its
	// point and parent.
	Run bool
}

func (n *Names) has(name string) bool {
	return OfEvent(name) && (n.Run || name != "point" && name != "parent_task")
}

// Name is [Env]'s.
func (n *Names) Name(ctx context.Context, name string) (any, error) {
	if slices.Contains(n.Points, name) {
		return stopNames{n, name}, nil
	}
	if v, ok := runNames[name]; ok && n.Run {
		return described(name, v), nil
	}
	if slices.Contains(n.Roles, name) {
		return description{name, taskNames, true}, nil
	}
	switch {
	case !n.has(name):
		return nil, fmt.Errorf("unknown name %q%s", name, nearest.Hint(name, n.all()))
	case n.At == "" && n.Run:
		return nil, fmt.Errorf("%q is of one event: say at which point with \"at\", or write POINT.%s", name, name)
	}
	return stopNames{n, n.At}.Member(ctx, name)
}

// all returns every name, for errors.
func (n *Names) all() []string {
	all := slices.Concat(n.Roles, n.Points)
	for name := range constants() {
		all = append(all, name)
	}
	for name := range eventNames {
		if n.has(name) {
			all = append(all, name)
		}
	}
	for name := range runNames {
		if n.Run {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// ofRun are the functions of the whole run.
var ofRun = []string{"hits", "calls", "traced", "enabled", "option", "agrees", "events"}

// Call is [Env]'s.
func (n *Names) Call(_ context.Context, function string, args []any) (any, error) {
	var points []any
	gives := Number
	switch {
	case !n.Run, !slices.Contains(ofRun, function):
		return nil, elsewhere(function)
	case function == "hits":
		points = args
	case function == "events":
	case function == "agrees":
		points, gives = args, Truth
	case function == "calls":
		points, gives = args[1:], Truth
		if len(points) == 0 && n.At == "" {
			return nil, errors.New(`calls is of one stop: say at which point with "at", or calls("do_exit", "POINT")`)
		}
	default:
		gives = Truth
	}
	for _, p := range points {
		if !slices.Contains(n.Points, p.(string)) {
			return nil, fmt.Errorf("no point %q%s", p, nearest.Hint(p.(string), n.Points))
		}
	}
	return gives, nil
}

// stopNames is an Object: the names of a stop at a point.
type stopNames struct {
	names *Names
	point string
}

func (s stopNames) Plain(bool) (any, error) { return nil, errNotPlain }

func (s stopNames) Member(_ context.Context, name string) (any, error) {
	v, ok := eventNames[name]
	if !ok {
		return nil, fmt.Errorf("%s has no %q%s", s.point, name, nearest.Hint(name, keys(eventNames)))
	}
	if name != "read" {
		return described(name, v), nil
	}
	reads := map[string]Unknown{}
	for _, r := range s.names.Reads(s.point) {
		reads[r] = Any
	}
	if len(reads) == 0 {
		return nil, fmt.Errorf("%s reads nothing: list the value under its \"reads\"", s.point)
	}
	return description{name, reads, false}, nil
}

// described returns the value of a name in one of the lists.
func described(name string, v any) any {
	switch v := v.(type) {
	case Unknown:
		return v
	case map[string]Unknown:
		return description{name, v, false}
	}
	return description{name, nil, false}
}

// description is an Object whose members are known by name; nil members are numbers of
// any name.
type description struct {
	name    string
	members map[string]Unknown
	number  bool // it is a number as well
}

func (d description) Plain(bool) (any, error) {
	if d.number {
		return Number, nil
	}
	return nil, errNotPlain
}

func (d description) Member(_ context.Context, name string) (any, error) {
	if d.members == nil {
		return Number, nil
	}
	if v, ok := d.members[name]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("%s has no %q%s", d.name, name, nearest.Hint(name, keys(d.members)))
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// GuestNames is the environment of the names that an expression over a stopped guest may
// use, before there is a guest.
type GuestNames struct {
	Roles []string
	// Points are those of the lab, whose recorded stops may be named, and Reads returns
	// the names of a point's reads.
	Points []string
	Reads  func(point string) []string
}

// Name is [Env]'s.
func (g GuestNames) Name(ctx context.Context, name string) (any, error) {
	registers := []string{"pc", "sp", "ret", "link"}
	switch {
	case name == "current", slices.Contains(g.Roles, name):
		return Any, nil // a pointer
	case name == "arg", name == "reg":
		return anything{}, nil
	case slices.Contains(registers, name), name == "preempt_count", name == "current_at":
		return Number, nil
	case slices.Contains(g.Points, name):
		return (&Names{Points: g.Points, Reads: g.Reads}).Name(ctx, name)
	}
	known := slices.Concat([]string{"arg", "reg", "preempt_count", "current_at"}, registers, g.Roles, g.Points)
	if !slices.Contains(g.Roles, "current") {
		known = append([]string{"current"}, known...)
	}
	return nil, fmt.Errorf("unknown name %q%s", name, nearest.Hint(name, known))
}

// Call is [Env]'s.
func (g GuestNames) Call(_ context.Context, function string, args []any) (any, error) {
	switch function {
	case "as":
		return Any, nil
	case "str", "symbol", "differs":
		return Text, nil
	case "u8", "u16", "u32", "u64":
		return Number, nil
	case "pte":
		return description{"a page table entry", entryNames, false}, nil
	}
	return nil, elsewhere(function)
}

// entryNames are the members of a page table entry.
var entryNames = map[string]Unknown{
	"present": Number, "writable": Number, "user": Number, "accessed": Number, "dirty": Number,
	"frame": Number, "direct": Number, "value": Number, "address": Number, "size": Number,
}

// anything is an Object with any member.
type anything struct{}

func (anything) Plain(bool) (any, error) { return nil, errNotPlain }

func (anything) Member(context.Context, string) (any, error) { return Any, nil }
