package submission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"kernellab/harness/variant"
	"kernellab/internal/nearest"
	"kernellab/internal/regular"
)

// AnswersFile is the file with the answers.
const AnswersFile = "answers.yaml"

// names are the files that are read.
var names = []string{"prog.go", "prog.c", ScriptFile, AnswersFile, variant.File}

// Limits in bytes and in numbers of files.
const (
	maxProgram = 1 << 20
	maxAnswers = 64 << 10
	maxRecord  = 8 << 10
	maxArchive = 8 << 20
	maxIgnored = 20  // names in Submission.Ignored
	maxListed  = 500 // entries of a folder
)

func limit(name string) int64 {
	switch name {
	case AnswersFile:
		return maxAnswers
	case variant.File:
		return maxRecord
	case ScriptFile:
		return maxScript
	}
	return maxProgram
}

func part(name string) Part {
	switch name {
	case AnswersFile:
		return PartAnswers
	case variant.File:
		return PartTask
	}
	return PartProgram
}

// files holds the files of a submission.
type files struct {
	data     map[string][]byte
	problems []*Problem
	ignored  []string
}

func (f *files) bad(name, hint, message string, args ...any) {
	p := &Problem{Part: part(name), File: name, Message: fmt.Sprintf(message, args...), Hint: hint}
	p.Free = p.Part == PartTask // the task does not depend on it where marks do
	f.problems = append(f.problems, p)
}

// ignore records the name of a file that is not read, unless it is hidden or
// __MACOSX.
func (f *files) ignore(name string) {
	base := filepath.Base(name)
	if len(f.ignored) < maxIgnored && !strings.HasPrefix(base, ".") && base != "__MACOSX" {
		f.ignored = append(f.ignored, clip(name))
	}
}

// clip shortens a student's text for a message.
func clip(name string) string {
	const most = 80
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// similar returns the hint for a missing file: to rename a file with a similar name.
func (f *files) similar(wanted []string) string {
	for _, w := range wanted {
		for _, name := range f.ignored {
			base := filepath.Base(name)
			same := filepath.Ext(base) == filepath.Ext(w) || strings.HasPrefix(strings.ToLower(base), w)
			if same && filepath.Ext(w) != ".yaml" || len(nearest.Words(base, []string{w})) > 0 {
				return fmt.Sprintf("rename %s to %s", name, w)
			}
		}
	}
	return ""
}

// collect finds the files of the submission at path.
func collect(ctx context.Context, path string, info fs.FileInfo) (*files, error) {
	switch base := filepath.Base(path); {
	case info.IsDir():
		return fromFolder(ctx, path)
	case slices.Contains(names, base):
		return fromFile(path, base)
	case info.Mode().IsRegular():
		return fromArchive(ctx, path, info)
	}
	return nil, regular.Check(path, info)
}

// fromFile reads a submission of one file.
func fromFile(path, name string) (*files, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f := &files{data: map[string][]byte{}}
	return f, f.take(root, name)
}

// fromFolder reads a folder, or the only folder in it.
func fromFolder(ctx context.Context, path string) (*files, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	defer func() { root.Close() }()
	f := &files{data: map[string][]byte{}}
	entries, err := list(root)
	if err != nil {
		return nil, err
	}
	if only := onlyFolder(entries); only != "" {
		inner, err := root.OpenRoot(only)
		if err != nil {
			return nil, err
		}
		root.Close()
		root = inner
		if entries, err = list(root); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			f.ignore(e.Name())
		}
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := f.take(root, name); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// list returns up to maxListed entries of a folder, sorted by name.
func list(root *os.Root) ([]fs.DirEntry, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(maxListed)
	if err != nil && err != io.EOF {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// onlyFolder returns the only entry, if it is a folder, or "".
func onlyFolder(entries []fs.DirEntry) string {
	only := ""
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), ".") || e.Name() == "__MACOSX":
		case only != "" || !e.IsDir():
			return ""
		default:
			only = e.Name()
		}
	}
	return only
}

// take reads a file of the folder, if it exists. It opens only regular files: a pipe
// would block, and opening a device may have effects.
func (f *files) take(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		f.bad(name, "hand in the file itself", "%s, not a regular file", regular.Kind(info.Mode()))
		return nil
	}
	// The file may have changed since Lstat.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		f.bad(name, "hand in the file itself", "%s, not a regular file", regular.Kind(info.Mode()))
		return nil
	}
	return f.keep(name, file)
}

// keep reads the content of a file from r.
func (f *files) keep(name string, r io.Reader) error {
	most := limit(name)
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return err
	}
	if int64(len(data)) > most {
		f.bad(name, "", "larger than %d KiB, which is the limit", most>>10)
		return nil
	}
	f.data[name] = data
	return nil
}
