package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/internal/labtest"
	"kernellab/internal/schematest"
	"kernellab/labs"
)

// Predictions that come from a pipe are kept in the file that is handed in, and then
// stand beside what the run showed.
func TestPredict(t *testing.T) {
	labtest.Long(t)
	l, err := labs.Get("exit-paths")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{"meet": "get_signal", "code-exit": "7"}
	var lines string
	for _, q := range l.Questions {
		lines += given[q.Name] + "\n"
	}
	a := arch.All()[0]
	cache, dir := realCache(t, a), filepath.Join(t.TempDir(), "mine")
	cmd := labCommand(t, cache, "predict", l.Name, dir, "--arch", a.Name)
	cmd.Stdin = strings.NewReader(lines)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &said)
	}
	for _, want := range []string{
		"What you predicted, and what x86_64 Linux ", "predicted  get_signal\n    right      do_group_exit\n",
		"predicted  7\n    right      1792\n", "0 of 2 predictions were right.\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, &out)
		}
	}
	cmd = labCommand(t, cache, "predict", l.Name, dir, "--arch", a.Name, "--format", "json")
	cmd.Stdin = strings.NewReader(strings.Repeat("\n", len(l.Questions)-len(given)))
	document, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := schematest.Load(t, "../../harness/report/predict.schema.json").Check(t, string(document)); err != nil {
		t.Errorf("%v\n%s", err, document)
	}
	if !bytes.Contains(document, []byte(`"compared": 2,`)) || !bytes.Contains(document, []byte(`"seen": "1792",`)) {
		t.Errorf("the document lacks what was compared:\n%s", document)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("a pipe gets the colours of a terminal")
	}
	if want := "The predictions are in " + filepath.Join(dir, "answers.yaml"); !strings.Contains(said.String(), want) {
		t.Errorf("nothing says %q:\n%s", want, &said)
	}
	if text := readFile(t, filepath.Join(dir, "answers.yaml")); !strings.Contains(text, "\nmeet: get_signal\n") || !strings.Contains(text, "\ncode-exit: 7\n") {
		t.Errorf("what is handed in:\n%s", text)
	}
}
