package matrix

import (
	"errors"
	"fmt"
	"os"

	"kernellab/harness/regress"
	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
)

// readBaseline reads the file to compare with. With fresh, a missing file is an
// empty baseline.
func readBaseline(path string, fresh bool) (regress.Baseline, error) {
	file, err := regular.Open(path)
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
		return b, usage.Errorf("%s: %w: name a file that lab matrix --update-baseline wrote", path, err)
	}
	return b, nil
}

// writeBaseline writes the file, completely or not at all.
func writeBaseline(path string, b regress.Baseline) error {
	if err := atomicfile.Write(path, 0o644, b.Encode); err != nil {
		return fmt.Errorf("record the baseline: %w", err)
	}
	return nil
}
