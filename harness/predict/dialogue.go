// Package predict asks a lab's questions before the lab runs, keeps the answers in the
// file that a student hands in, and puts them beside what the run shows. It starts no
// guest.
package predict

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"kernellab/harness/grade"
	"kernellab/internal/usage"
)

// The lines that are no answers.
const (
	helpKey = "?"
	backKey = "<"
)

// StoppedError says that the dialogue ended before the last question.
type StoppedError struct {
	Path            string // of the file of answers
	Answered, Asked int
	Cause           error
}

func (e *StoppedError) Error() string {
	if e.Answered == 0 {
		return "no question is answered; the same command begins again"
	}
	return fmt.Sprintf("%d of %d questions are answered, in %s; the same command continues", e.Answered, e.Asked, e.Path)
}

// Unwrap returns the cause.
func (e *StoppedError) Unwrap() error { return e.Cause }

// Stopped returns the error of a dialogue or a run that ended early.
func (f *File) Stopped(arch string, cause error) *StoppedError {
	n := len(f.Questions)
	return &StoppedError{Path: f.Path, Answered: n - len(f.Unanswered(arch)), Asked: n, Cause: cause}
}

// Dialogue asks the questions of a file one at a time.
type Dialogue struct {
	File  *File
	Arch  string    // of the kernel that will run
	Out   io.Writer // for questions, and for what is wrong with an answer
	Width int       // of Out, in columns
}

// Ask asks the questions without an answer, and records each answer before it asks the
// next question. It returns a *StoppedError if ctx or in ends first.
func (d *Dialogue) Ask(ctx context.Context, in io.Reader) error {
	all, open := d.File.Questions, d.File.Unanswered(d.Arch)
	if n := len(all) - len(open); n > 0 {
		d.say(0, fmt.Sprintf("%d of %d questions are answered in %s.", n, len(all), d.File.Path))
	}
	for _, p := range d.File.Unreadable {
		d.say(0, fmt.Sprintf("%v. The question is asked again.", p))
	}
	if len(open) == 0 {
		return nil
	}
	d.say(0, fmt.Sprintf("Predict before you look. Each answer is written to %s. %s shows help, %s goes back.", d.File.Path, helpKey, backKey))
	lines := readLines(in)
	passed := map[int]bool{} // skipped, or left for after the run
	for i := open[0]; i < len(all); {
		back, err := d.question(ctx, i, lines, passed)
		switch {
		case err != nil:
			return err
		case back:
			i = max(i-1, 0)
			delete(passed, i)
		default:
			i = d.after(i, passed)
		}
	}
	return nil
}

// after returns the next question to ask, or the number of questions.
func (d *Dialogue) after(i int, passed map[int]bool) int {
	for _, j := range d.File.Unanswered(d.Arch) {
		if j > i && !passed[j] {
			return j
		}
	}
	return len(d.File.Questions)
}

// question asks one question until it is answered or passed. back says that the person
// wants the question before it.
func (d *Dialogue) question(ctx context.Context, i int, lines <-chan line, passed map[int]bool) (back bool, err error) {
	q := d.File.Questions[i]
	given, answered := d.File.Answer(q, d.Arch)
	d.show(i)
	if answered {
		d.say(2, fmt.Sprintf("Your prediction is %s. Enter keeps it.", q.Show(given)))
	}
	sure := answered || Copied(q)
	for {
		fmt.Fprint(d.Out, "> ")
		text, err := d.read(ctx, lines)
		if err != nil {
			return false, err
		}
		switch text {
		case helpKey:
			d.help(q, answered)
			continue
		case backKey:
			if i == 0 {
				d.say(2, "This is the first question.")
				continue
			}
			return true, nil
		case "":
			if sure {
				passed[i] = !answered
				return false, nil
			}
			sure = true
			d.say(2, "Skip this question? Enter skips it.")
			continue
		}
		value, err := Parse(q, text)
		if err == nil {
			err = d.File.Set(d.Arch, Given{i, value})
			if err != nil {
				return false, err
			}
			d.say(2, "You predict "+q.Show(value)+".")
			return false, nil
		}
		d.say(2, fmt.Sprintf("That is no answer: %v.", err))
	}
}

