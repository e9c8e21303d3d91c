package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/images"
)

// A cache that cannot be swept is a warning that says why, and no end of a command.
func TestSweepWarns(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(tmp string) error
		want    string
	}{
		{"nothing to sweep", func(string) error { return nil }, ""},
		{"no folder", func(tmp string) error { return os.WriteFile(tmp, nil, 0o600) }, "lab: warning: sweep the cache: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.prepare(filepath.Join(dir, "tmp")); err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			a := &app{stderr: &stderr, cache: &images.Cache{Dir: dir}}
			a.sweep()
			if got := stderr.String(); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("standard error %q, want it to start with %q", got, tt.want)
			}
		})
	}
}
