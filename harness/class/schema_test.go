package class_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"kernellab/harness/class"
	"kernellab/harness/verdict"
)

func TestSchemas(t *testing.T) {
	out := t.TempDir()
	f := &fake{do: func(s string, _ int) (verdict.Document, error) {
		if s == "bob" {
			return document(verdict.Error, 0), nil
		}
		return document(verdict.Pass, 2), nil
	}}
	run(t, f.run(out, "alice", "bob"))
	for file, from := range map[string]string{
		filepath.Join("alice", class.RecordFile): "record.schema.json",
		filepath.Join("bob", class.RecordFile):   "record.schema.json",
		"shard-1-of-1.json":                      "shard.schema.json",
	} {
		s, err := jsonschema.NewCompiler().Compile(from)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(out, file))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		v.(map[string]any)["more"] = 1
		if s.Validate(v) == nil {
			t.Errorf("%s: a field that there is not is taken", from)
		}
	}
}
