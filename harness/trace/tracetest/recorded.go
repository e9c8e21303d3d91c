package tracetest

import (
	"compress/gzip"
	"os"
	"testing"

	"kernellab/harness/trace"
)

// Recorded reads a trace of a real kernel: a file of harness/recording/testdata, which are
// named LAB.ARCH.jsonl.gz and have the runs of the labs' own programs.
func Recorded(t testing.TB, file string) *trace.Trace {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := trace.Read(z)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return tr
}
