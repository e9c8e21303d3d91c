package labs

import (
	"fmt"
	"strings"

	"kernellab/harness/grade"
)

// Page returns the handout with the questions in its section "Predict" and the
// variations in its section "Run". What has no such section comes at the end.
func (l Lab) Page() string {
	page := l.Handout
	if len(l.Questions) > 0 {
		page = within(page, "Predict", l.questionList())
	}
	if len(l.WhatIfs) > 0 {
		page = within(page, "Run", l.whatIfList())
	}
	return page
}

// within returns a page with text at the end of a section.
func within(page, section, text string) string {
	_, after, ok := strings.Cut(page, "\n## "+section+"\n")
	if !ok {
		return strings.TrimRight(page, "\n") + "\n\n## " + section + "\n\n" + text
	}
	at := len(page)
	if i := strings.Index(after, "\n## "); i >= 0 {
		at = len(page) - len(after) + i
	}
	return strings.TrimRight(page[:at], "\n") + "\n\n" + text + page[at:]
}

// questionList lists the questions, numbered as lab predict numbers them.
func (l Lab) questionList() string {
	var b strings.Builder
	for i, q := range l.Questions {
		lead := fmt.Sprintf("%d. ", i+1)
		item := func(lead, text string) {
			for _, line := range fold(text, 80-len(lead)) {
				fmt.Fprintf(&b, "%s%s\n", lead, line)
				lead = strings.Repeat(" ", len(lead))
			}
		}
		prompt := q.Prompt
		if q.Unit != "" {
			prompt += " (" + q.Unit + ")"
		}
		if q.Type == grade.TypeSet {
			prompt += " (Any number of them.)"
		}
		item(lead, prompt)
		for _, c := range q.Choices {
			item(strings.Repeat(" ", len(lead))+"- ", c.Name)
		}
	}
	return b.String()
}

// whatIfList lists the variations.
func (l Lab) whatIfList() string {
	var b strings.Builder
	b.WriteString("To run a variation and see what is different:\n\n")
	for _, w := range l.WhatIfs {
		fmt.Fprintf(&b, "    lab run %s --what-if %s\n", l.Name, w.Name)
		for _, line := range fold(w.Means, 72) {
			b.WriteString("        " + line + "\n")
		}
	}
	return b.String()
}
