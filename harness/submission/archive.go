package submission

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"kernellab/internal/regular"
	"kernellab/internal/usage"
)

// archives are the extensions of archives.
var archives = []string{".tar.gz", ".tgz", ".tar", ".zip"}

const (
	maxEntries  = 2000
	maxUnpacked = 32 << 20 // bytes of an unpacked tar stream
)

// entry is a file in an archive.
type entry struct {
	name string // in pick after path.Clean, a valid path
	mode fs.FileMode
	open func() (io.ReadCloser, error)
}

func unusable(hint, message string, args ...any) *Problem {
	return &Problem{Part: PartAll, Message: fmt.Sprintf(message, args...), Hint: hint}
}

// CheckPath refuses what cannot be a submission, by its path alone, as a mistake of the
// caller and not the student's. Read refuses pipes and devices.
func CheckPath(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return usage.Errorf("no submission at %s: lab init LAB DIR begins one", path)
	case info.IsDir() || !info.Mode().IsRegular() || isArchive(path) >= 0:
		return nil
	}
	return usage.Errorf("%s is no submission: name a folder, or a %s", path, strings.Join(archives, ", "))
}

// isArchive returns the index of the extension in archives, or -1.
func isArchive(name string) int {
	lower := strings.ToLower(name)
	return slices.IndexFunc(archives, func(ext string) bool { return strings.HasSuffix(lower, ext) })
}

// fromArchive reads an archive. An error in its content is a *Problem.
func fromArchive(ctx context.Context, name string, info fs.FileInfo) (*files, error) {
	i := isArchive(info.Name())
	if i < 0 {
		return nil, unusable("hand in a folder, or a "+strings.Join(archives, ", "), "%s is not a supported kind of archive", clip(info.Name()))
	}
	if info.Size() > maxArchive {
		return nil, unusable("it needs only the program and the answers", "the archive is larger than %d MiB, which is the limit", maxArchive>>20)
	}
	file, err := regular.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if archives[i] == ".zip" {
		return fromZip(ctx, file, info.Size())
	}
	var stream io.Reader = file
	if archives[i] != ".tar" {
		unzipped, err := gzip.NewReader(file)
		if err != nil {
			return nil, unusable("make it again", "the archive is broken: %v", err)
		}
		stream = unzipped
	}
	return fromTar(ctx, stream)
}

func fromZip(ctx context.Context, r io.ReaderAt, size int64) (*files, error) {
	z, err := zip.NewReader(r, size)
	// Names that lead out of the folder are harmless: nothing is written to disk.
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, unusable("make it again", "the archive is broken: %v", err)
	}
	var entries []entry
	for _, f := range z.File {
		entries = append(entries, entry{f.Name, f.Mode(), f.Open})
	}
	return pick(ctx, entries)
}

// fromTar reads a tar stream. It keeps only the content of files that may be needed.
func fromTar(ctx context.Context, stream io.Reader) (*files, error) {
	bounded := &io.LimitedReader{R: stream, N: maxUnpacked}
	t := tar.NewReader(bounded)
	var entries []entry
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if bounded.N <= 0 || len(entries) > maxEntries {
			return nil, unusable("it needs only the program and the answers", "there is too much in the archive")
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, unusable("make it again", "the archive is broken: %v", err)
		}
		mode := h.FileInfo().Mode()
		if h.Typeflag == tar.TypeLink {
			mode |= fs.ModeSymlink // treat a hard link like a symbolic one
		}
		e := entry{name: h.Name, mode: mode}
		if base := path.Base(h.Name); mode.IsRegular() && slices.Contains(names, base) {
			data, err := io.ReadAll(io.LimitReader(t, limit(base)+1))
			if err != nil {
				return nil, unusable("make it again", "the archive is broken: %v", err)
			}
			e.open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(data))), nil }
		}
		entries = append(entries, e)
	}
	return pick(ctx, entries)
}

// pick selects the files at the root of an archive, or in its only folder.
func pick(ctx context.Context, entries []entry) (*files, error) {
	if len(entries) > maxEntries {
		return nil, unusable("it needs only the program and the answers", "more than %d files are in the archive", maxEntries)
	}
	f := &files{data: map[string][]byte{}}
	var inside []entry
	for _, e := range entries {
		clean := path.Clean(strings.ReplaceAll(e.name, `\`, "/"))
		switch {
		case clean == ".":
		case !fs.ValidPath(clean):
			f.ignore(e.name)
		default:
			inside = append(inside, entry{clean, e.mode, e.open})
		}
	}
	root := onlyRoot(inside)
	seen := map[string]bool{}
	for _, e := range inside {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		name, ok := strings.CutPrefix(e.name, root)
		switch {
		case !ok || name == "" || e.mode.IsDir() && !slices.Contains(names, name):
		case !slices.Contains(names, name):
			f.ignore(name)
		case seen[name]:
			delete(f.data, name)
			f.bad(name, "make the archive again", "it is in the archive twice")
		case !e.mode.IsRegular():
			f.bad(name, "hand in the file itself", "%s, not a regular file", regular.Kind(e.mode))
		default:
			f.unpack(name, e)
		}
		seen[name] = true
	}
	return f, nil
}

func (f *files) unpack(name string, e entry) {
	r, err := e.open()
	if err == nil {
		err = f.keep(name, r)
		r.Close()
	}
	if err != nil {
		f.bad(name, "make the archive again", "it cannot be unpacked: %v", err)
	}
}

// onlyRoot returns the folder that has all entries, with a slash at the end, or "".
func onlyRoot(entries []entry) string {
	only := ""
	for _, e := range entries {
		first, _, below := strings.Cut(e.name, "/")
		switch {
		case strings.HasPrefix(first, ".") || first == "__MACOSX":
		case !below && !e.mode.IsDir(), only != "" && only != first:
			return ""
		default:
			only = first
		}
	}
	if only == "" {
		return ""
	}
	return only + "/"
}
