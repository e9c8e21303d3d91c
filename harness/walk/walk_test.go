package walk_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/recording"
	"kernellab/harness/walk"
	"kernellab/internal/usage"
)

// recorded writes the trace of a recorded run into a new folder.
func recorded(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("../recording/testdata", name+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "trace.jsonl")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPage(t *testing.T) {
	path := recorded(t, "fork-new.x86_64")
	other := filepath.Join(t.TempDir(), "a.html")
	kept := filepath.Join(t.TempDir(), "kept.jsonl")
	if data, err := os.ReadFile(path); err != nil || os.WriteFile(kept, data, 0o644) != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, out, want string }{
		{path, "", filepath.Join(filepath.Dir(path), walk.PageFile)},
		{filepath.Dir(path), "", filepath.Join(filepath.Dir(path), walk.PageFile)},
		{kept, "", strings.TrimSuffix(kept, ".jsonl") + ".html"},
		{path, other, other},
	} {
		got, err := walk.Page(t.Context(), recording.Grading{}, tt.path, tt.out, false)
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.path, got, err, tt.want)
		}
		page, err := os.ReadFile(tt.want)
		if err != nil || !strings.Contains(string(page), "<strong>Passed</strong> 40 of 40 points") {
			t.Errorf("%s: %v\n%.500s", tt.want, err, page)
		}
		os.Remove(tt.want)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if _, err := walk.Page(t.Context(), recording.Grading{}, path, "", false); !usage.Is(err) {
			t.Errorf("%s: %v, want an error of usage", path, err)
		}
	}
}
