package submission

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kernellab/internal/regular"
)

// ScriptFile is the file with a script for ftrace.
const ScriptFile = "trace.sh"

// maxScript is the size of the largest script, in bytes.
const maxScript = 64 << 10

// ReadScript reads a script for ftrace: a file, or the ScriptFile in a folder.
func ReadScript(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the script: %w", err)
	}
	if info.IsDir() {
		path = filepath.Join(path, ScriptFile)
	}
	f, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the script: %w", err)
	}
	defer f.Close()
	source, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err == nil && len(source) > maxScript {
		err = fmt.Errorf("%s is larger than %d KiB, which is the limit", path, maxScript>>10)
	}
	return source, err
}
