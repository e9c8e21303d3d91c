// Package scaffold writes the files that someone begins to work from.
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

// Write writes files into a folder, which is made if it does not exist, and returns
// their paths in order. It replaces no file: when one exists, none is written.
func Write(dir string, files map[string]string) ([]string, error) {
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		_, err := os.Lstat(path)
		switch {
		case err == nil:
			return nil, usage.Errorf("%s is there already, and init replaces nothing: name another folder", path)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, usage.Errorf("%w: name a folder to make", err)
		}
		paths = append(paths, path)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	for _, path := range paths {
		if err := write(path, files[filepath.Base(path)]); err != nil {
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
