package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/class"
)

// The lab's own program comes first. Where it does not pass, here for want of time, no
// submission is graded, and lab says why and what to do.
func TestOwnProgramFirst(t *testing.T) {
	for _, m := range arch.All() {
		t.Run(m.Name, func(t *testing.T) {
			image := hostileKernel(t, m)
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "graded")
			writeFiles(t, filepath.Join(dir, "alice"), map[string]string{"prog.go": readFile(t, "../../labs/fork-new/main.go"), "answers.yaml": honestAnswers(t, image)})
			var stdout, stderr bytes.Buffer
			args := []string{"grade", "fork-new", "--arch", m.Name, "--submissions", dir, "--out", out, "--timeout", "1ms"}
			if code := run(args, strings.NewReader(""), &stdout, &stderr); code != exitError {
				t.Errorf("exit code %d, want %d", code, exitError)
			}
			for _, want := range []string{"nobody was graded: the lab's own program comes first", image.Release, "its verdict is fail", "lab run fork-new --kernel " + image.Release + " --arch " + m.Name} {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("no %q in\n%s", want, stderr.String())
				}
			}
			if _, err := os.Stat(filepath.Join(out, class.Folder("alice"))); !os.IsNotExist(err) || stdout.Len() > 0 {
				t.Errorf("a submission was graded: %v\n%s", err, stdout.String())
			}
		})
	}
}
