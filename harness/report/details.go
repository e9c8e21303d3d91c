package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/verdict"
)

// details writes the steps that were asked for: what each means, all its values, and
// its stack.
func (p *page) details(arch string, steps []verdict.Step) {
	told := map[string]bool{}        // points whose meaning has been written
	before := map[int]verdict.Step{} // each task's last step, by pid
	number := 0
	for i, s := range steps {
		if !s.Evidence {
			number++
		}
		if !p.verbose && !slices.Contains(p.detailed, s.Point) {
			continue
		}
		n := number
		if s.Evidence {
			n = 0
		}
		p.detail(n, s, told)
		p.backtrace(s, before[s.PID])
		before[s.PID] = s
		if len(s.Stacks) == 2 {
			p.stacks(arch, s, steps[:i])
		}
		p.gap()
	}
}

// detail writes a step but for its stacks. Evidence has the number 0.
func (p *page) detail(number int, s verdict.Step, told map[string]bool) {
	mark := fmt.Sprintf("%3d", number)
	if number == 0 {
		mark = "  ·"
	}
	name, symbol := plain(s.Point), ""
	if s.Symbol != s.Point {
		symbol = plain(s.Symbol)
	}
	if s.Source != "" {
		symbol = strings.TrimSpace(symbol + "  " + plain(s.Source))
	}
	who := task(s)
	if s.Role != "" {
		who = plain(s.Role) + " " + who
	}
	p.line("%s  %s  %s", p.dim.Render(mark), p.point.Render(name), who)
	if symbol != "" {
		p.text("", stepIndent, p.dim, symbol)
	}
	if !told[s.Point] {
		p.text("", stepIndent, lipgloss.NewStyle(), plain(s.Means))
		if s.Why != "" {
			p.text("", stepIndent, p.dim, plain(fmt.Sprintf("(%s: %s)", s.Symbol, s.Why)))
		}
	}
	told[s.Point] = true
	widest := 0
	for _, v := range s.Values {
		widest = max(widest, utf8.RuneCountInString(plain(v.Name)))
	}
	for _, v := range s.Values {
		lead := strings.Repeat(" ", stepIndent+2) + p.dim.Render(plain(v.Name))
		p.text(lead, max(stepIndent+2+min(widest, 32), lipgloss.Width(lead))+2, p.value, plain(v.Text))
	}
}

// backtrace writes a step's kernel stack in ftrace's form, or, where source positions
// are known, with one function per line. The callers that the same task had at the step
// shown before are counted.
func (p *page) backtrace(s verdict.Step, before verdict.Step) {
	stack, same := fresh(s.Stack, before.Stack)
	as := ""
	if same > 0 {
		as = fmt.Sprintf("(%d more, as at %s)", same, plain(before.Point))
	}
	if p.verbose && len(s.Sources) == len(s.Stack) && len(s.Stack) > 0 {
		widest := 0
		for _, f := range stack {
			widest = max(widest, utf8.RuneCountInString(plain(f)))
		}
		for i, f := range stack {
			lead := "  "
			if i > 0 {
				lead = "← "
			}
			p.line("%s%s", strings.Repeat(" ", stepIndent), p.dim.Render(strings.TrimRight(lead+pad(plain(f), widest)+"  "+plain(s.Sources[i]), " ")))
		}
		if as != "" {
			p.line("%s%s", strings.Repeat(" ", stepIndent), p.dim.Render("← "+as))
		}
		return
	}
	if as != "" {
		stack = append(slices.Clone(stack), as)
	}
	if len(stack) > 0 {
		p.text("", stepIndent, p.dim, plain(strings.Join(stack, " ← ")))
	}
}

// fresh returns the functions of a stack, innermost first, that are not the outermost
// ones of the stack before, and the number of those that are. The innermost function is
// always fresh.
func fresh(stack, before []string) (new []string, same int) {
	for same < len(before) && same < len(stack)-1 && stack[len(stack)-1-same] == before[len(before)-1-same] {
		same++
	}
	return stack[:len(stack)-same], same
}
