package regress_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestSchema(t *testing.T) {
	text, err := os.ReadFile("baseline.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("baseline.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("baseline.schema.json")
	if err != nil {
		t.Fatal(err)
	}
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
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != want {
			t.Errorf("%.60s…: %v", text, err)
		}
	}
}
