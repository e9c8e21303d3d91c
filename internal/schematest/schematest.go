// Package schematest checks documents against JSON Schemas in tests.
package schematest

import (
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is a JSON Schema.
type Schema struct{ compiled *jsonschema.Schema }

// Load reads the schema in a file. References name the schemas that it refers to by their
// $id.
func Load(t testing.TB, file string, references ...string) Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range references {
		doc := read(t, name)
		id, _ := doc.(map[string]any)["$id"].(string)
		if err := c.AddResource(id, doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	s, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return Schema{s}
}

func read(t testing.TB, file string) any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func parse(t testing.TB, text string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v: %.200q", err, text)
	}
	return v
}

// Check returns what is wrong with a document, by the schema. A text that is not JSON
// fails the test.
func (s Schema) Check(t testing.TB, text string) error {
	t.Helper()
	return s.compiled.Validate(parse(t, text))
}

// Strict checks a document, and that the schema refuses it with a field that there is not.
func (s Schema) Strict(t testing.TB, file string) {
	t.Helper()
	v := read(t, file)
	if err := s.compiled.Validate(v); err != nil {
		t.Errorf("%s: %v", file, err)
	}
	v.(map[string]any)["more"] = 1
	if s.compiled.Validate(v) == nil {
		t.Errorf("%s: the schema takes a field that there is not", file)
	}
}
