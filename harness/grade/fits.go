package grade

import "kernellab/harness/verdict"

// Fits returns the names, in res, of the checks and questions that a submission does not
// pass and that it would pass by the rules of another student's task. res is the result of
// s. The rules have the same checks in the same order.
func Fits(s Submitted, res verdict.Result, other Rules) []string {
	other.Answers, other.AnswersOnly, other.Hide = s.Rules.Answers, s.Rules.AnswersOnly, s.Rules.Hide
	s.Rules = other
	by := GradeSubmission(s)
	if len(by.Checks) != len(res.Checks) {
		return nil
	}
	var names []string
	for i, c := range res.Checks {
		if c.Verdict != verdict.Pass && by.Checks[i].Verdict == verdict.Pass {
			names = append(names, c.Name)
		}
	}
	return names
}
