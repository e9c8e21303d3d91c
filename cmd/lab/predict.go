package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kernellab/harness/predict"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/session"
	"kernellab/harness/submission"
	"kernellab/harness/variant"
	"kernellab/internal/progress"
	"kernellab/internal/shell"
	"kernellab/internal/usage"
	"kernellab/labs"
)

func (a *app) predictCommand() *cobra.Command {
	var k prepare.Kernels
	var m prepare.Machine
	cmd := oneLab(&cobra.Command{
		Use:   "predict LAB [DIR]",
		Short: "Answer a lab's questions, then run the lab and compare",
		Long: `predict asks the questions of the lab one at a time, before anything runs. Then it
runs the lab and shows each prediction beside what was seen.

The predictions are written to DIR/answers.yaml, which can be handed in; DIR is a
folder named after the lab unless it is given. Each answer is written when it is
given: when predict is interrupted, the same command continues with the next
question. Once all questions are answered, the command only runs and compares.

If standard input is no terminal, predict reads an answer a line, for the questions
that are not answered yet, in their order; an empty line leaves a question out. If a
line is wrong, predict says which, records nothing and exits with 2.

The exit code is that of the run: wrong predictions are no failure.`,
		Example: "  lab predict fork-new\n  lab predict fork-new my-fork --arch riscv64",
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			dir := l.Name
			if len(args) > 1 {
				dir = args[1]
			}
			return a.predict(cmd.Context(), l, args[0], dir, k, m)
		},
	})
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) < 1 || len(args) > 2 {
			return usage.Errorf("%s takes a lab and, if it is not named after the lab, the folder of the predictions: lab predict %s [DIR]", cmd.CommandPath(), labNames()[0])
		}
		return nil
	}
	a.kernelFlag(cmd, &k)
	machineFlags(cmd, &m)
	return cmd
}

// predict asks what is not answered yet, runs the lab and compares. called is what the
// lab was called on the command line.
func (a *app) predict(ctx context.Context, l labs.Lab, called, dir string, k prepare.Kernels, m prepare.Machine) error {
	if len(l.Questions) == 0 {
		return usage.Errorf("%s asks no questions: its lab.yaml has no \"questions\"", l.Name)
	}
	if _, err := os.Stat(filepath.Join(dir, variant.File)); err == nil { // lab init --student made it
		if l, _, err = prepare.SubmissionOf(ctx, l, dir, prepare.Asked{}); err != nil {
			return err
		}
	}
	form, err := l.Template(l.Languages()[0])
	if err != nil {
		return err
	}
	file, err := predict.Open(dir, form[submission.AnswersFile], l.Handed().Questions)
	if err != nil {
		return err
	}
	_, width := progress.Terminal(a.stderr)
	d := predict.Dialogue{File: file, Arch: k.Arch, Out: a.stderr, Width: min(max(width, 40), 100)}
	if in, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		err = d.Ask(ctx, in)
	} else {
		err = d.AskLines(a.stdin)
	}
	if err != nil {
		return err
	}
	s := session.Session{Lab: l, Kernels: k, Machine: m, AtOnce: 1, Format: report.FormatText, Predicted: file.Answers}
	if err := a.run(ctx, s); ctx.Err() != nil {
		return file.Stopped(k.Arch, ctx.Err())
	} else if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "The predictions are in %s. To change one, edit the file; to hand it in: lab run %s --submission %s\n", file.Path, shell.Quote(called), shell.Quote(dir))
	return nil
}
