// Package atomicfile writes files atomically, even if the host crashes: renameio syncs
// a file before it renames it.
package atomicfile

import (
	"io"
	"io/fs"

	"github.com/google/renameio/v2"
)

// Write replaces the file at path by the output of write. perm is the file's mode,
// regardless of the umask. On error the old file stays, and no temporary file is left.
func Write(path string, perm fs.FileMode, write func(io.Writer) error) error {
	f, err := renameio.NewPendingFile(path, renameio.WithStaticPermissions(perm))
	if err != nil {
		return err
	}
	defer f.Cleanup() // does nothing after the rename
	if err := write(f); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// WriteBytes replaces the file at path by data.
func WriteBytes(path string, perm fs.FileMode, data []byte) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
