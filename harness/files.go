package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kernellab/harness/machine"
	"kernellab/images/guest"
)

// The files that a run leaves in Job.Out.
const (
	TraceFile   = "trace.jsonl" // the evidence
	ConsoleFile = "console.log" // the guest's console
	ReplayFile  = "qemu.sh"     // how the machine was started
	TimesFile   = "run.json"    // how long it took by the host's clock
)

// nowhere is a file of a run that leaves none.
type nowhere struct{ io.Writer }

func (nowhere) Close() error { return nil }

// create creates a file of the run in Out.
func (j Job) create(name string) (io.WriteCloser, error) {
	if j.Out == "" {
		return nowhere{io.Discard}, nil
	}
	f, err := os.Create(filepath.Join(j.Out, name))
	if err != nil {
		return nil, &machine.Error{Op: "write " + name, Err: err}
	}
	return f, nil
}

// write writes a file of the run whole.
func (j Job) write(name string, data []byte, mode os.FileMode) error {
	if j.Out == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(j.Out, name), data, mode); err != nil {
		return &machine.Error{Op: "write " + name, Err: err}
	}
	return nil
}

// writeReplay writes down how the machine is started.
func (j Job) writeReplay() error {
	c := j.Machine.Config()
	args := c.Args()
	// Nobody would answer its agent.
	c.Append, c.Interactive = guest.ShellMode, true
	text := fmt.Sprintf("#!/bin/sh\n# The machine of this run with a shell on this terminal and its gdbstub on ./gdb.sock.\n# Ctrl-A x leaves. As lab started it: %q\n%s\n", args, c.Replay())
	return j.write(ReplayFile, []byte(text), 0o755)
}

// TimesSchema names the document of TimesFile and its version.
const TimesSchema = "lab.run/1"

// writeTimes writes down how long the run took.
func (j Job) writeTimes(t Times) error {
	doc := struct {
		Schema string `json:"schema"`
		Times
	}{TimesSchema, t}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return j.write(TimesFile, append(data, '\n'), 0o644)
}
