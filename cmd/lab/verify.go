package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verify"
	"kernellab/images"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// verifyFlags are the flags of lab verify.
type verifyFlags struct {
	format, lab, kernel, submission string
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify FOLDER|TRACE…",
		Short: "Execute recorded runs again and compare them to the byte",
		Long: `verify executes the run of each trace again, on the machine that the trace's header
describes, and compares what it gives with what was recorded. A folder stands for
every trace.jsonl in it.

A trace is the same, or it differs: then the first event and field that do are
shown. It cannot be executed here when something is missing that it depends on:
the kernel, the version of QEMU, the program. --submission names what a student
handed in, whose program is compiled again.

Exit codes: 0 all are the same · 1 one differs · 2 wrong usage · 3 one cannot be
executed here`,
		Example: "  lab verify out\n  lab verify graded/alice --submission handed-in/alice",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("verify takes the traces to execute again: lab verify DIR")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.submission != "" && len(args) > 1 {
				return usage.Errorf("--submission is what one student handed in: verify its trace alone")
			}
			return a.verify(cmd.Context(), args, f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.lab, "lab", "", "folder of the lab that the traces are of, where it is none of the course")
	fl.StringVar(&f.kernel, "kernel", "", "image file of the kernel, where it is in no suite of Debian's")
	fl.StringVar(&f.submission, "submission", "", "what the student handed in: a folder or an archive")
	cmd.MarkFlagDirname("lab")
	textOrJSON(cmd, &f.format)
	return cmd
}

// The verdicts of lab verify.
const (
	verifySame    = "same"
	verifyDiffers = "differs"
	verifyUnable  = "cannot be executed here"
)

// verified is what became of one trace.
type verified struct {
	Trace   string `json:"trace"` // path
	Lab     string `json:"lab"`
	Arch    string `json:"arch"`
	Kernel  string `json:"kernel"`
	Verdict string `json:"verdict"` // "same", "differs", "cannot be executed here"
	// Difference is the first one, of a trace that differs.
	Difference *verify.Difference `json:"difference,omitempty"`
	// Missing says what is missing here.
	Missing string `json:"missing,omitempty"`
}

// maxTrace bounds a recorded trace that is read, in bytes.
const maxTrace = 256 << 20

// verify executes every trace's run again.
func (a *app) verify(ctx context.Context, paths []string, f verifyFlags) error {
	p := newProgress(a.stderr)
	defer p.Done()
	var all []verified
	for _, path := range paths {
		files, err := tracesIn(path)
		if err != nil {
			return usage.Wrap(err)
		}
		for _, file := range files {
			v, err := a.verifyOne(ctx, file, f, p)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				v.Verdict, v.Missing = verifyUnable, err.Error()
			}
			all = append(all, v)
			p.Done()
			if f.format == "text" {
				a.printVerified(v)
			}
		}
	}
	for _, v := range all {
		switch v.Verdict {
		case verifyDiffers:
			a.code = max(a.code, grade.ExitFail)
		case verifyUnable:
			a.code = exitError
		}
	}
	if f.format == "json" {
		return a.json(map[string]any{"schema": "lab.verify/1", "results": all})
	}
	return nil
}

// printVerified prints what became of one trace.
func (a *app) printVerified(v verified) {
	fmt.Fprintf(a.stdout, "%s: %s\n", visible(v.Trace), v.Verdict)
	switch {
	case v.Difference != nil:
		fmt.Fprintf(a.stdout, "  %s\n", visible(v.Difference.Error()))
	case v.Missing != "":
		fmt.Fprintf(a.stdout, "  %s\n", visible(v.Missing))
	}
}

// tracesIn returns the traces that a path stands for.
func tracesIn(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var found []string
	err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == harness.TraceFile && d.Type().IsRegular() {
			found = append(found, at)
		}
		return err
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no %s in %s", harness.TraceFile, path)
	}
	return found, err
}

// verifyOne executes the run of one trace again. The error says why that cannot be
// done here.
func (a *app) verifyOne(ctx context.Context, path string, f verifyFlags, p *progress) (verified, error) {
	v := verified{Trace: path}
	recorded, err := readRecorded(path)
	if err != nil {
		return v, err
	}
	var h trace.Header
	first, _, _ := bytes.Cut(recorded, []byte("\n"))
	if err := json.Unmarshal(first, &h); err != nil {
		return v, fmt.Errorf("its first line is no header of a trace: %w", err)
	}
	v.Lab, v.Arch, v.Kernel = h.Lab, h.Arch, h.Kernel.Release
	job, err := a.recordedJob(ctx, h, f, p)
	if err != nil {
		return v, err
	}
	if err := a.sameInputs(ctx, &job, h, f, p); err != nil {
		return v, err
	}
	p.Say("executing %s on %s (%s) again", h.Lab, h.Kernel.Release, h.Arch)
	out, err := harness.Run(ctx, job)
	if err != nil {
		return v, err
	}
	if v.Difference, err = verify.Compare(out.Trace, recorded); err != nil {
		return v, err
	}
	v.Verdict = verifySame
	if v.Difference != nil {
		v.Verdict = verifyDiffers
	}
	return v, nil
}

