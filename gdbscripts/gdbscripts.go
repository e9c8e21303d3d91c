// Package gdbscripts holds scripts for sessions that a student drives by hand in
// gdb, one for each lab and architecture. They are generated from the labs:
// go test ./labs -run TestGDBScripts -update
package gdbscripts

import (
	"embed"
	"fmt"
)

//go:embed *.gdb
var scripts embed.FS

// Script returns the script of a lab for an architecture.
func Script(lab, arch string) (string, error) {
	b, err := scripts.ReadFile(lab + "." + arch + ".gdb")
	if err != nil {
		return "", fmt.Errorf("no gdb script of lab %s for %s: generate it with go test ./labs -run TestGDBScripts -update", lab, arch)
	}
	return string(b), nil
}
