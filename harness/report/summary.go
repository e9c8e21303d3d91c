package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"kernellab/harness/verdict"
)

// ClassSchema names the summary of a class and its version.
const ClassSchema = "lab.class/1"

// ClassSummary is the summary of a class for its instructor.
type ClassSummary struct {
	Schema    string        `json:"schema"`
	Lab       string        `json:"lab"`
	Students  int           `json:"students"`
	Passed    int           `json:"passed"`
	Failed    int           `json:"failed"`
	NotGraded int           `json:"not_graded"`
	MaxScore  int           `json:"max_score"`
	Took      time.Duration `json:"took_ns"` // all submissions together
	// Scores are those of graded submissions, nil if there are none.
	Scores       *Scores  `json:"scores,omitempty"`
	Distribution []Bucket `json:"distribution"`
	// Questions are those that most need teaching first.
	Questions []QuestionRate `json:"questions"`
	Checks    []CheckRate    `json:"checks"` // the hardest first
	Findings  []Common       `json:"findings"`
	Suspects  []Suspect      `json:"suspects"`
	Ungraded  []NotGradable  `json:"ungraded"`
}

// Scores describes the distribution of a class's scores.
type Scores struct {
	Mean          float64 `json:"mean"`
	Deviation     float64 `json:"deviation"` // standard deviation of the population
	Min           int     `json:"min"`
	LowerQuartile float64 `json:"lower_quartile"`
	Median        float64 `json:"median"`
	UpperQuartile float64 `json:"upper_quartile"`
	Max           int     `json:"max"`
}

// Bucket is the number of students who scored at least From and less than To percent.
// The last bucket includes 100.
type Bucket struct {
	From     int `json:"from"`
	To       int `json:"to"`
	Students int `json:"students"`
}

// CheckRate is the result of a check or question in the class.
type CheckRate struct {
	Arch    string  `json:"arch"`
	Name    string  `json:"name"`
	Graded  int     `json:"graded"`
	Passed  int     `json:"passed"`
	Percent float64 `json:"percent"` // passed of graded
}

// Common is a first finding that several students share.
type Common struct {
	Kind     string   `json:"kind"`
	Message  string   `json:"message"` // that of one student
	Students []string `json:"students"`
}

// Suspect is a result that may be caused by the harness, the lab or the host rather
// than by the students.
type Suspect struct {
	Kind     string   `json:"kind"`
	Message  string   `json:"message"`
	Students []string `json:"students"`
}

// The kinds of suspect.
const (
	SuspectUngraded = "not-graded"      // could not be graded, with the same cause
	SuspectRetried  = "second-try"      // graded at the second attempt
	SuspectNobody   = "nobody-passes"   // a check that nobody passes
	SuspectTimeouts = "many-timeouts"   // more than a fifth of the class took too long
	SuspectKernels  = "kernels-differ"  // a check that passes on one kernel and fails on another
	SuspectSameFail = "one-same-answer" // more than half of the class has the same failure
)

// NotGradable is a student who was not graded, and why.
type NotGradable struct {
	Student string `json:"student"`
	Error   string `json:"error"`
}

// enough is the number of students from which on statistics about a check are useful.
const enough = 5

