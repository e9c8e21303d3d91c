package export

import (
	"archive/zip"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"

	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
)

// bundle collects the files of an archive.
type bundle struct {
	entries []bundled
}

// bundled is a file of the archive: a text, or a copy of a file on this host.
type bundled struct {
	name string
	mode fs.FileMode
	text []byte
	from string
}

func (z *bundle) text(name string, mode fs.FileMode, text []byte) {
	z.entries = append(z.entries, bundled{name: name, mode: mode, text: text})
}

func (z *bundle) file(name string, mode fs.FileMode, from string) {
	z.entries = append(z.entries, bundled{name: name, mode: mode, from: from})
}

// files adds files of the cache to a folder of the archive.
func (z *bundle) files(dir string, paths ...string) {
	for _, p := range paths {
		mode := fs.FileMode(0o600)
		if info, err := os.Stat(p); err == nil {
			mode = info.Mode().Perm()
		}
		z.file(path.Join(dir, filepath.Base(p)), mode, p)
	}
}

// write writes the archive atomically and returns its size in bytes.
func (z *bundle) write(to string) (int64, error) {
	slices.SortFunc(z.entries, func(x, y bundled) int { return strings.Compare(x.name, y.name) })
	err := atomicfile.Write(to, 0o644, func(file io.Writer) error {
		w := zip.NewWriter(file)
		w.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) {
			return flate.NewWriter(to, 6)
		})
		for _, e := range z.entries {
			if err := e.write(w); err != nil {
				return err
			}
		}
		return w.Close()
	})
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(to)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (e bundled) write(w *zip.Writer) error {
	h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
	h.SetMode(e.mode)
	to, err := w.CreateHeader(h)
	if err != nil {
		return err
	}
	if e.from == "" {
		_, err = to.Write(e.text)
		return err
	}
	from, err := regular.Open(e.from)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}
