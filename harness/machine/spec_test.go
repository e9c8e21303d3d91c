package machine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The parts of the command that starts QEMU are found for the snapshots' keys.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	loader, program := filepath.Join(dir, "ld.so"), filepath.Join(dir, "qemu-system-x86_64")
	for _, path := range []string{loader, program} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		command     []string
		program     string
		environment []string
	}{
		"a program":          {[]string{program}, program, nil},
		"in PATH":            {[]string{"qemu-system-none"}, "qemu-system-none", nil},
		"a loader":           {[]string{loader, "--library-path", dir, program, "-L", dir}, program, nil},
		"with env":           {[]string{"env", "A=1 2", "B=", loader, "--library-path", dir, program, "-L", dir}, program, []string{"A=1 2", "B="}},
		"with env elsewhere": {[]string{"/usr/bin/env", "A=1", program}, program, []string{"A=1"}},
		"nothing but env":    {[]string{"env"}, "env", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := executable(tt.command); got != tt.program {
				t.Errorf("executable %q, want %q", got, tt.program)
			}
			if got := environment(tt.command); !slices.Equal(got, tt.environment) {
				t.Errorf("environment %q, want %q", got, tt.environment)
			}
		})
	}
}
