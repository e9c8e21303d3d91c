// Package ftrace has the scripts with which a student sets up the kernel's own tracer,
// ftrace, and what it recorded: it reads a script, runs it line by line through the
// agent of a guest, parses the kernel's text, and compares its record with a trace of
// breakpoints.
//
// A script is a part of the shell's language, so that it can be run by hand in the
// guest's shell (lab ftrace LAB), too:
//
//	# a comment
//	set -e                        after a line that failed, run no other
//	cd /sys/kernel/tracing        file names that do not begin with / are below this
//	echo WORDS > FILE             write to a file of ftrace, in place of what it has
//	echo WORDS >> FILE            or behind it
//	cat FILE                      show a file of ftrace
//	fork-new                      run the lab's program, which has the lab's name, once
//
// The host reads the script and the guest runs no shell: the script's lines are requests
// to the guest's agent, which writes and reads only files of tracefs that Files lists.
// So a script of a stranger can neither run a program as root nor write into the record
// (trace_marker), define events of its own (kprobe_events), or let the kernel take memory
// without a bound (buffer_size_kb).
package ftrace

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"kernellab/internal/nearest"
)

// Dir is where tracefs is mounted in a guest.
const Dir = "/sys/kernel/tracing"

// debugDir is where it was before Linux 4.1, and where many texts look for it.
const debugDir = "/sys/kernel/debug/tracing"

// MaxScript is the size of the largest script, in bytes.
const MaxScript = 64 << 10

// maxLines bounds the lines of a script that do something: each is an exchange with the
// guest.
const maxLines = 200

// The kinds of a line.
const (
	kindWrite   = "write"
	kindCat     = "cat"
	kindProgram = "program"
	kindStop    = "set -e"
	kindCD      = "cd"
)

// Line is a line of a script that is not empty and no comment.
type Line struct {
	Number int // from 1
	Text   string

	kind   string
	file   string // the path below Dir, of a write or cat
	text   string // that is written
	append bool
	// problem says why the line is not run, and instead what would have been right.
	problem, instead string
}

// Program reports whether the line runs the lab's program.
func (l Line) Program() bool { return l.kind == kindProgram && l.problem == "" }

// Strict reports whether the line ends the script at the next one that fails.
func (l Line) Strict() bool { return l.kind == kindStop && l.problem == "" }

// files are the files of tracefs that a script may write, as patterns of path.Match.
var files = []string{
	"tracing_on", "current_tracer", "trace", "set_ftrace_filter", "set_ftrace_notrace", "set_ftrace_pid",
	"set_event", "set_event_pid", "trace_options", "options/*", "events/enable", "events/*/enable", "events/*/*/enable",
	"events/*/*/filter", "events/*/filter",
}

// readable are those that it may only read.
var readable = []string{"available_events", "available_tracers", "available_filter_functions", "events/*/*/format", "README"}

// options are the trace options that a script may set: those that change what is
// recorded. Most others change how the kernel writes the record, which lab has to read.
var options = []string{"func_stack_trace", "stacktrace", "sym-offset", "event-fork", "function-fork", "record-cmd"}

// Parse reads a script for the program of that name. What is wrong with a line is told
// when the line is run.
func Parse(program string, source []byte) []Line {
	p := parser{program: program, dir: "/root"} // where the guest's shell begins
	var lines []Line
	for i, text := range strings.Split(string(source), "\n") {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		l := Line{Number: i + 1, Text: text}
		if len(lines) == maxLines {
			l.problem = fmt.Sprintf("a script has %d lines at most", maxLines)
			return append(lines, l)
		}
		p.line(&l)
		lines = append(lines, l)
	}
	return lines
}

// parser reads the lines of a script one after the other.
type parser struct {
	program string
	dir     string // the working directory
	ran     bool
}

func (l *Line) bad(instead, format string, args ...any) {
	l.problem, l.instead = fmt.Sprintf(format, args...), instead
}

func (p *parser) line(l *Line) {
	f, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(l.Text), "")
	switch {
	case err != nil:
		text := err.Error()
		if _, after, ok := strings.Cut(text, ": "); ok {
			text = after
		}
		l.bad("", "the shell cannot read the line: %s", text)
		return
	case len(f.Stmts) != 1:
		l.bad("write each command on a line of its own", "the line has %d commands", len(f.Stmts))
		return
	}
	s := f.Stmts[0]
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || s.Negated || s.Background || s.Coprocess || len(call.Assigns) > 0 || len(call.Args) == 0 {
		l.bad("one simple command a line: echo, cat, cd, set -e or "+p.program, "this is more of the shell than a script of lab has")
		return
	}
	var words []string
	for _, w := range call.Args {
		word, ok := literal(w)
		if !ok {
			l.bad("write the value itself", "a script of lab has no variables and no substitutions")
			return
		}
		words = append(words, word)
	}
	p.command(l, words, s.Redirs)
}

