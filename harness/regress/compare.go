package regress

import (
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// The kinds of change.
const (
	KindVerdict = "verdict" // the lab passes, fails or cannot be graded
	KindCheck   = "check"   // a check passes or fails
	KindSymbol  = "symbol"  // a point resolved to another symbol
	KindPoint   = "point"   // a point exists or is hit, or no longer
	KindHits    = "hits"    // the number of hits of a point
	KindOrder   = "order"   // the order of a task's stops
	KindArgs    = "args"    // names or types of arguments
	KindField   = "field"   // offset, size or type of a member of a structure
	KindStack   = "stack"   // the child's stack at its first instruction
)

// Change is one difference.
type Change struct {
	Kind string `json:"kind"`
	Text string `json:"text"` // a clause: "ret_from_fork is now ret_from_fork_user_asm"
	// Regression says that something that passed no longer does.
	Regression bool `json:"regression,omitempty"`
}

// Comparison has the changes between two entries of one lab and architecture.
type Comparison struct {
	Lab    string `json:"lab"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"`
	// Against is the kernel of the baseline's entry: the same kernel or an older one;
	// "" if the baseline has neither.
	Against string   `json:"against"`
	Changes []Change `json:"changes"`
	// Known says that the lab failed before, too, and has no new failures.
	Known bool `json:"known_failure,omitempty"`
	// Sentence describes the comparison.
	Sentence string `json:"sentence"`
}

// Regressed reports whether something that passed no longer does.
func (c Comparison) Regressed() bool {
	return slices.ContainsFunc(c.Changes, func(ch Change) bool { return ch.Regression })
}

// Compare compares e with its entry in the baseline (see For). r is the result of e's
// run, which says why a check failed.
func (b Baseline) Compare(e Entry, r verdict.Result) Comparison {
	old, ok := b.For(e)
	c := Comparison{Lab: e.Lab, Arch: e.Arch, Kernel: e.Kernel, Changes: []Change{}}
	if !ok {
		c.Sentence = fmt.Sprintf("%s: the baseline has neither this kernel nor an older one to compare %s with", c.name(), e.Lab)
		return c
	}
	c.Against = old.Kernel
	d := &differ{old: old, new: e}
	d.verdict(r)
	if e.Verdict != verdict.Error {
		d.points()
		d.order()
		d.fields()
		d.stack()
	}
	c.Changes = append(c.Changes, d.changes...)
	c.Known = e.Verdict == verdict.Fail && old.Verdict == verdict.Fail && !c.Regressed()
	c.Sentence = c.sentence(d)
	return c
}

// name returns the subject of the sentence: "7.2.12 riscv64".
func (c Comparison) name() string {
	if c.Kernel == "" {
		return c.Arch
	}
	return short(c.Kernel) + " " + c.Arch
}

// sentence returns Sentence.
func (c Comparison) sentence(d *differ) string {
	subject := c.name()
	switch {
	case c.Against == c.Kernel:
	case short(c.Against) == short(c.Kernel):
		subject += fmt.Sprintf(" (%s against %s)", c.Kernel, c.Against)
	default:
		subject += " (against " + short(c.Against) + ")"
	}
	var clauses []string
	for _, ch := range c.Changes {
		clauses = append(clauses, ch.Text)
	}
	switch {
	case len(clauses) == 0 && c.Known:
		return fmt.Sprintf("%s: %s fails as before, nothing else changed", subject, c.Lab)
	case len(clauses) == 0:
		return fmt.Sprintf("%s: %s is unchanged", subject, c.Lab)
	case c.Known:
		clauses = append(clauses, c.Lab+" fails as before")
	}
	if d.sameStack {
		clauses = append(clauses, "the child's stack geometry is unchanged")
	}
	return subject + ": " + strings.Join(clauses, "; ")
}

// differ collects the changes between two entries.
type differ struct {
	old, new  Entry
	changes   []Change
	sameStack bool // the stacks were compared and are equal
}

func (d *differ) add(kind, format string, args ...any) {
	d.changes = append(d.changes, Change{Kind: kind, Text: fmt.Sprintf(format, args...)})
}

func (d *differ) regression(kind, format string, args ...any) {
	d.add(kind, format, args...)
	d.changes[len(d.changes)-1].Regression = true
}

// maxValues is the maximum length of a check's values in a clause. Longer ones, such as
// the order of all points, are left out.
const maxValues = 100

// verdict compares verdicts and checks.
func (d *differ) verdict(r verdict.Result) {
	r = words.Result(r)
	passed := d.old.Verdict == verdict.Pass
	switch lab := d.new.Lab; {
	case d.new.Verdict == verdict.Error:
		why, _, _ := strings.Cut(r.Error, "\n")
		did := map[bool]string{true: "passed", false: "failed"}[passed]
		d.regression(KindVerdict, "%s %s and now cannot be graded: %s", lab, did, why)
		return
	case passed && d.new.Verdict == verdict.Fail:
		why := ""
		if len(r.Findings) > 0 {
			why = ": " + strings.TrimSuffix(r.Findings[0].Message, ".")
		}
		d.regression(KindVerdict, "%s passed and now fails%s", lab, why)
	case !passed && d.new.Verdict == verdict.Pass:
		d.add(KindVerdict, "%s failed and now passes", lab)
	}
	for _, name := range d.new.Failed {
		if slices.Contains(d.old.Failed, name) {
			continue
		}
		i := slices.IndexFunc(r.Checks, func(c verdict.Check) bool { return c.Name == name })
		if i < 0 || r.Checks[i].Expected == "" || len(r.Checks[i].Expected)+len(r.Checks[i].Observed) > maxValues {
			d.regression(KindCheck, "“%s” passed and now fails", name)
			continue
		}
		d.regression(KindCheck, "“%s” passed and now fails: expected %s, observed %s", name, r.Checks[i].Expected, r.Checks[i].Observed)
	}
	for _, name := range d.old.Failed {
		if !slices.Contains(d.new.Failed, name) && d.new.Verdict == verdict.Fail {
			d.add(KindCheck, "“%s” failed and now passes", name)
		}
	}
}

// points compares the symbols of points, their numbers of hits and their arguments.
func (d *differ) points() {
	for _, n := range d.new.Points {
		o, ok := d.old.point(n.Point)
		if !ok {
			d.add(KindPoint, "%s is a new point of the lab", n.Point)
			continue
		}
		switch {
		case o.Symbol == n.Symbol:
		case o.Symbol == n.Point:
			d.add(KindSymbol, "%s is now %s", n.Point, n.Symbol)
		case n.Symbol == n.Point:
			d.add(KindSymbol, "%s is now a symbol of that name, was %s", n.Point, o.Symbol)
		default:
			d.add(KindSymbol, "%s is now %s, was %s", n.Point, n.Symbol, o.Symbol)
		}
		switch {
		case o.Hits == n.Hits:
		case n.Hits == 0:
			d.add(KindPoint, "%s is no longer hit (%s before)", n.Point, times(o.Hits))
		default:
			d.add(KindHits, "%s is hit %s, was %s", n.Point, times(n.Hits), times(o.Hits))
		}
		if o.Hits > 0 && n.Hits > 0 {
			d.args(n.Point, o.Args, n.Args)
		}
	}
	for _, o := range d.old.Points {
		if _, ok := d.new.point(o.Point); !ok {
			d.add(KindPoint, "%s is no longer a point of the lab", o.Point)
		}
	}
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// order compares the order of each task's stops, at points that both entries have.
func (d *differ) order() {
	for _, task := range keys(d.old.Order, d.new.Order) {
		was, is := common(d.old.Order[task], d.new.Order[task])
		for i := range min(len(was), len(is)) {
			if was[i] == is[i] {
				continue
			}
			d.add(KindOrder, "in the %s, %s now comes before %s", task, is[i], was[i])
			break
		}
	}
}

// common returns two lists without the elements that only one of them has, and
// without repetitions.
func common(a, b []string) (x, y []string) {
	in := func(list, other []string) (out []string) {
		for _, s := range list {
			if slices.Contains(other, s) && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		return out
	}
	return in(a, b), in(b, a)
}
