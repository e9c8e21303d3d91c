package ftrace

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"kernellab/harness/trace"
	"kernellab/internal/nearest"
)

// Guest is a guest whose agent stands at its mark.
type Guest interface {
	MountTracing(ctx context.Context) error
	ReadFile(ctx context.Context, path string) ([]byte, error)
	WriteTracing(ctx context.Context, path, text string, end bool) error
}

// Session runs the lines of a script in a guest.
type Session struct {
	Guest Guest
	// Refused returns what the kernel says of a request that it refused, "" for an error
	// that is none of its: that ends the session.
	Refused func(error) string
	// Symbol returns the symbol of a function in this kernel, "" for none.
	Symbol func(function string) string
	// Reserved is the function at which the agent hands over its messages: the guest cannot
	// be stopped there while the kernel traces it.
	Reserved string

	available []string // the functions that can be traced, nil before they were read
}

// Run runs one line, which is not the program's, and returns what became of it, and
// for cat the file's text. The error is not the script's fault.
func (s *Session) Run(ctx context.Context, l Line) (trace.ScriptLine, string, error) {
	out := trace.ScriptLine{Line: l.Number, Text: l.Text, Problem: l.problem, Instead: l.instead}
	if l.problem != "" {
		return out, "", nil
	}
	var err error
	var text string
	switch l.kind {
	case kindWrite:
		err = s.write(ctx, l, &out)
	case kindCat:
		text, err = s.read(ctx, l.file, &out)
	}
	return out, text, err
}

// read reads a file of tracefs. What the kernel refuses is a problem of the line.
func (s *Session) read(ctx context.Context, file string, out *trace.ScriptLine) (string, error) {
	b, err := s.Guest.ReadFile(ctx, Dir+"/"+file)
	if err == nil {
		return string(b), nil
	}
	said := s.Refused(err)
	if said == "" {
		return "", err
	}
	if out != nil {
		out.Problem = "the kernel refuses to read it: " + reason(said)
	}
	return "", nil
}

// lines reads a file's lines, without comments.
func (s *Session) lines(ctx context.Context, file string) ([]string, error) {
	text, err := s.read(ctx, file, nil)
	var all []string
	for _, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			all = append(all, l)
		}
	}
	return all, err
}

// reason is what the kernel says, without the agent's words for what it tried.
func reason(said string) string {
	if i := strings.LastIndex(said, ": "); i >= 0 {
		return said[i+2:]
	}
	return said
}

// write writes to a file and checks, by reading it, what the kernel made of that.
func (s *Session) write(ctx context.Context, l Line, out *trace.ScriptLine) error {
	if ok, err := s.bounded(ctx, l, out); !ok {
		return err
	}
	err := s.Guest.WriteTracing(ctx, Dir+"/"+l.file, l.text, l.append)
	said := ""
	if err != nil {
		if said = s.Refused(err); said == "" {
			return err
		}
		out.Problem = fmt.Sprintf("the kernel refuses the write to %s: %s", l.file, reason(said))
	}
	if strings.HasSuffix(said, "no such file or directory") {
		out.Problem = l.file + " does not exist in this kernel's tracefs"
		return s.missing(ctx, l.file, out)
	}
	words := strings.Fields(l.text)
	switch {
	case l.file == "set_ftrace_filter", l.file == "set_ftrace_notrace":
		return s.functions(ctx, l, words, out)
	case l.file == "set_event":
		return s.events(ctx, l, words, out)
	case l.file == "current_tracer":
		return s.oneOf(ctx, l.file, words, "available_tracers", out)
	case l.file == "trace_options":
		return s.options(ctx, words, out)
	case l.file == "trace":
		if said == "" {
			out.Effect = "the record is empty"
		}
		return nil
	}
	now, err := s.lines(ctx, l.file)
	if err != nil || said != "" {
		return err
	}
	out.Effect = l.file + " has " + list(now, "nothing")
	wanted := strings.Join(words, " ")
	value := strings.Join(now, " ")
	if strings.HasSuffix(l.file, "/filter") || strings.HasSuffix(l.file, "_pid") {
		return nil // the kernel writes these in its own way, and has taken the write
	}
	if value != wanted {
		out.Problem, out.Instead = fmt.Sprintf("%s has %q after it, not %q", l.file, value, wanted), "1 or 0"
	}
	return nil
}

// list is some words for a person, and none for no words.
func list(words []string, none string) string {
	const most = 6
	switch n := len(words); {
	case n == 0:
		return none
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), n-most)
	}
	return strings.Join(words, ", ")
}

