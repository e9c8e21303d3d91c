package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kernellab/internal/commands"
	"kernellab/labs"
)

func (a *app) listCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the labs of the course in order, with the time that each takes",
		Args:  commands.None,
		RunE: func(*cobra.Command, []string) error {
			list, err := labs.List()
			if err != nil {
				return err
			}
			return a.write(format, map[string]any{"schema": "lab.list/1", "labs": list}, func(w io.Writer) error { return labs.WriteList(w, list) })
		},
	}
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}

func (a *app) showCommand() *cobra.Command {
	return ofLab(&cobra.Command{
		Use:   "show LAB",
		Short: "Print a lab's handout, its questions and its variations",
	}, func(_ context.Context, l labs.Lab, _ []string) error {
		_, err := fmt.Fprint(a.stdout, l.Page())
		return err
	})
}
