package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Text writes a document for a person: every result and, if there are several, a table
// of results.
func Text(w io.Writer, doc verdict.Document, s Style) error {
	doc = words.Document(doc)
	p := newPage(w, s)
	for i, r := range doc.Results {
		if i > 0 {
			p.line("%s\n", p.dim.Render(strings.Repeat("─", p.width)))
		}
		p.heading(r.Lab, r.Title, r.Arch, r.Kernel, r.QEMU)
		for j, step := range r.Steps {
			p.step(j+1, step)
		}
		p.result(r)
	}
	p.table(doc)
	return p.err
}

// Live writes a run while it happens.
type Live struct {
	page     *page
	rules    grade.Rules
	follower *grade.Follower
	steps    int
	student  bool
	veil     redact.Veil
}

// Student hides what students may not see.
func (l *Live) Student() { l.student = true }

// Verbose shows the source position of each function of a backtrace, if it is known.
func (l *Live) Verbose() { l.page.verbose = true }

// NewLive returns a Live for a run that is graded by r.
func NewLive(w io.Writer, r grade.Rules, s Style) *Live {
	return &Live{page: newPage(w, s), rules: r}
}

// Kernel writes the heading of a run: the lab, architecture, kernel and QEMU.
func (l *Live) Kernel(h trace.Header) error {
	l.follower = grade.NewFollower(h, l.rules)
	l.veil = redact.NewVeil(l.rules.Unseen(h))
	l.steps = 0
	l.page.heading(l.rules.Lab, l.rules.Title, h.Arch, h.Kernel.Release, h.Machine.QEMU)
	return l.page.err
}

// Event writes an event if it is a step or evidence.
func (l *Live) Event(e trace.Event) error {
	if l.follower == nil {
		l.follower = grade.NewFollower(trace.Header{}, l.rules)
	}
	s, ok := l.follower.Step(e)
	if l.student {
		s = l.veil.Step(s)
	}
	s = words.Step(s)
	switch {
	case !ok, l.student && !s.Visibility.Always():
	case s.Evidence:
		l.page.step(0, s)
	default:
		l.steps++
		l.page.step(l.steps, s)
	}
	return l.page.err
}

// Result writes the verdict, after the steps.
func (l *Live) Result(r verdict.Result) error {
	if l.student {
		r = redact.Shown(verdict.NewDocument(r), verdict.Visible).Results[0]
	}
	l.page.result(words.Result(r))
	return l.page.err
}

func (p *page) heading(lab, title, arch, kernel, qemu string) {
	p.told = map[string]bool{}
	p.line("%s  %s", p.title.Render(plain(lab)), plain(title))
	var on []string
	for _, s := range []string{arch, prefix("Linux ", kernel), prefix("QEMU ", qemu)} {
		if s != "" {
			on = append(on, plain(s))
		}
	}
	p.line("%s\n", p.dim.Render(strings.Join(on, " · ")))
}

func prefix(what, s string) string {
	if s == "" {
		return ""
	}
	return what + s
}

const stepIndent = 5

// step writes one step. Evidence has the number 0.
func (p *page) step(number int, s verdict.Step) {
	mark := fmt.Sprintf("%3d", number)
	if number == 0 {
		mark = "  ·"
	}
	name, symbol := pad(plain(s.Point), 17), plain(s.Symbol)
	if s.Source != "" {
		symbol += "  " + plain(s.Source)
	}
	task := fmt.Sprintf("%d[%s]", s.PID, plain(s.Comm))
	if s.Role != "" {
		task = plain(s.Role) + " " + task
	}
	room := p.width - stepIndent - utf8.RuneCountInString(name) - 2 - utf8.RuneCountInString(task)
	if utf8.RuneCountInString(symbol) > room-2 {
		room = utf8.RuneCountInString(symbol) + 2
	}
	p.line("%s  %s  %s%s", p.dim.Render(mark), p.point.Render(name), p.dim.Render(pad(symbol, room)), task)
	if !p.told[s.Point] {
		p.text("", stepIndent, lipgloss.NewStyle(), plain(s.Means))
		if s.Why != "" {
			p.text("", stepIndent, p.dim, plain(fmt.Sprintf("(%s: %s)", s.Symbol, s.Why)))
		}
	}
	p.told[s.Point] = true
	widest := 0
	for _, v := range s.Values {
		widest = max(widest, utf8.RuneCountInString(plain(v.Name)))
	}
	for _, v := range s.Values {
		lead := strings.Repeat(" ", stepIndent+2) + p.dim.Render(plain(v.Name))
		p.text(lead, stepIndent+2+min(widest, 32)+2, p.value, plain(v.Text))
	}
	p.backtrace(s)
	p.stacks(s)
	p.line("")
}

// lifetime writes the lifetime of the lab's tasks, one line per event.
func (p *page) lifetime(r verdict.Result) {
	if len(r.Lifetime) == 0 {
		return
	}
	p.line("%s", p.title.Render("Lifetime"))
	for _, l := range r.Lifetime {
		p.line("  %s", plain(l))
	}
	p.line("")
}

