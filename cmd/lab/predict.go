package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/report"
	"kernellab/harness/session"
	"kernellab/internal/commands"
	"kernellab/internal/shell"
	"kernellab/labs"
)

func (a *app) predictCommand() *cobra.Command {
	p := session.Prediction{In: a.stdin, Asking: a.stderr}
	cmd := ofLab(&cobra.Command{
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
	}, func(ctx context.Context, l labs.Lab, args []string) error {
		p.Lab, p.Dir, p.AtOnce = l, l.Name, 1
		if len(args) > 1 {
			p.Dir = args[1]
		}
		return a.predict(ctx, p, args[0])
	})
	cmd.Args = commands.Takes(1, 2, "a lab and, if it is not named after the lab, the folder of the predictions: lab predict fork-new [DIR]")
	a.kernelFlag(cmd, &p.Kernels)
	machineFlags(cmd, &p.Machine)
	formatFlag(cmd, &p.Format, textOrJSON)
	return cmd
}

// predict asks what is not answered yet, runs the lab and compares. called is what the
// lab was called on the command line.
func (a *app) predict(ctx context.Context, p session.Prediction, called string) error {
	file, err := p.Open(ctx)
	if err != nil {
		return err
	}
	if err := p.Ask(ctx, file); err != nil {
		return err
	}
	p.Style = report.Terminal(a.stdout)
	if p.Host, err = a.hold(ctx); err == nil {
		a.code, err = p.Execute(ctx, a.stdout, file)
	}
	if ctx.Err() != nil {
		return file.Stopped(p.Kernels.Arch, ctx.Err())
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "The predictions are in %s. To change one, edit the file; to hand it in: lab run %s --submission %s\n", file.Path, shell.Quote(called), shell.Quote(p.Dir))
	return nil
}