// show writes a question and its choices.
func (d *Dialogue) show(i int) {
	q := d.File.Questions[i]
	fmt.Fprintf(d.Out, "\nQuestion %d of %d\n", i+1, len(d.File.Questions))
	d.say(0, q.Prompt)
	for j, c := range q.Choices {
		lead := fmt.Sprintf("%4d  ", j+1)
		for k, l := range fold(c.Name, d.Width-len(lead)) {
			if k > 0 {
				lead = strings.Repeat(" ", len(lead))
			}
			fmt.Fprintf(d.Out, "%s%s\n", lead, l)
		}
	}
	d.say(0, "Answer: "+form(q))
	if Copied(q) {
		d.say(0, "Only a run shows it: Enter leaves it for after the run.")
	}
}

func (d *Dialogue) help(q grade.Question, answered bool) {
	d.say(2, "Answer with "+form(q)+".")
	switch q.Type {
	case grade.TypeChoice:
		d.say(2, "The words of the choice will do too.")
	case grade.TypeSet, grade.TypeOrder:
		d.say(2, "The words themselves will do too, with commas between them.")
	}
	empty := "Enter skips the question, after you confirm; the next lab predict asks it again."
	if answered {
		empty = "Enter keeps your prediction."
	}
	d.say(2, empty+" "+backKey+" goes back to the question before. Ctrl-C stops: the answers so far are kept, and the same command continues.")
}

// read returns the next line.
func (d *Dialogue) read(ctx context.Context, lines <-chan line) (string, error) {
	var cause error
	select {
	case <-ctx.Done():
		cause = ctx.Err()
	case l, ok := <-lines:
		if ok && l.err == nil {
			return strings.TrimSpace(l.text), nil
		}
		cause = l.err
	}
	fmt.Fprintln(d.Out)
	return "", d.File.Stopped(d.Arch, cause)
}

// say writes text in lines of the terminal's width.
func (d *Dialogue) say(indent int, text string) {
	for _, l := range fold(text, d.Width-indent) {
		fmt.Fprintf(d.Out, "%s%s\n", strings.Repeat(" ", indent), l)
	}
}

// fold breaks text into lines of at most width columns, where a word allows it.
func fold(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// line is a line of input, or why there is none.
type line struct {
	text string
	err  error
}

// maxLine bounds a line of input, in bytes.
const maxLine = 64 << 10

// readLines reads lines in a goroutine, which ends with the input: reading from a
// terminal can not be interrupted. Whoever wants no more lines leaves it waiting.
func readLines(in io.Reader) <-chan line {
	out := make(chan line)
	go func() {
		defer close(out)
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			out <- line{text: s.Text()}
		}
		if err := s.Err(); err != nil {
			out <- line{err: err}
		}
	}()
	return out
}

// maxInput bounds what AskLines reads, in bytes.
const maxInput = 1 << 20

// AskLines takes the answers to the unanswered questions from lines, one a line. An empty
// line leaves a question unanswered. If something is wrong with a line, it records none,
// and the error, a mistake of usage, names the lines.
func (d *Dialogue) AskLines(in io.Reader) error {
	open := d.File.Unanswered(d.Arch)
	if len(open) == 0 {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput))
	if err != nil {
		return fmt.Errorf("read the answers: %w", err)
	}
	lines := slices.Collect(strings.Lines(string(text)))
	var all []Given
	var wrong []string
	for n, l := range lines {
		l = strings.TrimSpace(l)
		switch {
		case l == "":
		case n >= len(open):
			wrong = append(wrong, fmt.Sprintf("line %d: all %d unanswered questions have a line already", n+1, len(open)))
		default:
			q := d.File.Questions[open[n]]
			value, err := Parse(q, l)
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("line %d, %s: %v", n+1, q.Name, err))
				continue
			}
			all = append(all, Given{open[n], value})
		}
	}
	if len(lines) < len(open) {
		q := d.File.Questions[open[len(lines)]]
		wrong = append(wrong, fmt.Sprintf("line %d, %s: there is no such line: give one for each of the %d unanswered questions, an empty one to leave a question out", len(lines)+1, q.Name, len(open)))
	}
	if len(wrong) > 0 {
		return usage.Errorf("standard input: %s", strings.Join(wrong, "\n"))
	}
	return d.File.Set(d.Arch, all...)
}
