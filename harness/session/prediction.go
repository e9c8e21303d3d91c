package session

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"kernellab/harness/predict"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/variant"
	"kernellab/harness/verdict"
	"kernellab/internal/console"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
)

// Prediction asks the questions of a session's lab, then runs the session and compares.
type Prediction struct {
	Session
	Dir    string    // of the file of answers
	In     io.Reader // of answers: a terminal, or a line for each
	Asking io.Writer // of questions, and of what is wrong with an answer
}

// Open reads the answers that there are. If the folder is of a student's submission, the
// lab gets the student's task.
func (p *Prediction) Open(ctx context.Context) (*predict.File, error) {
	if len(p.Lab.Questions) == 0 {
		return nil, usage.Errorf("%s asks no questions: its lab.yaml has no \"questions\"", p.Lab.Name)
	}
	var err error
	if _, serr := os.Stat(filepath.Join(p.Dir, variant.File)); serr == nil { // lab init --student made it
		if p.Lab, _, err = prepare.SubmissionOf(ctx, p.Lab, p.Dir, prepare.Asked{}); err != nil {
			return nil, err
		}
	}
	form, err := p.Lab.Template(p.Lab.Languages()[0])
	if err != nil {
		return nil, err
	}
	return predict.Open(p.Dir, form[submission.AnswersFile], p.Lab.Handed().Questions)
}

// Ask asks the questions of the file that have no answer.
func (p *Prediction) Ask(ctx context.Context, file *predict.File) error {
	_, width := progress.Terminal(p.Asking)
	d := predict.Dialogue{File: file, Arch: p.Kernels.Arch, Out: p.Asking, Width: min(max(width, 40), 100)}
	if in, ok := console.Terminal(p.In); ok {
		return d.Ask(ctx, in)
	}
	return d.AskLines(p.In)
}

// Execute runs the session on one kernel, with the predictions of the file, writes both to
// w, and returns the exit code of the run.
func (p *Prediction) Execute(ctx context.Context, w io.Writer, file *predict.File) (code int, err error) {
	s := p.Session
	s.Predicted = file.Answers
	if s.Format == report.FormatText {
		return s.Execute(ctx, w)
	}
	out := report.Predicted{Answers: file.Path}
	s.compared = &out.Rows
	doc, err := s.Run(ctx, io.Discard) // a document of its own follows
	if err != nil {
		return verdict.ExitError, err
	}
	out.Result = doc.Results[0]
	return doc.ExitCode(), out.WriteJSON(w)
}
