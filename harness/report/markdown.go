package report

import (
	"fmt"
	"io"
	"strings"

	"kernellab/harness/verdict"
)

// matrixMarkdown writes GitHub's Markdown for a job's summary: the table, the results
// that did not pass, and the changes.
func matrixMarkdown(w io.Writer, m Matrix) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Labs on kernels\n\n%s\n", markdown(m.summary()))
	if len(m.Results) > 0 {
		g := m.grid()
		b.WriteString("\n| Kernel | Architecture |")
		for _, lab := range g.labs {
			fmt.Fprintf(&b, " %s |", markdown(lab))
		}
		b.WriteString("\n|---|---|" + strings.Repeat("---|", len(g.labs)) + "\n")
		for _, row := range g.rows {
			fmt.Fprintf(&b, "| %s | %s |", markdown(or(row.kernel)), markdown(or(row.arch)))
			for _, at := range row.cells {
				if at < 0 {
					b.WriteString(" – |")
					continue
				}
				fmt.Fprintf(&b, " %s %s |", m.sign(at), markdown(word(m.Results[at])))
			}
			b.WriteString("\n")
		}
	}
	section(&b, "Not passed", func(item func(string)) {
		for _, r := range m.Results {
			if text := trouble(r); text != "" {
				item(fmt.Sprintf("**%s** on %s: %s", markdown(r.Lab), markdown(where(r)), markdown(text)))
			}
		}
	})
	section(&b, "Against the baseline", func(item func(string)) {
		for _, c := range m.Comparisons {
			switch text := markdown(c.Sentence); {
			case c.Regressed():
				item("❌ " + text)
			case len(c.Changes) > 0:
				item("🔸 " + text)
			default:
				item(text)
			}
		}
	})
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write markdown: %w", err)
	}
	return nil
}

func (m Matrix) sign(i int) string {
	r := m.Results[i]
	switch {
	case r.Verdict == verdict.Error:
		return "⚠️"
	case !m.Accepted(i):
		return "❌"
	case r.Passed():
		return "✅"
	}
	return "🔸"
}

// section writes a list with a heading, unless it is empty.
func section(b *strings.Builder, heading string, list func(item func(string))) {
	empty := true
	list(func(text string) {
		if empty {
			fmt.Fprintf(b, "\n#### %s\n\n", heading)
			empty = false
		}
		fmt.Fprintf(b, "- %s\n", text)
	})
}

// special escapes the characters that have a meaning in Markdown or HTML.
var special = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "|", `\|`, "[", `\[`, "]", `\]`, "~", `\~`, "#", `\#`,
	"<", "&lt;", ">", "&gt;", "&", "&amp;", "@", "@\u2060", "\n", " ",
)

// markdown escapes text from a guest, so that it cannot format, link or mention.
func markdown(s string) string { return special.Replace(plain(s)) }
