package labs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"kernellab/harness/ftrace"
	"kernellab/harness/grade"
	"kernellab/harness/submission"
)

// Template returns the files that a student starts from: answers.yaml with the
// questions, README.md, and where a program is asked for one in the language, by
// the names under which they are handed in.
func (l Lab) Template(language string) (map[string]string, error) {
	if !l.Takes() {
		return nil, fmt.Errorf("%s takes no submissions", l.Name)
	}
	files := map[string]string{"README.md": l.instructions(language)}
	if l.Submission.Answers != submission.None {
		files[submission.AnswersFile] = l.form()
	}
	if l.Submission.Program != submission.None {
		text, err := l.starter(language)
		if err != nil {
			return nil, err
		}
		files[submission.ProgramFile(language)] = text
	}
	return files, nil
}

// Languages are those that a program may be written in.
func (l Lab) Languages() []string {
	if len(l.Submission.Languages) > 0 {
		return l.Submission.Languages
	}
	return []string{submission.Go, submission.C}
}

// starter is a program to start from: the one under starter/LANGUAGE, or one that does
// nothing.
func (l Lab) starter(language string) (string, error) {
	text, err := fs.ReadFile(l.program, "starter/"+language+"/"+submission.ProgramFile(language))
	if err == nil {
		return l.fill(string(text))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var b strings.Builder
	mark := "// "
	if language == submission.Script {
		mark = "# "
	}
	comment := func(s string) { b.WriteString(strings.TrimRight(mark+s, " ") + "\n") }
	if language == submission.Script {
		comment(fmt.Sprintf("The script for ftrace of %s: %s", l.Name, l.Title))
		for _, line := range fold(l.Task, 76) {
			comment(line)
		}
		b.WriteString("cd " + ftrace.Dir + "\n\n" + l.Name + "\n")
		return b.String(), nil
	}
	comment(fmt.Sprintf("The program of %s: %s", l.Name, l.Title))
	if l.Task != "" {
		for _, line := range fold(l.Task, 76) {
			comment(line)
		}
	}
	for _, line := range l.Output {
		comment("It has to print: " + line)
	}
	comment(fmt.Sprintf("It has to end with exit status %d.", l.Exit))
	if language == submission.C {
		b.WriteString("int main(void)\n{\n\treturn 1;\n}\n")
	} else {
		b.WriteString("package main\n\nimport \"os\"\n\nfunc main() {\n\tos.Exit(1)\n}\n")
	}
	return b.String(), nil
}

// instructions say how the folder is used.
func (l Lab) instructions(language string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n%s\n\n`lab show %s` prints the handout.\n\n", l.Name, l.Title, l.Summary, l.Name)
	if l.Task != "" {
		fmt.Fprintf(&b, "## Your task\n\n%s\n\n## What to hand in\n\n", strings.Join(fold(l.Task, 88), "\n"))
	}
	b.WriteString("Hand in this folder or an archive of it:\n\n")
	switch {
	case l.Submission.Program == submission.None:
	case language == submission.Script:
		b.WriteString(fmt.Sprintf("- `%s`%s: the script that sets ftrace up and runs the lab's program. Its language is a small part of the shell's, which the handout describes.\n", submission.ScriptFile, optional(l.Submission.Program)))
	default:
		b.WriteString(fmt.Sprintf("- `prog.%s`%s: the program that runs in the guest instead of the lab's own. It is one file, in Go (`prog.go`, which may import only the standard library) or in C (`prog.c`)%s, but not both.\n", language, optional(l.Submission.Program), l.only()))
	}
	if l.Submission.Answers != submission.None {
		b.WriteString(fmt.Sprintf("- `%s`%s: your answers to the questions in it.\n", submission.AnswersFile, optional(l.Submission.Answers)))
	}
	fmt.Fprintf(&b, "\nOther files are ignored. To grade the folder, run in it:\n\n    lab run %s --submission .\n", l.Name)
	return b.String()
}

// only names the one language that the lab accepts, if there is only one.
func (l Lab) only() string {
	if langs := l.Languages(); len(langs) == 1 {
		return fmt.Sprintf("; this lab accepts %s", submission.ProgramFile(langs[0]))
	}
	return ""
}

func optional(n submission.Need) string {
	if n == submission.Optional {
		return " (optional)"
	}
	return ""
}

// form is a file of answers with the questions in comments and no answer.
func (l Lab) form() string {
	var b strings.Builder
	comment := func(text string) {
		for _, line := range fold(text, 76) {
			b.WriteString("# " + line + "\n")
		}
	}
	comment(fmt.Sprintf("Answers to the questions of %s: %s.", l.Name, l.Title))
	if l.Task != "" {
		b.WriteString("#\n")
		comment("Your task: " + l.Task)
	}
	b.WriteString("#\n")
	comment("Write each answer after its colon. Where architectures or kernels differ, give an answer for each:")
	b.WriteString("#\n#     name: {x86_64: 24, riscv64: 32}\n#     name: {x86_64: 24, x86_64 6.12: 40, riscv64: 32}\n#\n")
	comment("A single answer counts on every architecture and kernel. An empty answer is not answered.")
	for _, q := range l.Questions {
		points := "1 point"
		if q.Score > 1 {
			points = fmt.Sprintf("%d points", q.Score)
		}
		b.WriteString("\n")
		comment(fmt.Sprintf("%s (%s)", q.Prompt, points))
		var names []string
		for _, c := range q.Choices {
			names = append(names, c.Name)
		}
		switch q.Type {
		case grade.TypeNumber:
			number := "a number, decimal or 0x…"
			if q.Unit != "" {
				number = "a number of " + q.Unit + ", decimal or 0x…"
			}
			comment("Answer: " + number)
		case grade.TypeAddress:
			comment("Answer: an address, 0x…")
		case grade.TypeSymbol:
			comment("Answer: the name of a function")
		case grade.TypeChoice:
			comment("Answer: one of these, as it is written here:")
		case grade.TypeOrder:
			comment("Answer: a list of all of these in the right order, [first, second, …]. It scores by its pairs, right ones minus wrong ones:")
		case grade.TypeSet:
			comment("Answer: a list of all right choices, [first, second]; [] if none is right. It scores by the right ones minus the wrong ones:")
		}
		for _, n := range names {
			b.WriteString("#   " + n + "\n")
		}
		b.WriteString(q.Name + ":\n")
	}
	return b.String()
}

// fold breaks text into lines of at most width bytes, where a word allows it.
func fold(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
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
