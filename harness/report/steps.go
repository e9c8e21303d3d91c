package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/plan"
	"kernellab/harness/verdict"
)

const (
	stepIndent = 5  // columns before a step
	roleRoom   = 34 // columns that the last role's steps have at least
	nameRoom   = 18 // columns of a point's name at most, where a value follows
	maxRows    = 50 // steps that are listed where not all are asked for
)

// roleColumn is where the steps of a role begin.
type roleColumn struct {
	role, task string
	one        bool // all its steps are of that task
	at         int
	name       int // width of the points' names
}

// steps writes a line for each step: its number, the point in the column of the role,
// the first of its values, and its symbol if that has another name. Evidence has no
// number. A line that is too long is continued.
func (p *page) steps(steps []verdict.Step) {
	if len(steps) == 0 {
		return
	}
	columns := p.columns(steps)
	p.titles(columns)
	number := 0
	for i, s := range steps {
		if i == maxRows && !p.verbose {
			p.text("  …", stepIndent, p.dim, fmt.Sprintf("%d stops more: -v shows all", len(steps)-i))
			break
		}
		mark := "  ·"
		if !s.Evidence {
			number++
			mark = fmt.Sprintf("%3d", number)
		}
		c := columns[slices.IndexFunc(columns, func(c roleColumn) bool { return c.role == s.Role })]
		p.row(mark, c, s)
	}
	if p.hint {
		p.text("", stepIndent, p.dim, "--step POINT shows a step's values, callers and stacks; -v shows all")
	}
	p.gap()
}

// columns returns the columns of the roles, in the order of their first steps.
func (p *page) columns(steps []verdict.Step) []roleColumn {
	var out []roleColumn
	first := map[string]verdict.Step{}
	for _, s := range steps {
		i := slices.IndexFunc(out, func(c roleColumn) bool { return c.role == s.Role })
		if i < 0 {
			i = len(out)
			out = append(out, roleColumn{role: s.Role, one: s.Role != "" && s.Role != plan.Any})
			first[s.Role] = s
		}
		out[i].one = out[i].one && s.PID == first[s.Role].PID
		out[i].name = max(out[i].name, min(utf8.RuneCountInString(plain(s.Point)), nameRoom))
	}
	apart := 0
	if n := len(out); n > 1 {
		apart = max(2, min((p.width-stepIndent)/n, (p.width-stepIndent-roleRoom)/(n-1)))
	}
	for i := range out {
		c := &out[i]
		c.at = stepIndent + i*apart
		if c.one {
			c.task = task(first[c.role])
		}
	}
	return out
}

// task returns a step's task: "87[fork-new]".
func task(s verdict.Step) string { return fmt.Sprintf("%d[%s]", s.PID, plain(s.Comm)) }

// titles writes the heads of the columns, the role and its task: in one line if there
// is room, or else in two, or in as many as it takes.
func (p *page) titles(columns []roleColumn) {
	var heads, roles, tasks []string
	for _, c := range columns {
		role := plain(c.role)
		if role == "" || role == plan.Any {
			role = "any task"
		}
		roles, tasks = append(roles, role), append(tasks, c.task)
		heads = append(heads, strings.TrimSpace(role+" "+c.task))
	}
	fit := func(heads []string) bool {
		for i, h := range heads[:len(heads)-1] {
			if columns[i].at+utf8.RuneCountInString(h)+2 > columns[i+1].at {
				return false
			}
		}
		return true
	}
	lines := [][]string{heads}
	if !fit(heads) && fit(roles) && fit(tasks) {
		lines = [][]string{roles, tasks}
	}
	for _, heads := range lines {
		line, used := "", 0
		for i, h := range heads {
			at := columns[i].at
			if used > 0 && used+2 > at {
				p.line("%s", line)
				line, used = "", 0
			}
			line += strings.Repeat(" ", at-used) + p.title.Render(h)
			used = at + utf8.RuneCountInString(h)
		}
		p.line("%s", line)
	}
}

// row writes one step.
func (p *page) row(mark string, c roleColumn, s verdict.Step) {
	lead := p.dim.Render(mark) + strings.Repeat(" ", c.at-utf8.RuneCountInString(mark))
	name := plain(s.Point)
	used := c.at + utf8.RuneCountInString(name)
	var rest []string // what has no room in the first line
	if !c.one {
		name, used = name+" "+p.dim.Render(task(s)), used+1+utf8.RuneCountInString(task(s))
	}
	line := lead + p.point.Render(name)
	if len(s.Values) > 0 {
		v := s.Values[0]
		what, value := plain(v.Name), plain(v.Text)
		gap := max(c.at+c.name, used) - used + 2
		if n := gap + utf8.RuneCountInString(what) + 1 + utf8.RuneCountInString(value); used+n <= p.width {
			line += strings.Repeat(" ", gap) + what + " " + p.value.Render(value)
			used += n
		} else {
			rest = append(rest, what+" "+value)
		}
	}
	if symbol := plain(s.Symbol); symbol != "" && symbol != plain(s.Point) {
		n := utf8.RuneCountInString(symbol)
		if gap := p.width - used - n; gap >= 2 {
			line += strings.Repeat(" ", gap) + p.dim.Render(symbol)
		} else {
			rest = append(rest, "symbol "+symbol)
		}
	}
	p.line("%s", line)
	for _, text := range rest {
		p.text("", c.at+2, lipgloss.NewStyle(), text)
	}
}
