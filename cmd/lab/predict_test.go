package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/labs"
)

// Predictions that come from a pipe are kept in the file that is handed in, and then
// stand beside what the run showed.
func TestPredict(t *testing.T) {
	if testing.Short() {
		t.Skip("runs QEMU: not with -short")
	}
	lab, err := exec.LookPath("lab")
	if err != nil {
		t.Fatal(err)
	}
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
	cmd := exec.Command(lab, "predict", l.Name, dir, "--arch", a.Name)
	cmd.Env = append(os.Environ(), "LAB_CACHE="+cache)
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