// Encode writes the summary as indented JSON.
func (s ClassSummary) Encode(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

// Summary sums up a class.
func (c Class) Summary() ClassSummary {
	c = c.written()
	s := ClassSummary{
		Schema: ClassSchema, Lab: c.Lab, Students: len(c.Students),
		Distribution: []Bucket{}, Questions: []QuestionRate{}, Checks: []CheckRate{}, Findings: []Common{}, Suspects: []Suspect{}, Ungraded: []NotGradable{},
	}
	var scores []int
	var parts []float64
	for _, g := range c.Students {
		s.Took += g.Took
		score, of, graded := g.Score()
		s.MaxScore = max(s.MaxScore, of)
		switch g.Verdict() {
		case verdict.Pass:
			s.Passed++
		case verdict.Fail:
			s.Failed++
		default:
			s.NotGraded++
			s.Ungraded = append(s.Ungraded, NotGradable{Student: g.Student, Error: g.Cause()})
		}
		if graded {
			scores = append(scores, score)
			parts = append(parts, percent(float64(score), float64(of)))
		}
	}
	s.Scores, s.Distribution = spread(scores), buckets(parts)
	s.Questions = c.questions()
	s.Checks = c.rates()
	s.Findings = c.common()
	s.Suspects = c.suspects(s)
	return s
}

func spread(scores []int) *Scores {
	if len(scores) == 0 {
		return nil
	}
	slices.Sort(scores)
	n := float64(len(scores))
	var sum, squares float64
	for _, v := range scores {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	mean := sum / n
	return &Scores{
		Mean: hundredth(mean), Deviation: hundredth(math.Sqrt(max(squares/n-mean*mean, 0))),
		Min: scores[0], Max: scores[len(scores)-1],
		LowerQuartile: quantile(scores, 0.25), Median: quantile(scores, 0.5), UpperQuartile: quantile(scores, 0.75),
	}
}

// quantile returns a quantile of sorted values, with linear interpolation.
func quantile(sorted []int, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return hundredth(float64(sorted[low]) + (at-float64(low))*float64(sorted[high]-sorted[low]))
}

func hundredth(v float64) float64 { return math.Round(v*100) / 100 }

// buckets counts percentages by tens.
func buckets(parts []float64) []Bucket {
	out := make([]Bucket, 10)
	for i := range out {
		out[i] = Bucket{From: 10 * i, To: 10 * (i + 1)}
	}
	for _, p := range parts {
		out[min(int(p/10), 9)].Students++
	}
	return out
}

// rates returns the checks of the class, sorted by the share of students who pass.
func (c Class) rates() []CheckRate {
	columns, _ := c.columns()
	out := make([]CheckRate, len(columns))
	for i, col := range columns {
		out[i] = CheckRate{Arch: col.arch, Name: plain(col.name)}
	}
	for _, g := range c.Students {
		tallies := g.tallies()
		for i, col := range columns {
			if t, ok := tallies[col]; ok && t.graded {
				out[i].Graded++
				if t.passed {
					out[i].Passed++
				}
			}
		}
	}
	for i := range out {
		out[i].Percent = percent(float64(out[i].Passed), float64(out[i].Graded))
	}
	slices.SortStableFunc(out, func(a, b CheckRate) int { return cmp.Compare(a.Percent, b.Percent) })
	return out
}

// particular matches the parts of an error that may differ although the cause is the
// same: numbers and quoted text.
var particular = regexp.MustCompile(`"[^"]*"|0x[0-9a-f]+|[0-9]+(\.[0-9]+)?`)

func alike(s string) string { return particular.ReplaceAllString(s, "#") }

// group is a group of students with the same key.
type group struct {
	example  string
	kind     string
	students []string
}

// grouped groups students by the key that of returns, the largest group first.
func grouped(c Class, of func(Graded) (key, kind, text string)) []group {
	groups := map[string]*group{}
	for _, g := range c.Students {
		key, kind, text := of(g)
		if key == "" {
			continue
		}
		if groups[key] == nil {
			groups[key] = &group{example: text, kind: kind}
		}
		groups[key].students = append(groups[key].students, plain(g.Student))
	}
	var out []group
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, *groups[key])
	}
	slices.SortStableFunc(out, func(a, b group) int { return cmp.Compare(len(b.students), len(a.students)) })
	return out
}

// common returns the first findings, the most frequent first.
func (c Class) common() []Common {
	out := []Common{}
	for _, g := range grouped(c, firstFinding) {
		out = append(out, Common{Kind: g.kind, Message: g.example, Students: g.students})
	}
	return out
}

