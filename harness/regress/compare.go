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
	KindVerdict = "verdict" // passes, fails, can not be graded
	KindCheck   = "check"   // a check holds, or not
	KindSymbol  = "symbol"  // a point resolved to another symbol
	KindPoint   = "point"   // a point is there, or is hit, or not
	KindHits    = "hits"    // a point is hit another number of times
	KindOrder   = "order"   // the stops of a task come in another order
	KindArgs    = "args"    // names or types of arguments
	KindField   = "field"   // where a member of a structure lies
	KindStack   = "stack"   // the child's stack at its first instruction
)

// Change is one difference, told in a clause: "ret_from_fork is now
// ret_from_fork_user_asm".
type Change struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
	// Regression says that something that passed no longer does.
	Regression bool `json:"regression,omitempty"`
}

// Comparison is what changed between two entries of one lab and architecture.
type Comparison struct {
	Lab    string `json:"lab"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"`
	// Against is the kernel it was compared with: the same, or an older one; ""
	// when the baseline has neither.
	Against string   `json:"against"`
	Changes []Change `json:"changes"`
	// Known says that the lab fails as it failed before.
	Known bool `json:"known_failure,omitempty"`
	// Sentence tells it all.
	Sentence string `json:"sentence"`
}

// Regressed reports whether something that passed no longer does.
func (c Comparison) Regressed() bool {
	return slices.ContainsFunc(c.Changes, func(ch Change) bool { return ch.Regression })
}

// Compare finds what is to be compared with e in the baseline, and what changed.
// r is the verdict of e's run, which tells why a check does not hold.
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
	c.Sentence = c.tell(d)
	return c
}

// name is the subject of the sentence: "7.2.12 riscv64".
func (c Comparison) name() string {
	if c.Kernel == "" {
		return c.Arch
	}
	return short(c.Kernel) + " " + c.Arch
}

// tell makes the sentence.
func (c Comparison) tell(d *differ) string {
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
		return fmt.Sprintf("%s: %s fails as it did, nothing else changed", subject, c.Lab)
	case len(clauses) == 0:
		return fmt.Sprintf("%s: %s shows nothing else than before", subject, c.Lab)
	case c.Known:
		clauses = append(clauses, c.Lab+" fails as it did")
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
	sameStack bool // the geometry was compared and is the same
}

func (d *differ) add(kind, format string, args ...any) {
	d.changes = append(d.changes, Change{Kind: kind, Text: fmt.Sprintf(format, args...)})
}

func (d *differ) regression(kind, format string, args ...any) {
	d.add(kind, format, args...)
	d.changes[len(d.changes)-1].Regression = true
}

// mostValues is how long the values of a check may be to stand in a clause; the
// order of all points is told by what changed in it.
const mostValues = 100

// verdict compares verdicts and checks.
func (d *differ) verdict(r verdict.Result) {
	r = words.Result(r)
	passed := d.old.Verdict == verdict.Pass
	switch lab := d.new.Lab; {
	case d.new.Verdict == verdict.Error:
		why, _, _ := strings.Cut(r.Error, "\n")
		did := map[bool]string{true: "passed", false: "failed"}[passed]
		// It is not known whether it passes: that counts as no longer.
		d.regression(KindVerdict, "%s %s and now can not be graded: %s", lab, did, why)
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
		if i < 0 || r.Checks[i].Expected == "" || len(r.Checks[i].Expected)+len(r.Checks[i].Observed) > mostValues {
			d.regression(KindCheck, "“%s” held and no longer does", name)
			continue
		}
		d.regression(KindCheck, "“%s” held and no longer does: expected %s, observed %s", name, r.Checks[i].Expected, r.Checks[i].Observed)
	}
	for _, name := range d.old.Failed {
		if !slices.Contains(d.new.Failed, name) && d.new.Verdict == verdict.Fail {
			d.add(KindCheck, "“%s” did not hold and now does", name)
		}
	}
}

// points compares what points resolved to, how often they were hit, and with
// which arguments.
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
			d.add(KindPoint, "%s is no point of the lab any more", o.Point)
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

// order compares the order of each task's stops: the points that both have.
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

// common returns what is left of two lists without what only one of them has,
// and without repetitions, which the number of hits tells.
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