func readRecorded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxTrace {
		return nil, fmt.Errorf("%s is no file of at most %d bytes", path, maxTrace)
	}
	return io.ReadAll(file)
}

// recordedJob is the run that a header describes, of the lab's own program.
func (a *app) recordedJob(ctx context.Context, h trace.Header, f verifyFlags, p *progress) (harness.Job, error) {
	var none harness.Job
	if h.Schema != trace.Schema {
		return none, fmt.Errorf("it has schema %q and this lab writes %q: it takes the lab that recorded it", h.Schema, trace.Schema)
	}
	name := h.Lab
	if f.lab != "" {
		name = f.lab
		if !strings.Contains(name, "/") {
			name = "./" + name
		}
	}
	l, err := getLab(name)
	if err != nil {
		return none, err
	}
	if _, err := arch.Lookup(h.Arch); err != nil {
		return none, err
	}
	t, err := a.recordedKernel(ctx, h, f, p)
	if err != nil {
		return none, err
	}
	m := prepare.Machine{Seed: h.Machine.Seed, CPUs: h.Machine.CPUs, Limit: h.Program.Limit}
	if m.CPUs < 1 || m.CPUs > prepare.MaxCPUs || m.Limit < 0 {
		return none, fmt.Errorf("its header asks for %d processors and a limit of %s", m.CPUs, m.Limit)
	}
	return a.host(p).Job(ctx, l, t, m)
}

// recordedKernel finds the kernel that a trace was recorded on.
func (a *app) recordedKernel(ctx context.Context, h trace.Header, f verifyFlags, p *progress) (prepare.Target, error) {
	spec := h.Kernel.Release
	var fetch prepare.Fetcher
	if f.kernel != "" {
		spec = f.kernel
	}
	cached, err := a.cache.Kernels(h.Arch)
	if err != nil {
		return prepare.Target{}, err
	}
	for _, k := range cached {
		if f.kernel == "" && k.SHA256 == h.Kernel.SHA256 {
			fetch = func(context.Context, string, string, images.Progress) (images.Kernel, error) { return k, nil }
		}
	}
	found, err := a.host(p).Open(ctx, prepare.Kernels{Arch: h.Arch, Names: []string{spec}, Fetch: fetch})
	if err != nil {
		return prepare.Target{}, fmt.Errorf("its kernel is not to be had: %w", err)
	}
	if sum := found[0].Image.SHA256; sum != h.Kernel.SHA256 {
		return prepare.Target{}, fmt.Errorf("its kernel %s has the SHA-256 %s, the one here has %s", h.Kernel.Release, h.Kernel.SHA256, sum)
	}
	return found[0], nil
}

// sameInputs sees to it that the job has what the trace was recorded with.
func (a *app) sameInputs(ctx context.Context, job *harness.Job, h trace.Header, f verifyFlags, p *progress) error {
	if f.submission != "" {
		l, err := getLab(h.Lab)
		if err != nil {
			return err
		}
		if err := a.submittedProgram(ctx, job, l, f.submission, p); err != nil {
			return err
		}
	}
	here, err := job.Header(ctx)
	if err != nil {
		return err
	}
	switch {
	case here.Machine.QEMU != h.Machine.QEMU:
		return fmt.Errorf("it was recorded with QEMU %s, this is %s: --qemu names another", h.Machine.QEMU, here.Machine.QEMU)
	case here.Machine.Initramfs != h.Machine.Initramfs:
		return fmt.Errorf("it was recorded with the initramfs %s, this lab's is %s: it takes the lab that recorded it", h.Machine.Initramfs, here.Machine.Initramfs)
	case here.Program.SHA256 != h.Program.SHA256 && f.submission != "":
		return fmt.Errorf("the program of %s is not the one that was run", f.submission)
	case here.Program.SHA256 != h.Program.SHA256:
		return errors.New("the program that was run is not this lab's own: name what was handed in with --submission DIR")
	}
	return nil
}

// submittedProgram makes the job one of a student's program.
func (a *app) submittedProgram(ctx context.Context, job *harness.Job, l labs.Lab, path string, p *progress) error {
	s, err := prepare.Submission(ctx, l, path)
	if err != nil {
		return err
	}
	if s.Program == nil {
		return fmt.Errorf("%s has no program", path)
	}
	run := prepare.Submitted(s, *job, a.compiler(ctx), p.Report)
	var program string
	var fault string
	program, fault, err = run.Compile(ctx, submission.Program(*s.Program))
	switch {
	case err != nil:
		return err
	case fault != "":
		return fmt.Errorf("the program of %s does not compile: %s", path, fault)
	}
	job.Program, job.Again = program, false
	return nil
}
