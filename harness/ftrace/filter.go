package ftrace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/trace"
)

// MaxTraced is how many functions may be traced at a time. The kernel rewrites the
// beginning of each one when a tracer is set, and a guest under emulation is busy for so
// long with all of a kernel's functions that its watchdog takes it for dead.
const MaxTraced = 2000

// bounded reports whether a line leaves at most MaxTraced functions traced, and not the
// reserved one, and says otherwise what to do first: such a line is not run.
func (s *Session) bounded(ctx context.Context, l Line, out *trace.ScriptLine) (bool, error) {
	words := strings.Fields(l.text)
	filter := l.file == "set_ftrace_filter"
	switch {
	case filter:
	case l.file != "current_tracer", slices.Equal(words, []string{none}):
		return true, nil
	default:
		known, err := s.lines(ctx, "available_tracers")
		if err != nil || !slices.Contains(strings.Fields(strings.Join(known, " ")), strings.Join(words, " ")) {
			return err == nil, err // the kernel refuses what is no tracer
		}
	}
	if i := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, ":") }); filter && i >= 0 {
		out.Problem, out.Instead = clip(words[i])+" is a command of ftrace's, which a script of lab cannot give", "names of functions"
		return false, nil
	}
	traced, err := s.lines(ctx, "set_ftrace_filter")
	if err != nil {
		return false, err
	}
	if filter {
		tracer, err := s.lines(ctx, "current_tracer")
		if err != nil {
			return false, err
		}
		if slices.Equal(tracer, []string{none}) {
			return true, nil // nothing is traced until a tracer is set
		}
		if !l.append {
			traced = nil
		}
		if traced, err = s.filtered(ctx, traced, words); err != nil {
			return false, err
		}
	}
	switch n := len(traced); {
	case n == 0:
		out.Problem = "every function would be traced, as set_ftrace_filter would be empty, and that is more than the guest can do"
		out.Instead = "write the names of functions to set_ftrace_filter, and set the tracer then"
	case n > MaxTraced:
		out.Problem = fmt.Sprintf("%d functions would be traced, and a script of lab has %d at most", n, MaxTraced)
		out.Instead = "fewer names, or narrower patterns, in set_ftrace_filter"
	case slices.Contains(traced, s.Reserved):
		out.Problem = s.Reserved + " would be traced, and lab stops the guest there to talk to it"
		out.Instead = "a filter without it: echo '!" + s.Reserved + "' >> set_ftrace_filter, in front of the tracer"
	}
	return out.Problem == "", nil
}

// none is the tracer that traces nothing.
const none = "nop"

// filtered returns the functions of a filter when words have been written to it. A word
// that begins with ! takes functions away.
func (s *Session) filtered(ctx context.Context, filter, words []string) ([]string, error) {
	if err := s.readAvailable(ctx); err != nil {
		return nil, err
	}
	for _, w := range words {
		if gone, ok := strings.CutPrefix(w, "!"); ok {
			filter = slices.DeleteFunc(filter, func(f string) bool { return matchesName(gone, f) })
			continue
		}
		for _, f := range s.available {
			if matchesName(w, f) && !slices.Contains(filter, f) {
				filter = append(filter, f)
			}
			if len(filter) > MaxTraced {
				return filter, nil
			}
		}
	}
	return filter, nil
}
