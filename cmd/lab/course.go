package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/internal/usage"
	"kernellab/labs"
)

func (a *app) listCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the labs of the course in order, with the time that each takes",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := labs.All()
			if err != nil {
				return err
			}
			return a.list(all, format)
		},
	}
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}

func (a *app) list(all []labs.Lab, format string) error {
	type row struct {
		Name     string   `json:"name"`
		Title    string   `json:"title"`
		Summary  string   `json:"summary"`
		Minutes  int      `json:"minutes,omitempty"`
		BuildsOn []string `json:"builds_on,omitempty"`
	}
	rows := []row{}
	for _, l := range all {
		rows = append(rows, row{l.Name, l.Title, l.Summary, l.Minutes, l.BuildsOn})
	}
	if format == "json" {
		return a.json(map[string]any{"schema": "lab.list/1", "labs": rows})
	}
	fmt.Fprint(a.stdout, "The labs, in the order in which to do them:\n\n")
	for _, r := range rows {
		after := ""
		if len(r.BuildsOn) > 0 {
			after = "after " + strings.Join(r.BuildsOn, ", ")
		}
		fmt.Fprintf(a.stdout, "%-14s %3d min  %s\n", r.Name, r.Minutes, after)
		fmt.Fprintf(a.stdout, "  %s. %s\n", r.Title, r.Summary)
	}
	fmt.Fprint(a.stdout, "\nlab show LAB prints a lab's handout, lab predict LAB asks its questions, lab run LAB runs it.\n")
	return nil
}

// json prints a document.
func (a *app) json(doc any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

func (a *app) showCommand() *cobra.Command {
	return oneLab(&cobra.Command{
		Use:   "show LAB",
		Short: "Print a lab's handout, its questions and its variations",
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(a.stdout, l.Page())
			return nil
		},
	})
}

// noArgs refuses arguments, as a mistake of usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage.Errorf("%s takes no arguments, but was given %q", cmd.CommandPath(), args[0])
	}
	return nil
}
