package scaffold

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kernellab/internal/usage"
)

func TestWrite(t *testing.T) {
	files := map[string]string{"prog.go": "package main\n", "answers.yaml": "# none\n"}
	dir := filepath.Join(t.TempDir(), "a/b")
	paths, err := Write(dir, files)
	if want := []string{filepath.Join(dir, "answers.yaml"), filepath.Join(dir, "prog.go")}; err != nil || !slices.Equal(paths, want) {
		t.Fatalf("wrote %q, %v, want %q", paths, err, want)
	}
	for _, path := range paths {
		if text, err := os.ReadFile(path); err != nil || string(text) != files[filepath.Base(path)] {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	// A file that exists stays, and the others are not written.
	if err := os.Remove(paths[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(paths[1], []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, files); !usage.Is(err) {
		t.Errorf("over a file: %v, want a mistake of usage", err)
	}
	if text, _ := os.ReadFile(paths[1]); string(text) != "mine" {
		t.Errorf("%s was replaced by %q", paths[1], text)
	}
	if _, err := os.Stat(paths[0]); err == nil {
		t.Errorf("%s was written", paths[0])
	}
	// A file in the place of the folder is a mistake too.
	if _, err := Write(paths[1], files); !usage.Is(err) {
		t.Errorf("into a file: %v, want a mistake of usage", err)
	}
}
