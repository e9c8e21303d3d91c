// Package marking grades submissions to a lab on kernels, each in a guest of its own.
// It is how package class grades one student.
package marking

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kernellab/harness"
	"kernellab/harness/class"
	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/variant"
	"kernellab/harness/verdict"
	"kernellab/harness/verify"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/internal/mapped"
	"kernellab/labs"
)

// Marker grades submissions. Its methods may be called by any number of goroutines.
type Marker struct {
	// Say takes a message about the snapshots. It may be set until a class is run.
	Say func(format string, args ...any)
	// Tasks says which task each student has. It may be set until a class is run.
	Tasks Tasks

	lab      labs.Lab
	limit    time.Duration // of the programs, by the guest's clock; 0 is the default
	percent  int           // of the submissions, that are run twice
	targets  []*target
	compiler *compile.Compiler
	cache    *images.Cache
	tool     string // hash of this program, which the labs are part of

	once   sync.Once
	all    []classTask // see tasks
	failed error
	graded sync.Map // the task of each student that was graded, a labs.Lab by name
}

// target is a kernel with what its guests need.
type target struct {
	prepare.Target
	digest string      // of the kernel
	own    harness.Job // the lab's own program's

	mu         sync.Mutex
	references map[string]*reference // by the task in words
}

// reference is a run of the lab's own program with one task.
type reference struct {
	sync.Mutex
	trace *trace.Trace
}

// New returns the Marker of a lab on the targets, and prepares their guests. percent
// of the submissions are run twice, and are not graded when the traces differ.
func New(ctx context.Context, h prepare.Host, l labs.Lab, targets []prepare.Target, machine prepare.Machine, percent int) (*Marker, error) {
	m := &Marker{Say: h.Progress.Say, lab: l, limit: machine.Limit, percent: percent, cache: h.Cache}
	store, err := h.Snapshots()
	if err != nil {
		return nil, err
	}
	store.Warn = func(text string) { m.Say("%s", text) }
	e, err := h.Emulator(ctx)
	if err != nil {
		return nil, err
	}
	h.WarnUnsound(ctx, e, targets)
	if m.compiler, err = compile.New(ctx, h.Cache); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err == nil {
		m.tool, err = store.Digest(ctx, self)
	}
	if err != nil {
		return nil, fmt.Errorf("identify this version of lab: %w", err)
	}
	for _, t := range targets {
		own, err := h.Job(ctx, l, t, machine)
		if err != nil {
			return nil, err
		}
		own.Machine.Snapshots = store
		m.targets = append(m.targets, &target{Target: t, digest: t.Image.SHA256, own: own})
	}
	return m, nil
}

// read reads a submission, and returns the lab with the task that it is graded by.
func (m *Marker) read(ctx context.Context, s class.Student) (labs.Lab, *submission.Submission, error) {
	if s.Unclear != "" {
		return m.lab, nil, fmt.Errorf("read the submission: %s", s.Unclear)
	}
	return m.Tasks.asked(s.Name).Read(m.lab, func(task labs.Lab) (*submission.Submission, error) {
		if s.Link {
			return m.refused(s, "the submission is a symbolic link, which is not followed: hand in the folder itself"), nil
		}
		return submission.Read(ctx, s.Path, task.Handed())
	})
}

// refused is a submission that is not read.
func (m *Marker) refused(s class.Student, why string) *submission.Submission {
	return submission.Refused(s.Name, &submission.Problem{Part: submission.PartAll, Message: why}, m.lab.Handed())
}

