package trace_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile("trace.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("trace.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("trace.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchema(t *testing.T) {
	s := schema(t)
	for name, tr := range map[string]*trace.Trace{
		"every field": sample(), "x86_64": tracetest.Fork("x86_64"), "riscv64": tracetest.Fork("riscv64"),
		"bare": {Header: trace.Header{Lab: "l", Arch: "a"}, Events: []trace.Event{{Kind: trace.KindEnd}}},
	} {
		for i, line := range strings.Split(strings.TrimSpace(string(encode(t, tr))), "\n") {
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(v); err != nil {
				t.Errorf("%s: line %d: %v\n%s", name, i+1, err, line)
			}
		}
	}
}

// TestSchemaRefuses checks that the schema is as strict as Read.
func TestSchemaRefuses(t *testing.T) {
	s := schema(t)
	for _, line := range []string{
		`{}`, `[]`,
		`{"schema":"lab.trace/1","lab":"l","arch":"a"}`,
		`{"seq":1,"kind":"stop","time_ns":0,"cpu":0}`,
		`{"seq":1,"kind":"exit","time_ns":0,"cpu":0}`,
		`{"seq":1,"kind":"ftrace","time_ns":0,"cpu":0}`,
		`{"seq":1,"kind":"pause","time_ns":0,"cpu":0}`,
		`{"seq":0,"kind":"end","time_ns":0,"cpu":0}`,
		`{"seq":1,"kind":"end","time_ns":0,"cpu":0,"oops":1}`,
		`{"seq":1,"kind":"stop","point":"p","address":1,"time_ns":0,"cpu":0}`,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(v) == nil {
			t.Errorf("%s is taken for a line of a trace", line)
		}
	}
}
