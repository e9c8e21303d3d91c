// Package scaffold writes the initial files of a lab or a submission.
package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"kernellab/internal/usage"
)

// Write writes files into a folder, which is created if it does not exist, and returns
// their sorted paths. Their names may have slashes. If one of the files exists, it writes
// none.
func Write(dir string, files map[string]string) ([]string, error) {
	var paths []string
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%q is no name of a file in the folder", name)
		}
		path := filepath.Join(dir, name)
		_, err := os.Lstat(path)
		switch {
		case err == nil:
			return nil, usage.Errorf("%s exists already: give another folder", path)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, usage.Errorf("%w: give a folder that can be created", err)
		}
		paths = append(paths, path)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	for i, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("make the folder: %w", err)
		}
		if err := write(path, files[names[i]]); err != nil {
			return nil, fmt.Errorf("write a new file: %w", err)
		}
	}
	return paths, nil
}

// write writes a file that does not exist.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