// identify returns what the student's result depends on.
func (m *Marker) identify(ctx context.Context, s class.Student) (class.Identity, error) {
	task, read, err := m.read(ctx, s)
	if err != nil {
		return class.Identity{}, err
	}
	id := class.Identity{Submission: read.Hash, Tool: m.tool, Variant: variant.Words(task.Chosen)}
	if m.limit > 0 {
		id.Limits = m.limit.String()
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
func (m *Marker) grade(ctx context.Context, s class.Student, dir string, stage func(string)) (verdict.Document, error) {
	doc := verdict.NewDocument()
	task, read, err := m.read(ctx, s)
	if err != nil {
		return doc, err
	}
	m.graded.Store(s.Name, task)
	for _, t := range m.targets {
		out := dir
		if len(m.targets) > 1 {
			out = filepath.Join(dir, t.Arch.Name+"."+t.Image.Release)
			if err := os.Mkdir(out, 0o755); err != nil {
				return doc, err
			}
		}
		run := m.submitted(t, task, read, out, stage)
		if len(m.lab.Variants) > 0 {
			run.Student, run.Fits = m.Tasks.id(s.Name), m.fits(t, task)
		}
		res, err := run.Run(ctx)
		if ctx.Err() != nil {
			return doc, context.Cause(ctx)
		}
		if err != nil {
			leave(out, err)
			doc.Results = append(doc.Results, grade.Failure(m.rules(t, task, read), t.Image.Release, m.cache.Advised(err)))
			continue
		}
		if err := m.repeat(ctx, t, s, task, read, res.Trace, stage); err != nil {
			if ctx.Err() != nil {
				return doc, context.Cause(ctx)
			}
			leave(out, err)
			doc.Results = append(doc.Results, grade.Failure(m.rules(t, task, read), t.Image.Release, m.cache.Advised(err)))
			continue
		}
		doc.Results = append(doc.Results, res.Result)
	}
	return doc, nil
}

// repeats reports whether a student's run is executed twice. The same students' are
// each time.
func (m *Marker) repeats(student string) bool {
	h := fnv.New32a()
	h.Write([]byte(student))
	return int(h.Sum32()%100) < m.percent
}

// repeat executes a submission's run again, if it repeats, and compares the traces:
// a mark for a run that does not repeat would be chance.
func (m *Marker) repeat(ctx context.Context, t *target, s class.Student, task labs.Lab, read *submission.Submission, first *trace.Trace, stage func(string)) error {
	if first == nil || !m.repeats(s.Name) {
		return nil
	}
	stage("executing the run again, to compare it")
	again, err := m.submitted(t, task, read, "", stage).Run(ctx)
	if err == nil && again.Trace == nil {
		err = errors.New("the program brought its machine down this time")
	}
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
	os.WriteFile(filepath.Join(dir, "error.txt"), []byte(machine.Describe(err, "")), 0o644) // the verdict says it too
}

// submitted is the run of a submission on a kernel.
func (m *Marker) submitted(t *target, task labs.Lab, s *submission.Submission, out string, stage func(string)) harness.Submitted {
	compiler := func() (*compile.Compiler, error) { return m.compiler, nil }
	run := prepare.Submitted(s, m.job(t, task, out, stage), compiler, nil)
	run.Reference = func(ctx context.Context) (*trace.Trace, error) { return m.reference(ctx, t, task) }
	return run
}

// feedback is what the student is to read.
func (m *Marker) feedback(s class.Student, doc verdict.Document) string {
	task := m.lab
	if l, ok := m.graded.Load(s.Name); ok {
		task = l.(labs.Lab)
	}
	return report.Feedback(doc, task.Rules(m.targets[0].Arch.Name))
}

// job is the run of the lab's own program with a task on a kernel.
func (m *Marker) job(t *target, task labs.Lab, out string, stage func(string)) harness.Job {
	j := t.own
	if task.Chosen != nil {
		j.Plan, j.Rules = task.Plan(t.Arch.Name), task.Rules(t.Arch.Name)
		j.Variant, j.VariantArgs = task.Chosen, task.OwnArgs()
	}
	j.Again, j.Out, j.Machine.Stage = false, out, stage
	return j
}

// rules are what a submission is judged by, for one that could not be.
func (m *Marker) rules(t *target, task labs.Lab, s *submission.Submission) grade.Rules {
	return harness.Submitted{Submission: s, Own: harness.Job{Rules: task.Rules(t.Arch.Name)}}.Rules()
}

// OwnError says that the lab's own program does not pass on a kernel of the class.
// What is wrong there would cost every student marks, so nobody is graded.
type OwnError struct {
	Lab, Kernel string
	// Image names the kernel to --kernel, and Arch to --arch.
	Image, Arch string
	Err         error
}

func (e *OwnError) Error() string {
	return fmt.Sprintf("nobody was graded: the lab's own program comes first, and it does not pass on %s: %v; lab run %s --kernel %s --arch %s shows more; mend that, or grade on another kernel",
		e.Kernel, e.Err, e.Lab, e.Image, e.Arch)
}

func (e *OwnError) Unwrap() error { return e.Err }

// Check runs the lab's own program once on every kernel, several at a time. The error
// joins an *OwnError for each kernel on which it does not pass; until Check returns nil,
// no submission can be graded fairly.
func (m *Marker) Check(ctx context.Context) error {
	errs := make([]error, len(m.targets))
	var g errgroup.Group
	g.SetLimit(harness.Room())
	for i, t := range m.targets {
		g.Go(func() error {
			m.Say("running the lab's own program on %s first", t.Name())
			err := mapped.Guard(func() error {
				_, err := m.reference(ctx, t, m.lab)
				return err
			})
			if err != nil {
				errs[i] = &OwnError{Lab: m.lab.Name, Kernel: t.Name(), Image: t.named(), Arch: t.Arch.Name, Err: err}
			}
			return nil
		})
	}
	g.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.Join(errs...)
}

// named is what --kernel finds the kernel by: its release in the cache, else its file.
func (t *target) named() string {
	if t.Target.Digest != "" {
		return t.Image.Release
	}
	return t.Path
}

// of returns the reference of a task.
func (t *target) of(task labs.Lab) *reference {
	t.mu.Lock()
	defer t.mu.Unlock()
	words := variant.Words(task.Chosen)
	if t.references[words] == nil {
		if t.references == nil {
			t.references = map[string]*reference{}
		}
		t.references[words] = &reference{}
	}
	return t.references[words]
}

// reference returns the trace of the lab's own program, run once a kernel and task:
// what the answers of those are compared with whose program does not show it.
func (m *Marker) reference(ctx context.Context, t *target, task labs.Lab) (*trace.Trace, error) {
	r := t.of(task)
	r.Lock()
	defer r.Unlock()
	if r.trace != nil {
		return r.trace, nil
	}
	out, err := harness.Run(ctx, m.job(t, task, "", nil))
	if err != nil {
		return nil, err
	}
	if out.Result.Verdict != verdict.Pass {
		return nil, errors.New(failing(out.Result))
	}
	r.trace = out.Trace
	return r.trace, nil
}

// tasks returns the tasks of the class, which it makes once.
func (m *Marker) tasks() ([]classTask, error) {
	m.once.Do(func() { m.all, m.failed = m.classTasks() })
	return m.all, m.failed
}

// failing says why a result is not a pass, in one line.
func failing(r verdict.Result) string {
	if r.Error != "" {
		return r.Error
	}
	text := fmt.Sprintf("its verdict is %s, %d of %d points", r.Verdict, r.Score, r.MaxScore)
	if len(r.Findings) > 0 {
		text += ": " + strings.TrimSuffix(r.Findings[0].Message, ".")
	}
	return text
}

// unable is the document of a submission that can not be graded at all.
func (m *Marker) unable(s class.Student, err error) verdict.Document {
	doc := verdict.NewDocument()
	for _, t := range m.targets {
		doc.Results = append(doc.Results, grade.Failure(m.rules(t, m.lab, m.refused(s, "")), t.Image.Release, m.cache.Advised(err)))
	}
	return doc
}
