package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/images/guest/mailbox"
)

// The agent writes files of tracefs only, though it is root.
func TestWriteTracingElsewhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, path := range []string{
		file, mailbox.Tracing, mailbox.Tracing + "/", mailbox.Tracing + "/../../../.." + file, mailbox.Tracing + "x/trace", "tracing_on", "",
	} {
		if err := writeTracing(path, "x", false); err == nil || !strings.Contains(err.Error(), "is no file of tracefs") {
			t.Errorf("%q: %v", path, err)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file was written")
	}
}
