package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"kernellab/harness"
	"kernellab/harness/class"
	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/snapshot"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verify"
	"kernellab/images"
	"kernellab/labs"
)

// marker grades submissions to a lab on some kernels. Its methods may be called by
// any number of goroutines.
type marker struct {
	app      *app
	lab      labs.Lab
	targets  []*markTarget
	store    *snapshot.Store
	compiler *images.Compiler
	tool     string // hash of this program, which the labs are part of
	flags    prepare.Machine
	verify   int // per cent of the submissions that are run twice
	jobs     int // submissions at a time
	say      func(format string, args ...any)
}

// markTarget is a kernel with what its guests need.
type markTarget struct {
	prepare.Target
	digest string      // of the kernel
	own    harness.Job // the lab's own program's

	mu        sync.Mutex
	reference *trace.Trace // a run of the lab's own program
}

// newMarker prepares the kernels.
func (a *app) newMarker(ctx context.Context, l labs.Lab, targets []prepare.Target, f gradeFlags, p *progress) (*marker, error) {
	m := &marker{app: a, lab: l, flags: f.Machine, verify: f.verify.percent, jobs: f.atOnce()}
	var err error
	if m.store, err = a.host(p).Snapshots(); err != nil {
		return nil, err
	}
	e, err := a.host(p).Emulator(ctx)
	if err != nil {
		return nil, err
	}
	a.host(p).WarnUnsound(ctx, e, targets)
	m.store.Warn = func(text string) { m.say("%s", text) }
	m.say = p.Say
	if m.compiler, err = a.cache.Compiler(ctx); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err == nil {
		m.tool, err = m.store.Digest(ctx, self)
	}
	if err != nil {
		return nil, fmt.Errorf("tell this version of lab from others: %w", err)
	}
	for _, t := range targets {
		mt := &markTarget{Target: t, digest: t.Image.SHA256}
		if mt.own, err = a.host(p).Job(ctx, l, t, f.Machine); err != nil {
			return nil, err
		}
		mt.own.Machine.Snapshots = m.store
		m.targets = append(m.targets, mt)
	}
	return m, nil
}

// kernels names them.
func (m *marker) kernels() string {
	var names []string
	for _, t := range m.targets {
		names = append(names, t.Name())
	}
	return strings.Join(names, ", ")
}

// read reads a submission.
func (m *marker) read(ctx context.Context, s class.Student) (*submission.Submission, error) {
	if s.Link {
		return m.refused(s, "the submission is a symbolic link, which is not followed: hand in the folder itself"), nil
	}
	return submission.Read(ctx, s.Path, m.lab.Handed())
}

// refused is a submission that is not read.
func (m *marker) refused(s class.Student, why string) *submission.Submission {
	return submission.Refused(s.Name, &submission.Problem{Part: submission.PartAll, Message: why}, m.lab.Handed())
}

// identify returns what the student's result depends on.
func (m *marker) identify(ctx context.Context, s class.Student) (class.Identity, error) {
	read, err := m.read(ctx, s)
	if err != nil {
		return class.Identity{}, err
	}
	id := class.Identity{Submission: read.Hash, Tool: m.tool}
	if m.flags.Limit > 0 {
		id.Limits = m.flags.Limit.String()
	}
	for _, t := range m.targets {
		machine := t.own.Machine
		version, err := machine.Version(ctx)
		if err != nil {
			return class.Identity{}, err
		}
		id.Kernels = append(id.Kernels, fmt.Sprintf("%s %s %s", t.Arch.Name, t.Image.Release, t.digest))
		id.Machines = append(id.Machines, fmt.Sprintf("QEMU %s, seed %d, %d processor(s)", version, machine.Seed, machine.CPUs))
	}
	return id, nil
}

