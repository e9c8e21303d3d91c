package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"

	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/trace"
)

func (a *app) checkCommand() *cobra.Command {
	var format, own string
	cmd := &cobra.Command{
		Use:   "check TRACE…",
		Short: "Grade recorded traces, without QEMU",
		Long:  "check grades traces that lab run left in its --out folder. The verdict is the one of the run: it depends on the trace alone.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("check takes the traces to grade: lab check DIR/trace.jsonl")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			return a.check(args, own, format)
		},
	}
	formatFlag(cmd, &format)
	cmd.Flags().StringVar(&own, "lab", "", "folder of the lab that the traces are of, where it is none of the course")
	cmd.MarkFlagDirname("lab")
	return cmd
}

// check grades every trace; those that can not be read are reported together.
func (a *app) check(paths []string, own, format string) error {
	doc := grade.NewDocument()
	var failed *multierror.Error
	for _, path := range paths {
		result, err := checkOne(path, own)
		if err != nil {
			failed = multierror.Append(failed, err)
			result = grade.Failure(grade.Rules{}, "", err)
		}
		doc.Results = append(doc.Results, result)
	}
	a.code = doc.ExitCode()
	if err := report.Write(a.stdout, format, doc, a.style()); err != nil {
		return err
	}
	return failed.ErrorOrNil()
}

// checkOne grades one trace, by the lab of the course that it names or, unless own
// is "", the one in that folder.
func checkOne(path, own string) (grade.Result, error) {
	t, err := readTrace(path)
	if err != nil {
		return grade.Result{}, err
	}
	name := t.Header.Lab
	if own != "" && !strings.Contains(own, "/") {
		own = "./" + own
	}
	if own != "" {
		name = own
	}
	l, err := getLab(name)
	if err != nil {
		return grade.Result{}, fmt.Errorf("%s: %w", path, err)
	}
	rules := l.Rules(t.Header.Arch)
	result := grade.Grade(t, rules)
	return result, nil
}

func readTrace(path string) (*trace.Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, usagef("no trace at %s: lab run LAB --out DIR leaves one as DIR/trace.jsonl", path)
		}
		return nil, err
	}
	defer f.Close()
	t, err := trace.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
