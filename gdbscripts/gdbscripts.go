// Package gdbscripts holds what a session needs that a student drives by hand in
// gdb: a helper in gdb's Python, and for each lab and architecture a short file
// with the lab's points. The short files are generated from the labs:
// go test ./labs -run TestGDBScripts -update
package gdbscripts

import (
	"embed"
	"fmt"
)

//go:embed *.gdb
var scripts embed.FS

// Helper is the source of the helper, lab.py. A session reads it first.
//
//go:embed lab.py
var Helper string

// Script returns the short file of a lab for an architecture.
func Script(lab, arch string) (string, error) {
	b, err := scripts.ReadFile(lab + "." + arch + ".gdb")
	if err != nil {
		return "", fmt.Errorf("no gdb script of lab %s for %s: generate it with go test ./labs -run TestGDBScripts -update", lab, arch)
	}
	return string(b), nil
}
