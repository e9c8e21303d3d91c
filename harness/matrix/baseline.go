package matrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kernellab/harness/regress"
	"kernellab/internal/usage"
)

// ReadBaseline reads the file to compare with. With fresh, a missing file is an
// empty baseline.
func ReadBaseline(path string, fresh bool) (regress.Baseline, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		if fresh {
			return regress.Baseline{}, nil
		}
		return regress.Baseline{}, usage.Errorf("no baseline at %s: lab matrix --baseline %s --update-baseline records one", path, path)
	}
	if err != nil {
		return regress.Baseline{}, usage.Wrap(err)
	}
	defer file.Close()
	b, err := regress.Decode(file)
	if err != nil {
		return b, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// WriteBaseline writes the file, completely or not at all.
func WriteBaseline(path string, b regress.Baseline) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".baseline-")
	if err != nil {
		return fmt.Errorf("record the baseline: %w", err)
	}
	defer os.Remove(file.Name())
	err = errors.Join(b.Encode(file), file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("record the baseline: %w", err)
	}
	return nil
}
