package prepare

import (
	"fmt"
	"slices"

	"kernellab/harness/submission"
	"kernellab/harness/variant"
	"kernellab/internal/scaffold"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Begun is a submission to start from.
type Begun struct {
	Paths []string // of its files
	About string   // what is special about the student's task, "" for the lab's own task
}

// Begin writes a submission to start from into a folder: the lab's questions, a program in
// a language ("" is the first that the lab takes), and for a student who is asked for, the record of the student's task. If one
// of the files is there, Begin writes none.
func Begin(l labs.Lab, dir, language string, asked Asked) (Begun, error) {
	if !l.Takes() {
		return Begun{}, usage.Errorf("%s takes no submissions: its lab.yaml has no \"submission\"", l.Name)
	}
	if language == "" {
		language = l.Languages()[0]
	}
	if l.Submission.Program != submission.None && !slices.Contains(l.Languages(), language) {
		return Begun{}, usage.Errorf("a program for %s is written in %s: use --language %s", l.Name, l.Languages()[0], l.Languages()[0])
	}
	l, err := asked.Task(l)
	if err != nil {
		return Begun{}, err
	}
	files, err := l.Template(language)
	if err != nil {
		return Begun{}, err
	}
	var out Begun
	if asked.Student != "" {
		record := variant.Record{Lab: l.Name, Student: asked.Student, Secret: asked.Secret.Mark(), Values: l.Chosen}
		files[variant.File] = record.Text()
		from := "the class's secret and the ID"
		if asked.Secret.None() {
			from = "the ID alone, so that any student can compute it (lab secret makes a secret)"
		}
		out.About = fmt.Sprintf("The task of %s has %s, chosen by %s.", asked.Student, variant.Words(l.Chosen), from)
	}
	out.Paths, err = scaffold.Write(dir, files)
	return out, err
}
