// Package atomicfile writes files that exist whole or not at all, after a crash of the
// host too: renameio syncs them before it renames them.
package atomicfile

import (
	"io"
	"io/fs"

	"github.com/google/renameio/v2"
)

// Write replaces the file at path by what write writes. perm is the file's mode,
// whatever the umask. When write or anything else fails, the file that was there before
// stays, and nothing is left in its folder.
func Write(path string, perm fs.FileMode, write func(io.Writer) error) error {
	f, err := renameio.NewPendingFile(path, renameio.WithStaticPermissions(perm))
	if err != nil {
		return err
	}
	defer f.Cleanup() // nothing, once the file is in its place
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
