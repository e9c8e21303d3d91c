package class_test

import (
	"path/filepath"
	"testing"

	"kernellab/harness/class"
	"kernellab/harness/verdict"
	"kernellab/internal/schematest"
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
		schematest.Load(t, from).Strict(t, filepath.Join(out, file))
	}
}
