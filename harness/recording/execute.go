package recording

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/harness/verify"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/linux"
	"kernellab/internal/progress"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// The verdicts of Execute.
const (
	Same    = "same"
	Differs = "differs"
	Unable  = "cannot be executed here"
)

// Executed is the result of executing a recorded run again.
type Executed struct {
	Trace   string `json:"trace"` // path
	Lab     string `json:"lab"`
	Arch    string `json:"arch"`
	Kernel  string `json:"kernel"`
	Verdict string `json:"verdict"` // "same", "differs", "cannot be executed here"
	// Difference is the first difference, if the traces differ.
	Difference *verify.Difference `json:"difference,omitempty"`
	// Missing says why the run cannot be executed here.
	Missing string `json:"missing,omitempty"`
}

// maxTrace limits the size of a recorded trace, in bytes.
const maxTrace = 256 << 20

// Execution executes recorded runs again.
type Execution struct {
	Host       prepare.Host
	Lab        string // folder of the lab, "" for the course's lab that the trace names
	Kernel     string // image file, "" for the kernel that the trace names
	Submission string // path of a student's submission, "" for the lab's own program
}

// Write writes the result as text: a line, and indented below it what differs or is
// missing.
func (e Executed) Write(w io.Writer) error {
	text := fmt.Sprintf("%s: %s\n", progress.Visible(e.Trace), e.Verdict)
	switch {
	case e.Difference != nil:
		text += fmt.Sprintf("  %s\n", progress.Visible(e.Difference.Error()))
	case e.Missing != "":
		text += fmt.Sprintf("  %s\n", progress.Visible(e.Missing))
	}
	_, err := io.WriteString(w, text)
	return err
}

// ExitCode returns the exit code for results: that of the worst of them.
func ExitCode(all []Executed) int {
	code := verdict.ExitPass
	for _, e := range all {
		switch e.Verdict {
		case Differs:
			code = max(code, verdict.ExitFail)
		case Unable:
			code = verdict.ExitError
		}
	}
	return code
}

// Report executes the runs of the traces at paths again, writes what came of them to w, as
// text each when it has ended or as document lab.verify/1, and returns the exit code.
func (x Execution) Report(ctx context.Context, w io.Writer, format string, paths []string) (code int, err error) {
	if x.Submission != "" && len(paths) > 1 {
		return verdict.ExitError, usage.Errorf("--submission is what one student handed in: verify its trace alone")
	}
	all, err := x.All(ctx, paths, func(e Executed) error {
		if format != report.FormatText {
			return nil
		}
		return e.Write(w)
	})
	if err == nil && format == report.FormatJSON {
		err = report.JSON(w, map[string]any{"schema": "lab.verify/1", "results": all})
	}
	return ExitCode(all), err
}

