package prepare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/images"
	"kernellab/labs"
)

// VerdictFile is the verdict's name in the folder of a run.
const VerdictFile = "verdict.json"

// Folder is where a run leaves its files: a folder that a person named, or one of
// the cache's.
type Folder struct {
	Dir string

	name    string
	cache   *images.Cache // nil for a person's folder
	release func()
}

// Folder makes the folder of a run of l on a kernel. out is what the person named,
// or ""; when several runs share it, each has a folder of its own in it.
func (h Host) Folder(ctx context.Context, out string, several bool, l labs.Lab, arch, release string) (*Folder, error) {
	name := strings.Join([]string{l.Name, arch, release}, ".")
	if out != "" {
		dir := out
		if several {
			dir = filepath.Join(out, name)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make the folder of --out: %w", err)
		}
		return &Folder{Dir: dir}, nil
	}
	dir, end, err := h.Cache.TempDir(ctx, "run")
	if err != nil {
		return nil, err
	}
	return &Folder{Dir: dir, name: name, cache: h.Cache, release: end}, nil
}

// Close is called once, at the end of the run. It returns where the files are then,
// or "" when they were removed. Without a folder of the person's, only the files of
// a failed run are kept, and only those of the last one on each kernel, so that
// they do not pile up.
func (f *Folder) Close(failed bool) string {
	if f.cache == nil {
		return f.Dir
	}
	defer f.release()
	if !failed {
		return ""
	}
	kept, err := f.cache.Path("failed")
	if err != nil {
		return ""
	}
	to := filepath.Join(kept, f.name)
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(f.Dir))); err != nil {
		return ""
	}
	return to
}

// WriteVerdict writes a verdict document into a folder.
func WriteVerdict(dir string, doc verdict.Document) error {
	f, err := os.Create(filepath.Join(dir, VerdictFile))
	if err != nil {
		return err
	}
	return errors.Join(report.Write(f, report.FormatJSON, doc, report.Style{}), f.Close())
}
