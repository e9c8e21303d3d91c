// Package recording grades the traces of recorded runs again, or executes the runs
// again and compares the traces.
package recording

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kernellab/harness"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
)

// Find returns the paths of the traces at path: itself, or all traces in a folder.
func Find(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if err := regular.Check(path, info); err != nil {
			return nil, usage.Errorf("trace %w", err)
		}
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
