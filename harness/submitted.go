package harness

import (
	"context"
	"fmt"
	"os"
	"slices"

	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/report/words"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/guest"
)

// Submitted is a run of what a student handed in: of the student's program, and
// where that does not show what the answers are compared with, of the lab's own.
type Submitted struct {
	Submission *submission.Submission
	// Own is the run of the lab's own program. The student's is run the same way.
	Own Job
	// Compile makes an executable of the student's program. fault is what the
	// compiler said when the student is at fault, "" when not.
	Compile func(context.Context, submission.Program) (path, fault string, err error)
	// Reference returns a run of the lab's own program, nil for making one: many
	// submissions may share it.
	Reference func(context.Context) (*trace.Trace, error)
	// Student is the student's ID, "" where it is not known.
	Student string
	// Fits returns findings for the instructor, about whose tasks the submission fits
	// in what is wrong by its own; nil for none.
	Fits func(grade.Submitted, verdict.Result) []verdict.Finding
}

// Rules returns what the submission is judged by: Own's rules with the answers.
func (s Submitted) Rules() grade.Rules {
	r := s.Own.Rules
	r.Answers = s.Submission.Answers
	r.AnswersOnly = s.Submission.Program == nil && s.Submission.Problem(submission.PartProgram) == nil
	return r
}

// Run runs and grades the submission. The outcome has the trace of the student's
// program, or nil when there was none to run; an error is never the student's
// fault. Own.Out receives what the student's program left, and that of the lab's
// own only where the student has none; and what is needed to grade it again.
func (s Submitted) Run(ctx context.Context) (*Outcome, error) {
	if err := sweepHandedIn(s.Own.Out); err != nil {
		return nil, err
	}
	rules := s.Rules()
	graded := grade.Submitted{Rules: rules}
	var remarks []string
	for _, p := range s.Submission.Problems {
		if p.Free {
			remarks = append(remarks, p.Error())
			continue
		}
		graded.Findings = append(graded.Findings, verdict.Finding{Kind: verdict.FindSubmission, Part: string(p.Part), Message: p.Error()})
	}
	if s.Own.Machine.Image != nil {
		graded.Kernel = s.Own.Machine.Image.Release
	}
	out := &Outcome{}
	var own *trace.Trace
	if program := s.Submission.Program; program != nil {
		a, err := s.program(ctx, *program, rules)
		switch {
		case err != nil:
			return nil, err
		case a.fault != nil:
			graded.Findings = append([]verdict.Finding{*a.fault}, graded.Findings...)
		default:
			out, graded.Trace = a.out, a.out.Trace
		}
		own = a.own
	}
	// What the run has settled needs no second look.
	settled := graded.Trace != nil && !slices.ContainsFunc(out.Result.Checks, func(c verdict.Check) bool {
		return c.Kind == verdict.KindQuestion && c.Verdict == verdict.Skip
	})
	if !settled && grade.NeedsReference(graded.Trace, rules, graded.Kernel) {
		var err error
		if graded.Reference = own; own == nil {
			graded.Reference, err = s.reference(ctx, out.Trace == nil)
		}
		if err != nil {
			return nil, fmt.Errorf("run the lab's own program, which the answers are compared with: %w", err)
		}
	}
	h := HandedIn{Student: s.Student, Variant: s.Own.Variant, Remarks: remarks, Notes: out.Result.Said()}
	// Else the run was graded by these rules, and by nothing else.
	if graded.Trace == nil || graded.Reference != nil || len(graded.Findings)+len(remarks) > 0 {
		out.Result = grade.GradeSubmission(graded)
		for _, n := range slices.Concat(h.Notes, remarks) {
			out.Result.AddNote(n)
		}
	}
	if s.Fits != nil {
		h.Fits = s.Fits(graded, out.Result)
		out.Result.Findings = append(out.Result.Findings, h.Fits...)
	}
	out.Result = words.Result(out.Result)
	if err := leaveHandedIn(s.Own.Out, h, graded); err != nil {
		return nil, err
	}
	return out, nil
}

// program compiles and runs the student's program, or runs the lab's own by the student's
// script.
func (s Submitted) program(ctx context.Context, p submission.Program, rules grade.Rules) (attempt, error) {
	if p.Language == submission.Script {
		job := s.Own
		job.Script, job.Stranger, job.Again, job.Rules = string(p.Source), true, false, rules
		return s.try(ctx, job)
	}
	path, said, err := s.Compile(ctx, p)
	if err != nil {
		return attempt{}, err
	}
	if said != "" {
		return attempt{fault: &verdict.Finding{Kind: verdict.FindCompile, Message: p.File + " does not compile", Text: said}}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return attempt{}, &machine.Error{Op: "read the program", Err: err}
	}
	if info.Size() > guest.MaxProgram {
		return attempt{fault: &verdict.Finding{Kind: verdict.FindCompile, Message: fmt.Sprintf("%s is a program of %d bytes, over the limit of %d", s.Own.ProgramName, info.Size(), guest.MaxProgram)}}, nil
	}
	job := s.Own
	job.Program, job.VariantArgs, job.Stranger, job.Again, job.Rules = path, nil, true, false, rules
	return s.try(ctx, job)
}

// try runs a job of the student's.
func (s Submitted) try(ctx context.Context, job Job) (attempt, error) {
	out, err := Run(ctx, job)
	if isDown(err) && ctx.Err() == nil {
		return s.blame(ctx, job, err)
	}
	return attempt{out: out}, err
}

// reference runs the lab's own program; alone says that no other program was run.
func (s Submitted) reference(ctx context.Context, alone bool) (*trace.Trace, error) {
	if s.Reference != nil {
		return s.Reference(ctx)
	}
	job := s.Own
	if !alone {
		job.Out, job.Began, job.Event = "", nil, nil
	}
	out, err := Run(ctx, job)
	if err != nil {
		return nil, err
	}
	return out.Trace, nil
}