// literal is a word without expansions. A pattern such as copy_* stands for itself, as in
// a shell whose directory has no such file.
func literal(w *syntax.Word) (string, bool) {
	var b strings.Builder
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			b.WriteString(unescape.ReplaceAllString(part.Value, "$1"))
		case *syntax.SglQuoted:
			b.WriteString(part.Value)
		case *syntax.DblQuoted:
			for _, in := range part.Parts {
				lit, ok := in.(*syntax.Lit)
				if !ok {
					return "", false
				}
				b.WriteString(lit.Value)
			}
		default:
			return "", false
		}
	}
	return b.String(), true
}

var unescape = regexp.MustCompile(`\\(.)`)

func (p *parser) command(l *Line, words []string, redirs []*syntax.Redirect) {
	if len(redirs) > 0 && words[0] != "echo" {
		l.bad("", "only echo writes to a file here")
		return
	}
	switch words[0] {
	case "echo":
		p.echo(l, words[1:], redirs)
	case "cat":
		l.kind = kindCat
		if len(words) != 2 {
			l.bad("cat FILE", "cat shows one file here")
			return
		}
		p.file(l, words[1], slices.Concat(files, readable))
	case "cd":
		l.kind = kindCD
		dir := p.dir
		if len(words) == 2 {
			dir = p.absolute(words[1])
		}
		if len(words) != 2 || dir != Dir && !strings.HasPrefix(dir, Dir+"/") {
			l.bad("cd "+Dir, "cd goes to a folder of tracefs here")
			return
		}
		p.dir = dir
	case "set":
		l.kind = kindStop
		if len(words) != 2 || words[1] != "-e" {
			l.bad("set -e", "set has one option here")
		}
	case p.program, "/bin/" + p.program, "./" + p.program:
		l.kind = kindProgram
		switch {
		case len(words) > 1:
			l.bad(p.program, "the program takes no arguments here")
		case p.ran:
			l.bad("", "the program runs once in a script")
		}
		p.ran = true
	default:
		known := []string{"echo", "cat", "cd", "set", p.program}
		instead := "a script has the commands " + strings.Join(known, ", ")
		if near := nearest.Words(words[0], known); len(near) > 0 {
			instead = near[0]
		}
		l.bad(instead, "%s: no such command in a script of lab", clip(words[0]))
	}
}

// echo reads a write.
func (p *parser) echo(l *Line, words []string, redirs []*syntax.Redirect) {
	l.kind = kindWrite
	end := "\n"
	if len(words) > 0 && words[0] == "-n" {
		words, end = words[1:], ""
	}
	l.text = strings.Join(words, " ") + end
	if len(redirs) != 1 {
		l.bad("echo WORDS > FILE, or >> FILE", "the line writes to no file")
		return
	}
	r := redirs[0]
	switch {
	case r.N != nil:
		l.bad("leave a space in front of >", "%s%s redirects the file descriptor %s, and the number is not written", r.N.Value, r.Op, r.N.Value)
		return
	case r.Op != syntax.RdrOut && r.Op != syntax.AppOut:
		l.bad("echo WORDS > FILE, or >> FILE", "%s does not write to a file", r.Op)
		return
	}
	l.append = r.Op == syntax.AppOut
	name, ok := literal(r.Word)
	if !ok {
		l.bad("write the file's name itself", "a script of lab has no variables and no substitutions")
		return
	}
	p.file(l, name, files)
}

func (p *parser) absolute(name string) string {
	if !path.IsAbs(name) {
		name = p.dir + "/" + name
	}
	name = path.Clean(name)
	if rest, ok := strings.CutPrefix(name, debugDir); ok && (rest == "" || rest[0] == '/') {
		name = Dir + rest
	}
	return name
}

// file settles which file of tracefs a line is about, one of those that the patterns allow.
func (p *parser) file(l *Line, name string, allowed []string) {
	full := p.absolute(name)
	below, ok := strings.CutPrefix(full, Dir+"/")
	if !ok {
		instead := ""
		if p.dir != Dir && matches(allowed, path.Clean(name)) {
			instead = "cd " + Dir + " first, or name the file " + Dir + "/" + path.Clean(name)
		}
		l.bad(instead, "%s is no file of tracefs", clip(full))
		return
	}
	if !matches(allowed, below) {
		var plain []string
		for _, a := range allowed {
			if !strings.Contains(a, "*") {
				plain = append(plain, a)
			}
		}
		instead := ""
		if near := nearest.Words(below, plain); len(near) > 0 {
			instead = near[0]
		}
		l.bad(instead, "%s is not among the files that a script of lab may use", clip(below))
		return
	}
	l.file = below
	if option, ok := strings.CutPrefix(below, "options/"); ok && l.kind == kindWrite {
		l.option(option)
	}
	if below == "trace_options" && l.kind == kindWrite {
		for _, o := range strings.Fields(l.text) {
			l.option(strings.TrimPrefix(o, "no"))
		}
	}
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok })
}

// option refuses an option that changes how the record is written.
func (l *Line) option(name string) {
	if slices.Contains(options, name) {
		return
	}
	instead := "the options here are " + strings.Join(options, ", ")
	if near := nearest.Words(name, options); len(near) > 0 {
		instead = near[0]
	}
	l.bad(instead, "%s is not among the options that a script of lab may set", clip(name))
}

// clip shortens a student's text for a message.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