// All executes the runs of the traces at paths again, where a folder stands for all
// traces in it. each is called after each run. It finds all traces before the first run.
func (x Execution) All(ctx context.Context, paths []string, each func(Executed) error) ([]Executed, error) {
	var traces []string
	for _, path := range paths {
		files, err := Find(path)
		if err != nil {
			return nil, usage.Wrap(err)
		}
		traces = append(traces, files...)
	}
	var all []Executed
	for _, file := range traces {
		e := x.Execute(ctx, file)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		x.Host.Progress.Done()
		all = append(all, e)
		if err := each(e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Execute executes the run of a trace again, and compares the traces.
func (x Execution) Execute(ctx context.Context, path string) Executed {
	e := Executed{Trace: path}
	if err := x.execute(ctx, path, &e); err != nil {
		e.Verdict, e.Missing = Unable, err.Error()
	}
	return e
}

// execute sets the fields of e. The error says why the run cannot be executed here.
func (x Execution) execute(ctx context.Context, path string, e *Executed) error {
	recorded, err := readTrace(path)
	if err != nil {
		return err
	}
	var h trace.Header
	first, _, _ := bytes.Cut(recorded, []byte("\n"))
	if err := json.Unmarshal(first, &h); err != nil {
		return fmt.Errorf("its first line is not the header of a trace: %w", err)
	}
	e.Lab, e.Arch, e.Kernel = h.Lab, h.Arch, h.Kernel.Release
	job, err := x.job(ctx, h)
	if err != nil {
		return err
	}
	if err := x.sameInputs(ctx, &job, h); err != nil {
		return err
	}
	x.Host.Progress.Say("executing %s on %s (%s) again", h.Lab, h.Kernel.Release, h.Arch)
	out, err := harness.Run(ctx, job)
	if err != nil {
		return err
	}
	if e.Difference, err = verify.Compare(out.Trace, recorded); err != nil {
		return err
	}
	e.Verdict = Same
	if e.Difference != nil {
		e.Verdict = Differs
	}
	return nil
}

// readTrace reads the bytes of a trace.
func readTrace(path string) ([]byte, error) {
	file, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxTrace {
		return nil, &regular.TooLargeError{Path: path, Size: info.Size(), Most: maxTrace}
	}
	return io.ReadAll(file)
}

// job returns the run that a header describes, with the lab's own program.
func (x Execution) job(ctx context.Context, h trace.Header) (harness.Job, error) {
	var none harness.Job
	if h.Schema != trace.Schema {
		return none, fmt.Errorf("it has schema %q, but this lab writes %q: use the lab that recorded it", h.Schema, trace.Schema)
	}
	l, err := labOf(h.Lab, h.Variant, x.Lab)
	if err != nil {
		return none, err
	}
	if _, err := arch.Lookup(h.Arch); err != nil {
		return none, err
	}
	t, err := x.kernel(ctx, h)
	if err != nil {
		return none, err
	}
	m := prepare.Machine{Seed: h.Machine.Seed, CPUs: h.Machine.CPUs, Limit: h.Program.Limit}
	if m.CPUs < 1 || m.CPUs > prepare.MaxCPUs || m.Limit < 0 {
		return none, fmt.Errorf("its header asks for %d processors and a limit of %s", m.CPUs, m.Limit)
	}
	job, err := x.Host.Job(ctx, l, t, m)
	job.Script = h.Program.Script // it is one of harness/ftrace, which is safe to run
	return job, err
}

// kernel finds the kernel that a trace was recorded on.
func (x Execution) kernel(ctx context.Context, h trace.Header) (prepare.Target, error) {
	spec := h.Kernel.Release
	var fetch prepare.Fetcher
	if x.Kernel != "" {
		spec = x.Kernel
	}
	cached, err := linux.In(x.Host.Cache).Kernels(h.Arch)
	if err != nil {
		return prepare.Target{}, err
	}
	for _, k := range cached {
		if x.Kernel == "" && k.SHA256 == h.Kernel.SHA256 {
			fetch = func(context.Context, string, string, images.Progress) (linux.Kernel, error) { return k, nil }
		}
	}
	found, err := x.Host.Open(ctx, prepare.Kernels{Arch: h.Arch, Names: []string{spec}, Fetch: fetch})
	if err != nil {
		return prepare.Target{}, fmt.Errorf("find its kernel: %w", err)
	}
	if sum := found[0].Image.SHA256; sum != h.Kernel.SHA256 {
		return prepare.Target{}, fmt.Errorf("its kernel %s has the SHA-256 %s, but the kernel here has %s", h.Kernel.Release, h.Kernel.SHA256, sum)
	}
	return found[0], nil
}

// sameInputs sets the job's program to the submitted one, if there is one, and checks
// that the inputs of the run are the recorded ones.
func (x Execution) sameInputs(ctx context.Context, job *harness.Job, h trace.Header) error {
	if x.Submission != "" {
		l, err := labOf(h.Lab, h.Variant, x.Lab)
		if err != nil {
			return err
		}
		if err := x.submittedProgram(ctx, job, l); err != nil {
			return err
		}
	}
	here, err := job.Header(ctx)
	if err != nil {
		return err
	}
	return x.compareInputs(here, h)
}

// compareInputs returns an error if an input of a run differs from the recorded one.
func (x Execution) compareInputs(here, h trace.Header) error {
	switch {
	case here.Machine.QEMU != h.Machine.QEMU:
		return fmt.Errorf("it was recorded with QEMU %s, but this is %s: give another one with --qemu", h.Machine.QEMU, here.Machine.QEMU)
	case here.Machine.Initramfs != h.Machine.Initramfs:
		return fmt.Errorf("it was recorded with the initramfs %s, but this lab's is %s: use the lab that recorded it", h.Machine.Initramfs, here.Machine.Initramfs)
	case here.Program.Script != h.Program.Script:
		return fmt.Errorf("the script of %s is not the one that was run", x.Submission)
	case here.Program.SHA256 != h.Program.SHA256 && x.Submission != "":
		return fmt.Errorf("the program of %s is not the one that was run", x.Submission)
	case here.Program.SHA256 != h.Program.SHA256:
		return errors.New("the program that was run is not this lab's own: give the submission with --submission DIR")
	}
	return nil
}

// submittedProgram sets the job's program to the submitted one.
func (x Execution) submittedProgram(ctx context.Context, job *harness.Job, l labs.Lab) error {
	path := x.Submission
	s, err := prepare.Submission(ctx, l, path)
	if err != nil {
		return err
	}
	if s.Program == nil {
		return fmt.Errorf("%s has no program", path)
	}
	if s.Program.Language == submission.Script {
		job.Script, job.Again = string(s.Program.Source), false
		return nil
	}
	run := prepare.Submitted(s, *job, func() (*compile.Compiler, error) { return compile.New(ctx, x.Host.Cache) }, x.Host.Progress.Report)
	program, fault, err := run.Compile(ctx, submission.Program(*s.Program))
	switch {
	case err != nil:
		return err
	case fault != "":
		return fmt.Errorf("the program of %s does not compile: %s", path, fault)
	}
	job.Program, job.VariantArgs, job.Again = program, nil, false
	return nil
}
