package submission_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"kernellab/harness/submission"
)

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "alice")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t *testing.T, path string, o submission.Options) *submission.Submission {
	t.Helper()
	s, err := submission.Read(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestProgramFS(t *testing.T) {
	dir := folder(t, map[string]string{"prog.go": "package main\n"})
	s := read(t, dir, submission.Options{Program: submission.Required})
	if len(s.Problems) > 0 || s.Program == nil || s.Name != "alice" {
		t.Fatalf("%+v", s)
	}
	if err := fstest.TestFS(s.Program.FS(), "prog.go"); err != nil {
		t.Error(err)
	}
	if b, err := fs.ReadFile(s.Program.FS(), "prog.go"); err != nil || string(b) != "package main\n" {
		t.Errorf("%q, %v", b, err)
	}
}