// grade grades a submission on every kernel.
func (m *marker) grade(ctx context.Context, s class.Student, dir string, stage func(string)) (grade.Document, error) {
	doc := grade.NewDocument()
	read, err := m.read(ctx, s)
	if err != nil {
		return doc, err
	}
	for _, t := range m.targets {
		out := dir
		if len(m.targets) > 1 {
			out = filepath.Join(dir, t.Arch.Name+"."+t.Image.Release)
			if err := os.Mkdir(out, 0o755); err != nil {
				return doc, err
			}
		}
		res, err := m.submitted(t, read, out, stage).Run(ctx)
		if ctx.Err() != nil {
			return doc, context.Cause(ctx)
		}
		if err != nil {
			leave(out, err)
			doc.Results = append(doc.Results, grade.Failure(m.rules(t, read), t.Image.Release, err))
			continue
		}
		if err := m.repeat(ctx, t, s, read, res.Trace, stage); err != nil {
			if ctx.Err() != nil {
				return doc, context.Cause(ctx)
			}
			leave(out, err)
			doc.Results = append(doc.Results, grade.Failure(m.rules(t, read), t.Image.Release, err))
			continue
		}
		doc.Results = append(doc.Results, res.Result)
	}
	return doc, nil
}

// repeat executes a submission's run again, if it is in the share of --verify, and
// compares the traces. A mark on a run that does not repeat would be chance.
func (m *marker) repeat(ctx context.Context, t *markTarget, s class.Student, read *submission.Submission, first *trace.Trace, stage func(string)) error {
	h := fnv.New32a()
	h.Write([]byte(s.Name))
	if first == nil || int(h.Sum32()%100) >= m.verify {
		return nil
	}
	stage("executing the run again, to compare it")
	again, err := m.submitted(t, read, "", stage).Run(ctx)
	if err != nil {
		return fmt.Errorf("execute the run again: %w", err)
	}
	d, err := verify.Repeats(first, again.Trace)
	if err == nil && d != nil {
		err = fmt.Errorf("the run does not repeat: %w", d)
	}
	return err
}

// leave keeps with the evidence why there is no verdict.
func leave(dir string, err error) {
	text := err.Error() + "\n"
	for _, line := range machine.Console(err) {
		text += "| " + line + "\n"
	}
	os.WriteFile(filepath.Join(dir, "error.txt"), []byte(text), 0o644) // the verdict says it too
}

// submitted is the run of a submission on a kernel.
func (m *marker) submitted(t *markTarget, s *submission.Submission, out string, stage func(string)) harness.Submitted {
	compiler := func() (*images.Compiler, error) { return m.compiler, nil }
	run := prepare.Submitted(s, m.job(t, out, stage), compiler, nil)
	run.Reference = func(ctx context.Context) (*trace.Trace, error) { return m.reference(ctx, t) }
	return run
}

// feedback is what the student is to read.
func (m *marker) feedback(s class.Student, doc grade.Document) string {
	return report.Feedback(doc, m.lab.Rules(m.targets[0].Arch.Name))
}

// job is the run of the lab's own program on a kernel.
func (m *marker) job(t *markTarget, out string, stage func(string)) harness.Job {
	j := t.own
	j.Again, j.Out, j.Machine.Stage = false, out, stage
	return j
}

// rules are what a submission is judged by, for one that could not be.
func (m *marker) rules(t *markTarget, s *submission.Submission) grade.Rules {
	return harness.Submitted{Submission: s, Own: harness.Job{Rules: m.lab.Rules(t.Arch.Name)}}.Rules()
}

// reference returns the trace of the lab's own program, run once a kernel: what
// the answers of those are compared with whose program does not show it.
func (m *marker) reference(ctx context.Context, t *markTarget) (*trace.Trace, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reference != nil {
		return t.reference, nil
	}
	out, err := harness.Run(ctx, m.job(t, "", nil))
	if err != nil {
		return nil, err
	}
	if out.Result.Verdict != grade.Pass {
		return nil, fmt.Errorf("the lab's own program does not pass on %s: %s", t.Image.Release, out.Result.Verdict)
	}
	t.reference = out.Trace
	return t.reference, nil
}

// unable is the document of a submission that can not be graded at all.
func (m *marker) unable(s class.Student, err error) grade.Document {
	doc := grade.NewDocument()
	for _, t := range m.targets {
		doc.Results = append(doc.Results, grade.Failure(m.rules(t, m.refused(s, "")), t.Image.Release, err))
	}
	return doc
}
