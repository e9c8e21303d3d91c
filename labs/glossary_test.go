package labs_test

import (
	"os"
	"strings"
	"testing"
)

// Every handout of the course ends with the text of glossary.md.
func TestGlossaryStale(t *testing.T) {
	glossary, err := os.ReadFile("glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range handouts(t) {
		before, _, _ := strings.Cut(text, "\n## Glossary\n")
		want := strings.TrimRight(before, "\n") + "\n\n" + string(glossary)
		if want == text {
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
