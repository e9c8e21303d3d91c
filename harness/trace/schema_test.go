package trace_test

import (
	"strings"
	"testing"

	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/internal/schematest"
)

func TestSchema(t *testing.T) {
	s := schematest.Load(t, "trace.schema.json")
	for name, tr := range map[string]*trace.Trace{
		"every field": sample(), "x86_64": tracetest.Fork("x86_64"), "riscv64": tracetest.Fork("riscv64"),
		"bare": {Header: trace.Header{Lab: "l", Arch: "a"}, Events: []trace.Event{{Kind: trace.KindEnd}}},
	} {
		for i, line := range strings.Split(strings.TrimSpace(string(encode(t, tr))), "\n") {
			if err := s.Check(t, line); err != nil {
				t.Errorf("%s: line %d: %v\n%s", name, i+1, err, line)
			}
		}
	}
}

// TestSchemaRefuses checks that the schema is as strict as Read.
func TestSchemaRefuses(t *testing.T) {
	s := schematest.Load(t, "trace.schema.json")
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
		if s.Check(t, line) == nil {
			t.Errorf("%s is taken for a line of a trace", line)
		}
	}
}
