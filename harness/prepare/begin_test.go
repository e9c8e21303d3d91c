package prepare

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kernellab/harness/submission"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// A submission begins with the lab's files, a student's with the record of the task too;
// no file is replaced.
func TestBegin(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "own")
	own, err := Begin(l, dir, submission.Go, Asked{})
	if err != nil || own.About != "" || !slices.Contains(own.Paths, filepath.Join(dir, "prog.go")) || slices.Contains(own.Paths, filepath.Join(dir, "student.yaml")) {
		t.Errorf("the lab's own: %+v, %v", own, err)
	}
	if _, err := Begin(l, dir, submission.Go, Asked{}); err == nil {
		t.Error("the files were replaced")
	}
	dir = filepath.Join(t.TempDir(), "alice")
	if same, err := (Asked{Student: "alice"}).Task(l); len(l.Variants) == 0 && !usage.Is(err) {
		t.Errorf("a student of a lab that is the same for all: %+v, %v", same.Chosen, err)
	}
	alice, err := Begin(varied(t), dir, submission.C, Asked{Student: "alice"})
	if err != nil || !strings.HasPrefix(alice.About, "The task of alice has ") || !strings.Contains(alice.About, "the ID alone") || !slices.Contains(alice.Paths, filepath.Join(dir, "prog.c")) {
		t.Errorf("alice's: %+v, %v", alice, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "student.yaml"))
	if err != nil || !strings.Contains(string(text), "alice") {
		t.Errorf("alice's record: %q, %v", text, err)
	}
	none := l
	none.Submission.Program, none.Submission.Answers = submission.None, submission.None
	if _, err := Begin(none, dir, submission.Go, Asked{}); !usage.Is(err) {
		t.Errorf("a lab that takes no submissions: %v", err)
	}
	if _, err := Begin(l, filepath.Join(t.TempDir(), "x"), "ada", Asked{}); !usage.Is(err) || !strings.Contains(err.Error(), "use --language") {
		t.Errorf("another language: %v", err)
	}
}

// varied is fork-new, with variants.
func varied(t *testing.T) labs.Lab {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fork-new")
	if err := os.CopyFS(dir, os.DirFS("../../labs/fork-new")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lab.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nvariants:") {
		text = append(text, "\nvariants:\n  code: [3, 7, 12]\ntask: The child ends with status ${variant.code}.\n"...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := labs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
