// Package recording reads runs that were recorded: it grades their traces again, or
// executes them again and compares the traces.
package recording

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kernellab/harness"
)

// Find returns the traces that a path stands for: itself, or all in a folder.
func Find(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var found []string
	err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == harness.TraceFile && d.Type().IsRegular() {
			found = append(found, at)
		}
		return err
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no %s in %s", harness.TraceFile, path)
	}
	return found, err
}
