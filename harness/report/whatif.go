package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/verdict"
	"kernellab/harness/whatif"
)

// WhatIfSchema names the document of what is different in a variation, and its version.
const WhatIfSchema = "lab.whatif/1"

// WhatIfFormats returns the formats of WriteWhatIf, text first.
func WhatIfFormats() []string { return []string{FormatText, FormatJSON} }

// WriteWhatIf writes what is different in a variation of a lab, one comparison a kernel.
func WriteWhatIf(w io.Writer, format string, all []whatif.Comparison, s Style) error {
	if format == FormatJSON {
		doc := struct {
			Schema  string              `json:"schema"`
			Results []whatif.Comparison `json:"results"`
		}{WhatIfSchema, append([]whatif.Comparison{}, all...)}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(doc)
	}
	p := newPage(w, s)
	for i, c := range all {
		if i > 0 {
			p.line("")
		}
		p.whatIf(c)
	}
	return p.err
}

func (p *page) whatIf(c whatif.Comparison) {
	p.line("%s  %s", p.title.Render(plain(c.Lab)), p.title.Render("what if: "+plain(c.Name)))
	p.line("%s\n", p.dim.Render(fmt.Sprintf("%s · Linux %s", plain(c.Arch), plain(c.Kernel))))
	p.text("", 0, lipgloss.NewStyle(), plain(c.Means))
	p.line("")
	var values, output []whatif.Difference
	var unchecked []string
	for _, d := range c.Differences {
		switch {
		case d.Kind == whatif.KindValue:
			values = append(values, d)
		case d.Kind == whatif.KindOutput:
			output = append(output, d)
		case d.Kind == whatif.KindCheck && d.Varied == string(verdict.Skip):
			unchecked = append(unchecked, "“"+d.What+"”")
		default:
			p.text("  •", 4, lipgloss.NewStyle(), plain(d.Sentence))
		}
	}
	if len(unchecked) > 0 {
		p.text("  •", 4, lipgloss.NewStyle(), plain("There is nothing to check for "+strings.Join(unchecked, ", ")+"."))
	}
	if len(values)+len(output) < len(c.Differences) {
		p.line("")
	}
	if len(output) > 0 {
		p.line("The program's output, - in the plain run, + in this one:")
		for _, d := range output {
			lead, style, text := "  -", p.bad, d.Plain
			if d.Plain == "" {
				lead, style, text = "  +", p.good, d.Varied
			}
			p.text(style.Render(lead), 4, lipgloss.NewStyle(), plain(text))
		}
		p.line("")
	}
	if len(values) > 0 {
		p.sideBySide(values)
		p.line("")
	}
	rest := fmt.Sprintf("%d other values at the points that both runs reach are the same", c.Same)
	if len(c.Differences) == 0 {
		rest = fmt.Sprintf("Nothing is different: both runs reach the same points in the same order, and %d values there are the same", c.Same)
	}
	if c.Placed > 0 {
		rest += fmt.Sprintf("; %d differ only in addresses or pids", c.Placed)
	}
	p.text("", 0, p.dim, rest+".")
	if c.Why != "" {
		p.line("")
		p.text("", 0, lipgloss.NewStyle(), plain(c.Why))
	}
}

// sideBySide writes a table of values, or a list where the table would be too wide.
func (p *page) sideBySide(values []whatif.Difference) {
	rows := [][3]string{{"value", "plain", "what if"}}
	var widths [3]int
	for _, d := range values {
		rows = append(rows, [3]string{plain(d.Point + ": " + d.What), plain(d.Plain), plain(d.Varied)})
	}
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	if 2+widths[0]+2+widths[1]+2+widths[2] <= p.width {
		for i, r := range rows {
			style := lipgloss.NewStyle()
			if i == 0 {
				style = p.dim
			}
			p.line("  %s", style.Render(pad(r[0], widths[0])+"  "+pad(r[1], widths[1])+"  "+r[2]))
		}
		return
	}
	for _, r := range rows[1:] {
		p.text("", 2, lipgloss.NewStyle(), r[0])
		p.text("    plain", 13, p.value, r[1])
		p.text("    what if", 13, p.value, r[2])
	}
}
