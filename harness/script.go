package harness

import (
	"context"
	"errors"

	"kernellab/harness/ftrace"
	"kernellab/harness/kernel"
	"kernellab/harness/machine"
	"kernellab/harness/probe"
	"kernellab/harness/trace"
	"kernellab/images/guest"
	"kernellab/images/guest/mailbox"
)

// FtraceFile is what a run with a script leaves beside its trace: the record of ftrace
// as the kernel wrote it.
const FtraceFile = "ftrace.txt"

// ErrStopped says that the person who watches a script ended it at a line that failed.
var ErrStopped = errors.New("the script was ended at a line that failed")

// scripted is how far a job's script is, and what ftrace was set up to. In the note of a
// snapshot it is JSON.
type scripted struct {
	Ftrace *trace.Ftrace
	Next   int  // the line after those that were run, in what ftrace.Parse returns
	Strict bool // after set -e
	Over   bool // a line failed after that: no more are run
}

// lines are those of the job's script.
func (j Job) lines() []ftrace.Line { return ftrace.Parse(j.ProgramName, []byte(j.Script)) }

// session is where the lines of a script are run: in a machine whose agent waits.
func (j Job) session(m *machine.Machine) *ftrace.Session {
	return &ftrace.Session{
		Guest: m.Agent,
		Refused: func(err error) string {
			var refused *guest.AgentError
			if errors.As(err, &refused) {
				return refused.Text
			}
			return ""
		},
		Symbol:   func(function string) string { return symbolOf(j.Machine.Image, function) },
		Reserved: symbolOf(j.Machine.Image, mailbox.Mark),
	}
}

func symbolOf(im *kernel.Image, function string) string {
	r, err := im.Resolve(function)
	if err != nil {
		return ""
	}
	return r.Symbol
}

// setUp runs the script's lines in front of the program's, and reads what ftrace is set
// up to.
func (j Job) setUp(ctx context.Context, m *machine.Machine) (*scripted, error) {
	if j.Plan.Init || j.Plan.Panic != "" {
		return nil, &machine.Error{Op: "run the script", Err: errors.New("no agent is left at the end of " + j.Lab + " to read the record of ftrace")}
	}
	s, session := &scripted{}, j.session(m)
	if err := session.Begin(ctx); err != nil {
		return nil, err
	}
	lines := j.lines()
	var done []trace.ScriptLine
	for ; s.Next < len(lines) && !lines[s.Next].Program(); s.Next++ {
		if err := j.line(ctx, session, s, lines[s.Next], &done); err != nil {
			return nil, err
		}
	}
	points, err := probe.Header(j.Machine.Image, j.Plan)
	if err != nil {
		return nil, err
	}
	var symbols []string
	for _, p := range points {
		if p.Missing == "" {
			symbols = append(symbols, p.Symbol)
		}
	}
	f, err := session.Settings(ctx, symbols)
	if err != nil {
		return nil, err
	}
	f.Script = append(f.Script, done...)
	if s.Next < len(lines) {
		out := trace.ScriptLine{Line: lines[s.Next].Number, Text: lines[s.Next].Text, Skipped: s.Over}
		f.Script, f.Ran = append(f.Script, out), !s.Over
		s.Next++
		if err := j.show(out, ""); err != nil {
			return nil, err
		}
	}
	s.Ftrace = f
	return s, nil
}

// line runs one line and appends what became of it.
func (j Job) line(ctx context.Context, session *ftrace.Session, s *scripted, l ftrace.Line, done *[]trace.ScriptLine) error {
	out := trace.ScriptLine{Line: l.Number, Text: l.Text, Skipped: true}
	var text string
	if !s.Over {
		var err error
		if out, text, err = session.Run(ctx, l); err != nil {
			return err
		}
		s.Strict = s.Strict || l.Strict()
		s.Over = s.Strict && out.Problem != ""
	}
	*done = append(*done, out)
	return j.show(out, text)
}

// show shows a line to whoever watches.
func (j Job) show(out trace.ScriptLine, text string) error {
	if j.Line != nil && !j.Line(out, text) {
		return ErrStopped
	}
	return nil
}

// finish reads what ftrace recorded, in a guest whose program has ended, and runs the rest
// of the script. Its lines can empty the record, so it is read before.
func (j Job) finish(ctx context.Context, m *machine.Machine, pid int, s *scripted) (*trace.Ftrace, error) {
	session, f := j.session(m), s.Ftrace
	text, err := session.Record(ctx, pid, f)
	if err != nil {
		return nil, err
	}
	for lines := j.lines(); s.Next < len(lines); s.Next++ {
		if err := j.line(ctx, session, s, lines[s.Next], &f.Script); err != nil {
			return nil, err
		}
	}
	return f, j.write(FtraceFile, []byte(text), 0o644)
}
