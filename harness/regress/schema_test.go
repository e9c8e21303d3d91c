package regress_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"kernellab/internal/schematest"
)

func TestSchema(t *testing.T) {
	s := schematest.Load(t, "baseline.schema.json")
	var made bytes.Buffer
	if err := baseline().Encode(&made); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("../../labs/baseline.json")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		made.String(): true, string(kept): true, `{"schema":"lab.baseline/1","entries":[]}`: true,
		`{"schema":"lab.baseline/1"}`: false, `{"schema":"lab.baseline/2","entries":[]}`: false,
		strings.Replace(made.String(), `"pass"`, `"error"`, 1): false,
	} {
		if err := s.Check(t, text); (err == nil) != want {
			t.Errorf("%.60s…: %v", text, err)
		}
	}
}
