package labs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every handout of the course ends with the text of glossary.md.
func TestGlossaryStale(t *testing.T) {
	glossary, err := os.ReadFile("glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	handouts, err := filepath.Glob("*/README.md")
	if err != nil || len(handouts) == 0 {
		t.Fatalf("no handouts: %v", err)
	}
	for _, path := range handouts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(string(text), "\n## Glossary\n")
		want := strings.TrimRight(before, "\n") + "\n\n" + string(glossary)
		if want == string(text) {
			continue
		}
		if !*update {
			t.Errorf("%s does not end with glossary.md: run make generate", path)
			continue
		}
		if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