// result writes everything except the steps.
func (p *page) result(r verdict.Result) {
	p.lifetime(r)
	checks := slices.DeleteFunc(slices.Clone(r.Checks), func(c verdict.Check) bool { return c.Kind == verdict.KindQuestion })
	if (r.Error == "" || r.Score > 0) && len(checks) > 0 {
		heading := "Checks"
		if r.Passed() && r.Summary != "" {
			heading = r.Summary
		}
		p.text("", 0, p.title, plain(heading))
		if why, score := noneMade(checks); why != "" {
			p.text("", 2, lipgloss.NewStyle(), fmt.Sprintf("– none of the %d checks was made, 0/%d: %s", len(checks), score, plain(why)))
			checks = nil
		}
		for _, c := range checks {
			p.check(c, r.Passed())
		}
		p.line("")
	}
	p.answers(r)
	if len(r.Findings) > 0 {
		p.line("%s", p.title.Render("What went wrong"))
		for i, f := range r.Findings {
			at := ""
			if f.Step > 0 {
				at = fmt.Sprintf("at step %d: ", f.Step)
			}
			p.text(fmt.Sprintf("%3d.", i+1), stepIndent, lipgloss.NewStyle(), at+plain(f.Message))
			for _, l := range textLines(f) {
				p.line("%s%s", strings.Repeat(" ", stepIndent), p.value.Render(l))
			}
		}
		p.line("")
	}
	for _, n := range r.Notes {
		p.text(p.warn.Render("  note"), 8, p.dim, plain(n))
	}
	if len(r.Notes) > 0 {
		p.line("")
	}
	p.verdict(r)
}

// check writes one check. With why it also explains a check that passes.
func (p *page) check(c verdict.Check, why bool) {
	mark := map[verdict.Verdict]string{
		verdict.Pass: p.good.Render("✓"), verdict.Fail: p.bad.Render("✗"), verdict.Skip: p.warn.Render("–"),
	}[c.Verdict]
	score := scoreOf(c)
	name, value := wrap(plain(c.Name), p.width-12), ""
	if len(name) == 0 {
		name = []string{""}
	}
	room := p.width - 4 - len(score) - 2
	if c.Verdict == verdict.Pass && len(c.Lines) == 0 {
		value = plain("expected " + c.Expected + ", observed " + c.Observed)
		if c.Expected == c.Observed {
			value = plain("expected and observed " + c.Observed)
		}
	}
	beside := len(name) == 1 && utf8.RuneCountInString(name[0])+2+utf8.RuneCountInString(value) <= room
	for i, l := range name {
		switch {
		case i > 0:
			p.line("    %s", l)
		case beside:
			gap := strings.Repeat(" ", room-utf8.RuneCountInString(l)-utf8.RuneCountInString(value))
			p.line("  %s %s%s%s  %s", mark, l, gap, p.value.Render(value), score)
		default:
			p.line("  %s %s  %s", mark, pad(l, room), score)
		}
	}
	if !beside {
		p.text("", 6, p.value, value)
	}
	if c.Verdict != verdict.Pass {
		if c.Expected != "" {
			p.text("      expected", 16, lipgloss.NewStyle(), plain(c.Expected))
		}
		p.text("      observed", 16, lipgloss.NewStyle(), plain(c.Observed))
	}
	for _, l := range c.Lines {
		style := map[verdict.Mark]lipgloss.Style{
			verdict.Good: p.good, verdict.Bad: p.bad, verdict.Missing: p.bad, verdict.Context: p.dim,
		}[l.Mark]
		p.line("      %s %s", style.Render(pad(label(l.Mark), 8)), plain(l.Text))
	}
	switch {
	case c.Verdict == verdict.Pass && why:
		p.text("", 6, p.dim, plain(c.Why))
	case c.Verdict != verdict.Pass && c.Why != "":
		p.text("      why", 16, p.dim, plain(c.Why))
	}
}

func (p *page) verdict(r verdict.Result) {
	word, style := "PASS", p.good
	switch r.Verdict {
	case verdict.Fail:
		word, style = "FAIL", p.bad
	case verdict.Error:
		word, style = "ERROR", p.warn
	}
	on := plain(r.Lab)
	for _, s := range []string{prefix("on ", r.Arch), prefix("Linux ", r.Kernel)} {
		if s != "" {
			on += " " + plain(s)
		}
	}
	if r.Duration > 0 {
		on += ", " + guestTime(r.Duration)
	}
	if r.Attempts > 1 {
		on += fmt.Sprintf(", %d attempts", r.Attempts)
	}
	p.line("%s  %d/%d  %s", style.Render(word), r.Score, r.MaxScore, on)
	if r.Error != "" {
		p.text("", 2, lipgloss.NewStyle(), "Could not be graded, which is not the program's fault: "+plain(r.Error))
	}
}

// guestTime returns the duration of a run by the guest's clock.
func guestTime(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms guest time", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s guest time", d.Seconds())
}

// table lists the verdicts of several results.
func (p *page) table(doc verdict.Document) {
	if len(doc.Results) == 0 {
		p.line("%s  nothing was graded", p.warn.Render("ERROR"))
	}
	if len(doc.Results) < 2 {
		return
	}
	widest := 0
	for _, r := range doc.Results {
		widest = max(widest, utf8.RuneCountInString(plain(r.Lab)))
	}
	p.line("\n%s", p.title.Render("Results"))
	for _, r := range doc.Results {
		style := map[verdict.Verdict]lipgloss.Style{verdict.Pass: p.good, verdict.Fail: p.bad, verdict.Error: p.warn}[r.Verdict]
		p.line("  %s %s  %-8s %3d/%-3d  %s", style.Render(pad(string(r.Verdict), 5)), pad(plain(r.Lab), widest), plain(r.Arch), r.Score, r.MaxScore, plain(r.Kernel))
	}
}
