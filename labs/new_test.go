package labs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/labs"
)

// TestNew checks that a new lab is one that loads, by the schema as well.
func TestNew(t *testing.T) {
	files, err := labs.New("my-lab", "")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "my-lab")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if strings.Contains(text, "NAME") && name != "lab.schema.json" {
			t.Errorf("%s has a name that was not filled in", name)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := labs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if l.Name != "my-lab" || !l.Outside() {
		t.Errorf("%s, outside: %v", l.Name, l.Outside())
	}
	if err := validate(t, labSchema(t), files["lab.yaml"]); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(files["lab.yaml"], "# yaml-language-server: $schema=lab.schema.json\n") || files["lab.schema.json"] == "" {
		t.Error("an editor does not find the schema")
	}
	if files, err = labs.New("my-lab", "../lab.schema.json"); err != nil || files["lab.schema.json"] != "" {
		t.Errorf("a copy of the schema beside the course's: %v", err)
	}
	if _, err := labs.New("My_Lab", ""); err == nil {
		t.Error("a lab called My_Lab")
	}
	// An error names the file as it was asked for.
	if err := os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte("name: my-lab\nordre: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := labs.Open(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "lab.yaml")+`:2: the lab: unknown key "ordre"`) {
		t.Errorf("error %v", err)
	}
}