// oneOf checks a file whose value is one of those that another file lists.
func (s *Session) oneOf(ctx context.Context, file string, words []string, known string, out *trace.ScriptLine) error {
	now, err := s.lines(ctx, file)
	if err != nil {
		return err
	}
	value := strings.Join(now, " ")
	if out.Problem == "" && value == strings.Join(words, " ") {
		out.Effect = file + " has " + value
		return nil
	}
	all, err := s.lines(ctx, known)
	if err != nil {
		return err
	}
	names := strings.Fields(strings.Join(all, " "))
	slices.Sort(names)
	out.Problem = fmt.Sprintf("%s is not in %s, and %s still has %s", clip(strings.Join(words, " ")), known, file, value)
	out.Instead = "one of " + strings.Join(names, ", ")
	if near := nearest.Words(strings.Join(words, " "), names); len(near) > 0 {
		out.Instead = near[0]
	}
	return nil
}

// functions checks what a filter of functions has.
func (s *Session) functions(ctx context.Context, l Line, words []string, out *trace.ScriptLine) error {
	now, err := s.lines(ctx, l.file)
	if err != nil {
		return err
	}
	out.Effect = l.file + " has " + list(now, "no function")
	if l.file == "set_ftrace_filter" && len(now) == 0 {
		out.Effect = "set_ftrace_filter is empty: every function is traced"
	}
	var without []string
	for _, w := range words {
		if !strings.HasPrefix(w, "!") && !slices.ContainsFunc(now, func(f string) bool { return matchesName(w, f) }) {
			without = append(without, w)
		}
	}
	if len(without) == 0 {
		return nil // what it was refused for, if it was, is what it says
	}
	if err := s.readAvailable(ctx); err != nil {
		return err
	}
	var wrong, instead []string
	unreached := false
	for _, w := range without {
		if slices.ContainsFunc(s.available, func(f string) bool { return matchesName(w, f) }) {
			unreached = true
			continue
		}
		wrong = append(wrong, clip(w)+" is not in available_filter_functions")
		if r := s.rightFunction(w); r != "" {
			instead = append(instead, r)
		}
	}
	if len(wrong) == 0 {
		wrong = []string{l.file + " does not have " + list(without, "")}
	} else if unreached {
		wrong = append(wrong, "the words after it are not written")
	}
	out.Problem = strings.Join(wrong, "; ")
	if len(instead) > 0 {
		out.Instead = strings.Join(instead, ", ")
	}
	return nil
}

// readAvailable reads the functions that can be traced, once.
func (s *Session) readAvailable(ctx context.Context) (err error) {
	if s.available == nil {
		s.available, err = s.lines(ctx, "available_filter_functions")
	}
	return err
}

// matchesName reports whether a function, as the kernel lists it, is what a word of a
// filter means: a name, or a pattern with * and ?.
func matchesName(word, function string) bool {
	function, _, _ = strings.Cut(function, " ") // a module's has its name behind it
	if word == function {
		return true
	}
	ok, err := path.Match(word, function)
	return ok && err == nil
}

// rightFunction returns the function that can be traced and is what someone means who
// writes a name that is not: the one by which this kernel has it, one with a prefix or a
// compiler's suffix, or one that is a slip away. "" is none.
func (s *Session) rightFunction(name string) string {
	if symbol := s.Symbol(name); slices.Contains(s.available, symbol) {
		return symbol
	}
	plain := strings.Trim(name, "*?")
	if plain == "" {
		return ""
	}
	i := slices.IndexFunc(s.available, func(f string) bool {
		return strings.HasSuffix(f, "_"+plain) || strings.HasPrefix(f, plain+".")
	})
	if i >= 0 {
		return s.available[i]
	}
	const slips = 2
	if near := nearest.Words(plain, s.available); len(near) > 0 && nearest.Distance(plain, near[0]) <= slips {
		return near[0]
	}
	return ""
}

// events checks which events are enabled.
func (s *Session) events(ctx context.Context, l Line, words []string, out *trace.ScriptLine) error {
	now, err := s.lines(ctx, l.file)
	if err != nil {
		return err
	}
	out.Effect = list(now, "no event") + " enabled"
	var wrong, instead []string
	var all []string
	for _, w := range words {
		if strings.HasPrefix(w, "!") || slices.ContainsFunc(now, func(e string) bool { return matchesEvent(w, e) }) {
			continue
		}
		if all == nil {
			if all, err = s.lines(ctx, "available_events"); err != nil {
				return err
			}
		}
		wrong = append(wrong, clip(w)+" is not in available_events")
		if near := nearestEvent(w, all); near != "" {
			instead = append(instead, near)
		}
	}
	if len(wrong) > 0 {
		out.Problem, out.Instead = strings.Join(wrong, "; "), strings.Join(instead, ", ")
	}
	return nil
}

