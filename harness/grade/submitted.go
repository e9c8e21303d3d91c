package grade

import (
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Submitted is what is graded of a submission.
type Submitted struct {
	Rules Rules // with the answers, or nil for none asked
	// Trace is the run of the student's program; nil when there is none that
	// could be run.
	Trace *trace.Trace
	// Reference is a run of the lab's own program, for the answers whose truth
	// Trace does not show. NeedsReference says when it is wanted.
	Reference *trace.Trace
	// Findings are what is wrong with what was handed in.
	Findings []verdict.Finding
	// Kernel and QEMU stand in the result when there is no trace at all.
	Kernel, QEMU string
}

// GradeSubmission judges a submission. What could not be run scores nothing, and
// the answers count all the same.
func GradeSubmission(s Submitted) verdict.Result { return marked(gradeSubmission(s)) }

func gradeSubmission(s Submitted) (verdict.Result, secrets) {
	var reference *view
	var lost error
	if s.Reference != nil {
		if reference, lost = newView(s.Reference, s.Rules); lost != nil {
			reference = nil
		}
	}
	if s.Trace != nil {
		return grade(s.Trace, reference, s.Rules, s.Findings)
	}
	rules := s.Rules
	if s.Reference != nil {
		rules = rules.here(s.Reference)
	}
	res := newResult(rules)
	res.Remarks = append(res.Remarks, rules.notes...)
	res.Kernel, res.QEMU = s.Kernel, s.QEMU
	if s.Reference != nil {
		h := s.Reference.Header
		res.Kernel, res.QEMU, res.Arch = h.Kernel.Release, h.Machine.QEMU, h.Arch
	}
	if lost != nil {
		return failed(res, "the lab's own program, which the answers are compared with: %v", lost), secrets{}
	}
	g := &grader{view: &view{trace: &trace.Trace{}, rules: rules}, result: &res, absent: true}
	none := verdict.CaseNoProgram
	for _, f := range s.Findings {
		g.findings = append(g.findings, placed{Finding: f})
		if f.Kind == verdict.FindMachine {
			none = verdict.CaseMachineDown
		}
	}
	for i := range res.Checks {
		res.Checks[i].Got = &verdict.Fact{Case: none}
	}
	if err := s.Rules.Validate(); err != nil {
		return failed(res, "the rules of lab %s do not hold: %v", s.Rules.Lab, err), secrets{}
	}
	g.answers(reference)
	hidden := g.finish()
	if res.Verdict != verdict.Error && len(res.Checks) == 0 {
		return failed(res, "the lab asks for nothing that could be graded"), secrets{}
	}
	return res, hidden
}
