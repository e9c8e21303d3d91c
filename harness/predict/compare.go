package predict

import (
	"kernellab/harness/grade"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Row is a question with what was predicted and what a run shows.
type Row struct {
	Name   string `json:"question"`
	Prompt string `json:"prompt"`
	Copied bool   `json:"copied,omitempty"` // only a run shows the answer
	// Predicted is "" if the question is not answered.
	Predicted string `json:"predicted,omitempty"`
	// Seen is what the run shows; "" if nothing was predicted, or the run does not show
	// it.
	Seen string `json:"seen,omitempty"`
	// Verdict is Skip for a question that is not answered, whose truth the run does not
	// show, or whose result the lab hides.
	Verdict verdict.Verdict `json:"verdict"`
	// Why says why an answer is not compared.
	Why string `json:"why,omitempty"`
	// Misconceptions are what may be behind a wrong answer, a sentence each.
	Misconceptions []string `json:"misconceptions,omitempty"`
	// Read is what to read after a wrong answer.
	Read string `json:"read,omitempty"`
}

// Compare puts answers beside what a run of the lab's own program shows. Questions that
// the kernel does not pose are left out. What was seen is in the rows even if the lab
// does not reveal it in reports, because the run that the person has just made shows it.
// It is not in the row of a question whose result students do not see, or that is not
// answered.
func Compare(t *trace.Trace, rules grade.Rules, answers grade.Answers) []Row {
	rules.Answers = answers
	if answers == nil {
		rules.Answers = grade.Answers{} // asks the questions
	}
	truths := grade.Truths(t, rules)
	var rows []Row
	for _, c := range words.Result(grade.Grade(t, rules)).Checks {
		q, ok := rules.Question(c.Name)
		if c.Kind != verdict.KindQuestion || !ok {
			continue
		}
		row := Row{Name: c.Name, Prompt: c.Prompt, Copied: Copied(q), Verdict: verdict.Skip}
		given, answered := answers[q.Name].On(t.Header.Arch, t.Header.Kernel.Release)
		if answered {
			row.Predicted = q.Show(given)
		}
		switch {
		case !answered:
		case !c.Visibility.Always():
			row.Why = "The lab does not tell the result."
		case c.Verdict == verdict.Skip:
			row.Why = c.Observed
		default:
			row.Verdict, row.Seen = c.Verdict, truths[c.Name]
		}
		if row.Verdict == verdict.Fail {
			row.Read, row.Misconceptions = c.Read, c.Misconceptions
		}
		rows = append(rows, row)
	}
	return rows
}
