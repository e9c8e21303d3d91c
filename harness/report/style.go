package report

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"kernellab/internal/progress"
)

// Style is the style of text. The zero value is 80 columns without colour.
type Style struct {
	Color bool
	Width int // columns; 0 is 80
	// Verbose shows every step in detail, with values, backtraces and stacks, and the
	// values of checks that pass.
	Verbose bool
	// Steps are the points whose steps are shown in detail.
	Steps []string
}

// Terminal is the style of text that is written to w: with colour only on a terminal,
// and not where NO_COLOR is set.
func Terminal(w io.Writer) Style {
	tty, width := progress.Terminal(w)
	if !tty {
		return Style{Width: 100}
	}
	color := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if color {
		lipgloss.SetColorProfile(termenv.NewOutput(w).ColorProfile())
	}
	return Style{Color: color, Width: min(width, 120)}
}

const (
	minWidth = 40
	maxWidth = 100 // lines longer than this are hard to read
)

func (s Style) width() int {
	if s.Width == 0 {
		return 80
	}
	return min(max(s.Width, minWidth), maxWidth)
}

// page writes styled lines and remembers the first error.
type page struct {
	w        io.Writer
	width    int
	err      error
	verbose  bool
	detailed []string // points whose steps are shown in detail
	hint     bool     // say how the steps are shown in detail
	apart    bool     // an empty line comes before the next one

	title, point, dim, good, bad, warn, value lipgloss.Style
}

func newPage(w io.Writer, s Style) *page {
	r := lipgloss.NewRenderer(w)
	profile := termenv.Ascii
	if s.Color {
		profile = termenv.ANSI
	}
	r.SetColorProfile(profile)
	color := func(c string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(c)) }
	return &page{
		w: w, width: s.width(), verbose: s.Verbose, detailed: s.Steps,
		title: r.NewStyle().Bold(true), point: color("6").Bold(true), dim: r.NewStyle().Faint(true),
		good: color("2").Bold(true), bad: color("1").Bold(true), warn: color("3").Bold(true), value: color("6"),
	}
}

// line writes one line.
func (p *page) line(format string, args ...any) {
	if p.err != nil {
		return
	}
	s := strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n"
	if p.apart {
		s = "\n" + s
	}
	p.apart = false
	_, p.err = io.WriteString(p.w, s)
}

// gap has an empty line come before the next line, if there is one.
func (p *page) gap() { p.apart = true }

// text writes text in indented lines. The first line starts with lead.
func (p *page) text(lead string, indent int, style lipgloss.Style, text string) {
	for i, l := range wrap(text, p.width-indent) {
		if i > 0 {
			lead = ""
		}
		p.line("%s%s%s", lead, strings.Repeat(" ", indent-lipgloss.Width(lead)), style.Render(l))
	}
}