// firstFinding returns a student's first finding. The key does not depend on numbers or
// on the outputs of programs.
func firstFinding(g Graded) (key, kind, text string) {
	for _, r := range g.Document.Results {
		if len(r.Findings) > 0 && r.Verdict == verdict.Fail {
			f := r.Findings[0]
			return findingKey(f), f.Kind, plain(f.Message)
		}
	}
	return "", "", ""
}

func findingKey(f verdict.Finding) string {
	parts := []string{f.Kind, f.Case, f.Part, f.Check, f.Point, f.Other, f.After, f.Role}
	for _, list := range [][]string{f.Checks, f.Questions, f.Points} {
		parts = append(parts, strings.Join(list, ","))
	}
	if f.End != nil {
		parts = append(parts, f.End.Signal)
	}
	if f.Case == "" {
		parts = append(parts, alike(f.Message))
	}
	return strings.Join(parts, "\x00")
}

// suspects returns results that an instructor should check before publishing marks.
func (c Class) suspects(s ClassSummary) []Suspect {
	out := []Suspect{}
	add := func(kind string, students []string, format string, args ...any) {
		out = append(out, Suspect{Kind: kind, Message: fmt.Sprintf(format, args...), Students: students})
	}
	for _, g := range grouped(c, func(g Graded) (string, string, string) { return alike(g.Cause()), "", g.Cause() }) {
		add(SuspectUngraded, g.students, "%s could not be graded: %s", plural(len(g.students), "submission"), g.example)
	}
	var retried, slow []string
	for _, g := range c.Students {
		if g.Attempts > 1 && g.Verdict() != verdict.Error {
			retried = append(retried, plain(g.Student))
		}
		if _, kind, _ := firstFinding(g); kind == verdict.FindTimeout {
			slow = append(slow, plain(g.Student))
		}
	}
	if len(retried) > 0 {
		add(SuspectRetried, retried, "%s graded at the second attempt: the first failed, which is not the student's fault", plural(len(retried), "submission"))
	}
	graded := s.Passed + s.Failed
	if len(slow) >= enough && 5*len(slow) > graded {
		add(SuspectTimeouts, slow, "%d of %d programs took too long: the host may be too slow, see --timeout", len(slow), graded)
	}
	if none := unpassed(s.Checks); len(none) > 0 {
		add(SuspectNobody, []string{}, "nobody passes %s: check the lab and the kernel first", strings.Join(none, ", "))
	}
	if g := grouped(c, firstFinding); len(g) > 0 && len(g[0].students) >= enough && 2*len(g[0].students) > graded {
		add(SuspectSameFail, g[0].students, "more than half of the class fails in the same way: %s", g[0].example)
	}
	for _, name := range c.differing() {
		add(SuspectKernels, name.students, "%q passes on one kernel and fails on another: the program may depend on timing, or the lab on the kernel", name.example)
	}
	return out
}

// unpassed returns the names of the checks that nobody passes.
func unpassed(checks []CheckRate) []string {
	var out []string
	for _, r := range checks {
		if r.Graded >= enough && r.Passed == 0 {
			out = append(out, fmt.Sprintf("%q (%s)", r.Name, or(r.Arch)))
		}
	}
	return out
}

// differing returns the checks that the same submission passes on one kernel and
// fails on another. It compares checks of different architectures by name, but not
// questions, whose answers differ between kernels.
func (c Class) differing() []group {
	return grouped(c, func(g Graded) (string, string, string) {
		passed := map[string]bool{}
		for _, r := range g.Document.Results {
			for _, check := range r.Checks {
				if r.Verdict == verdict.Error || check.Kind != "" {
					continue
				}
				holds := check.Verdict == verdict.Pass
				if before, ok := passed[check.Name]; ok && before != holds {
					return check.Name, "", plain(check.Name)
				}
				passed[check.Name] = holds
			}
		}
		return "", "", ""
	})
}
