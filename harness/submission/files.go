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

	"kernellab/internal/nearest"
)

// AnswersFile is the file with the answers.
const AnswersFile = "answers.yaml"

// names are the files that are read, and no others.
var names = []string{"prog.go", "prog.c", AnswersFile}

// The limits on what is read, in bytes and files.
const (
	maxProgram = 1 << 20
	maxAnswers = 64 << 10
	maxArchive = 8 << 20
	maxIgnored = 20  // names that are told
	maxListed  = 500 // names that are looked at
)

func limit(name string) int64 {
	if name == AnswersFile {
		return maxAnswers
	}
	return maxProgram
}

func part(name string) Part {
	if name == AnswersFile {
		return PartAnswers
	}
	return PartProgram
}

// files are what was found in a submission.
type files struct {
	data     map[string][]byte
	problems []*Problem
	ignored  []string
}

func (f *files) bad(name, hint, message string, args ...any) {
	f.problems = append(f.problems, &Problem{Part: part(name), File: name, Message: fmt.Sprintf(message, args...), Hint: hint})
}

// ignore notes a name that is not read. Those that systems leave in every folder
// are not worth telling.
func (f *files) ignore(name string) {
	base := filepath.Base(name)
	if len(f.ignored) < maxIgnored && !strings.HasPrefix(base, ".") && base != "__MACOSX" {
		f.ignored = append(f.ignored, clip(name))
	}
}

// clip bounds a name of the student's in a message.
func clip(name string) string {
	const most = 80
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// mean is the hint for a file that is missing: a file there that may be meant.
func (f *files) mean(wanted []string) string {
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
	return nil, errors.New("neither a folder nor an archive")
}

// fromFile is a submission of one file, named by whoever grades.
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

// list returns the first entries of a folder, in the order of their names.
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

// onlyFolder returns the folder that holds all, as archives of a folder have it,
// or "".
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

// take reads a file of the folder, if it is there. It opens nothing that is not a
// regular file: a pipe would block, a device do worse.
func (f *files) take(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		f.bad(name, "hand in the file itself", "%s, not a regular file", kind(info.Mode()))
		return nil
	}
	// Should it have become something else meanwhile.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		f.bad(name, "hand in the file itself", "%s, not a regular file", kind(info.Mode()))
		return nil
	}
	return f.keep(name, file)
}

// keep reads a file whose content is the student's and whose stream is r.
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

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}
