package walk

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"kernellab/harness/report/view"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// The smallest screen that is drawn: a smaller one shows its upper left part.
const (
	leastWidth  = 60
	leastHeight = 16
)

// run is a recorded run, and the stop that is looked at.
type run struct {
	result verdict.Result
	stops  []view.Stop
	at     int // of stops, from 0
}

// newRun returns a run at its first stop.
func newRun(r verdict.Result) *run {
	r = words.Result(r)
	return &run{result: r, stops: view.Stops("", r)}
}

// move goes to a stop, as far as there are stops.
func (r *run) move(to int) { r.at = max(0, min(len(r.stops)-1, to)) }

// title names the run and the stop.
func (r *run) title() string {
	return fmt.Sprintf("%s  %s  Linux %s  %s %d/%d  stop %d of %d", r.result.Lab, r.result.Arch, r.result.Kernel,
		strings.ToUpper(string(r.result.Verdict)), r.result.Score, r.result.MaxScore, r.at+1, len(r.stops))
}

const keys = "Enter next  b back  g first  G last  q quit"

// style marks text on a terminal; the zero value marks nothing.
type style struct{ bold, reverse, off string }

var marked = style{bold: "\x1b[1m", reverse: "\x1b[7m", off: "\x1b[0m"}

// screen draws the stop: the path on the left, and the task, its stack and the source on
// the right. It has exactly height lines, none wider than width.
func (r *run) screen(width, height int, st style) []string {
	w, h := max(width, leastWidth), max(height, leastHeight)
	left := min(32, w/3)
	rows := h - 3
	path, right := r.path(left, rows, st), r.panes(w-left-3, rows, st)
	lines := []string{st.bold + cut(r.title(), w) + st.off, strings.Repeat("─", left+1) + "┬" + strings.Repeat("─", w-left-2)}
	for i := range rows {
		lines = append(lines, path[i]+" │ "+right[i])
	}
	lines = append(lines, st.reverse+pad(keys, w)+st.off)
	for i, l := range lines {
		lines[i] = clip(l, width)
	}
	return lines[:min(len(lines), height)]
}

// path lists the stops around the one that is looked at, indented by task.
func (r *run) path(width, rows int, st style) []string {
	from := max(0, min(r.at-rows/2, len(r.stops)-rows))
	indent := map[string]int{}
	for _, s := range r.stops {
		if _, ok := indent[s.Role]; !ok {
			indent[s.Role] = min(len(indent), 4)
		}
	}
	var out []string
	for i := range rows {
		if from+i >= len(r.stops) {
			out = append(out, strings.Repeat(" ", width))
			continue
		}
		s := r.stops[from+i]
		number := "  ·"
		if s.Number > 0 {
			number = fmt.Sprintf("%3d", s.Number)
		}
		line := pad(number+" "+strings.Repeat("  ", indent[s.Role])+words.Plain(s.Point), width)
		if from+i == r.at {
			line = st.reverse + line + st.off
			if st.reverse == "" {
				line = ">" + line[1:]
			}
		}
		out = append(out, line)
	}
	return out
}

// panes draws the task, the stack and the source of the stop, one below the other. What
// has no room is counted.
func (r *run) panes(width, rows int, st style) []string {
	s := r.stops[r.at]
	task, stack, source := taskLines(s, width), stackLines(s, width), sourceLines(s, width)
	room := rows - 3 // without the headings
	last := min(len(source), max(room/4, 1))
	calls := min(len(stack), max((room-last)/2, room-last-len(task)))
	var out []string
	for _, pane := range []struct {
		name  string
		lines []string
		room  int
	}{{"task: " + s.Who, task, room - last - calls}, {"stack, innermost call first", stack, calls}, {"source", source, last}} {
		head := "── " + cut(words.Plain(pane.name), width-6) + " "
		out = append(out, st.bold+head+strings.Repeat("─", max(width-utf8.RuneCountInString(head), 0))+st.off)
		lines := pane.lines
		if len(lines) > pane.room {
			lines = append(lines[:max(pane.room-1, 0):max(pane.room-1, 0)], fmt.Sprintf("… %d lines more", len(lines)-pane.room+1))
		}
		for i := range pane.room {
			if i < len(lines) {
				out = append(out, cut(lines[i], width))
			} else {
				out = append(out, "")
			}
		}
	}
	return out
}

// taskLines are what was seen of the task: the values that the lab shows, the arguments
// and the reads. A star marks a read that changed.
func taskLines(s view.Stop, width int) []string {
	var out []string
	add := func(mark, name, value, note string) {
		text := words.Plain(name) + " = " + words.Plain(value)
		if note != "" {
			text += "  " + words.Plain(note)
		}
		for i, l := range words.Wrap(text, width-2) {
			if i > 0 {
				mark = " "
			}
			out = append(out, mark+" "+l)
		}
	}
	if when := s.When(); when != "" {
		add(" ", "time", when, "")
	}
	for _, v := range s.Values {
		add(" ", v.Name, v.Text, "")
	}
	for _, a := range s.Args {
		add(" ", "arg "+a.Name, a.Value, a.Note)
	}
	for _, c := range s.Reads {
		mark, note := " ", c.Note
		if c.Changed {
			mark = "*"
		}
		if c.Changed && c.Before != "" {
			note = strings.TrimSpace(note + " before: " + c.Before)
		}
		add(mark, c.Name, c.Value, note)
	}
	return out
}

// stackLines are the calls; a plus marks those that the task was not in before.
func stackLines(s view.Stop, width int) []string {
	var out []string
	for _, f := range s.Frames {
		mark := "  "
		if f.New {
			mark = "+ "
		}
		line := mark + words.Plain(f.Text)
		if source := words.Plain(f.Source); source != "" && utf8.RuneCountInString(line)+2+utf8.RuneCountInString(source) <= width {
			line += "  " + source
		}
		out = append(out, line)
	}
	return out
}

// sourceLines say where the stop is in the kernel's source, and what it means.
func sourceLines(s view.Stop, width int) []string {
	at := words.Plain(s.Symbol)
	if s.Source != "" {
		at += "  " + words.Plain(s.Source)
	}
	return append(words.Wrap(at, width), words.Wrap(words.Plain(s.Means), width)...)
}

// text writes a stop for a pipe: all that the screen has, and nothing left out.
func (r *run) text(at int) string {
	s := r.stops[at]
	const width = 100
	var b strings.Builder
	number := "·"
	if s.Number > 0 {
		number = fmt.Sprint(s.Number)
	}
	fmt.Fprintf(&b, "%s  %s  %s\n", number, words.Plain(s.Point), words.Plain(s.Who))
	for _, lines := range [][]string{sourceLines(s, width-4), taskLines(s, width-4), stackLines(s, width-4)} {
		for _, l := range lines {
			b.WriteString("    " + strings.TrimRight(l, " ") + "\n")
		}
	}
	return b.String()
}

// cut returns at most width characters of a text.
func cut(text string, width int) string {
	if letters := []rune(text); len(letters) > width {
		return string(letters[:max(width-1, 0)]) + "…"
	}
	return text
}

// pad is cut, filled with blanks.
func pad(text string, width int) string {
	text = cut(text, width)
	return text + strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
}

// clip returns at most width characters of a line, not counting its marks.
func clip(line string, width int) string {
	var b strings.Builder
	n, mark := 0, false
	for _, c := range line {
		switch {
		case c == '\x1b':
			mark = true
		case mark && c == 'm':
			mark = false
			b.WriteRune(c)
			continue
		case !mark:
			if n++; n > width {
				continue
			}
		}
		b.WriteRune(c)
	}
	return b.String()
}