// matchesEvent reports whether an event, SYSTEM:NAME, is what a word of set_event means.
func matchesEvent(word, event string) bool {
	system, name, _ := strings.Cut(event, ":")
	ws, wn, both := strings.Cut(word, ":")
	if !both {
		return word == name || word == system || matchesName(word, name) || matchesName(word, system)
	}
	return (ws == "" || matchesName(ws, system)) && (wn == "" || matchesName(wn, name))
}

func nearestEvent(word string, all []string) string {
	_, name, both := strings.Cut(word, ":")
	if !both {
		name = word
	}
	var names []string
	for _, e := range all {
		_, n, _ := strings.Cut(e, ":")
		names = append(names, n)
	}
	if near := nearest.Words(name, names); len(near) > 0 {
		return all[slices.Index(names, near[0])]
	}
	return ""
}

// options checks the options that a line sets.
func (s *Session) options(ctx context.Context, words []string, out *trace.ScriptLine) error {
	now, err := s.lines(ctx, "trace_options")
	if err != nil {
		return err
	}
	var on []string
	for _, w := range words {
		other := "no" + w
		if rest, ok := strings.CutPrefix(w, "no"); ok {
			other = rest
		}
		switch {
		case slices.Contains(now, w):
			on = append(on, w)
		case slices.Contains(now, other):
			out.Problem = "trace_options still has " + other
		case strings.HasSuffix(w, "func_stack_trace"):
			out.Problem, out.Instead = "func_stack_trace is an option of the function tracer, which is not set", "echo function > current_tracer before this line"
		default:
			out.Problem = w + " is not in trace_options"
		}
	}
	out.Effect = "trace_options has " + list(on, "none of it")
	return nil
}

// missing says why a file is not there.
func (s *Session) missing(ctx context.Context, file string, out *trace.ScriptLine) error {
	if parts := strings.Split(file, "/"); parts[0] == "events" && len(parts) == 4 {
		all, err := s.lines(ctx, "available_events")
		if err != nil {
			return err
		}
		if slices.Contains(all, parts[1]+":"+parts[2]) {
			return nil
		}
		out.Problem = fmt.Sprintf("%s:%s is not in available_events", parts[1], parts[2])
		if near := nearestEvent(parts[2], all); near != "" {
			system, name, _ := strings.Cut(near, ":")
			out.Instead = fmt.Sprintf("events/%s/%s/%s", system, name, parts[3])
		}
	}
	return nil
}

// Settings reads how ftrace is set up, and which of some symbols it cannot trace.
func (s *Session) Settings(ctx context.Context, symbols []string) (*trace.Ftrace, error) {
	var errs []error
	read := func(file string) []string {
		all, err := s.lines(ctx, file)
		errs = append(errs, err)
		return all
	}
	f := &trace.Ftrace{
		On: strings.Join(read("tracing_on"), "") == "1", Tracer: strings.Join(read("current_tracer"), " "),
		Filter: []string{}, Events: read("set_event"), Options: []string{}, Script: []trace.ScriptLine{}, Records: []trace.FtraceRecord{},
	}
	if f.Events == nil {
		f.Events = []string{}
	}
	const most = 200
	filter := read("set_ftrace_filter")
	f.All = len(filter) == 0
	f.Filter = append(f.Filter, filter[:min(len(filter), most)]...)
	for _, o := range read("trace_options") {
		if slices.Contains(options, o) {
			f.Options = append(f.Options, o)
		}
	}
	f.Untraceable = []string{}
	for _, symbol := range symbols {
		if !slices.Contains(s.available, symbol) && !slices.Contains(f.Untraceable, symbol) {
			f.Untraceable = append(f.Untraceable, symbol)
		}
	}
	return f, errors.Join(errs...)
}

// Begin mounts tracefs and reads what has to be read before anything is recorded: it takes
// the guest long.
func (s *Session) Begin(ctx context.Context) error {
	if err := s.Guest.MountTracing(ctx); err != nil {
		return err
	}
	return s.readAvailable(ctx)
}

// Record reads what the kernel has recorded around the program whose process is pid, and
// returns the kernel's text too. Nothing is recorded any more then: a kernel that also
// records what the reading does makes the record longer as fast as it is read.
func (s *Session) Record(ctx context.Context, pid int, into *trace.Ftrace) (string, error) {
	if err := s.Guest.WriteTracing(ctx, Dir+"/tracing_on", "0", false); err != nil {
		return "", err
	}
	b, err := s.Guest.ReadFile(ctx, Dir+"/trace")
	if err != nil {
		return "", err
	}
	into.Records, into.Lost = ParseRecord(string(b), pid)
	return string(b), nil
}
