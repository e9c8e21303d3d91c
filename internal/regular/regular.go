// Package regular opens regular files and nothing else. A name that a person gives, or
// that stands in the cache, can be that of a pipe, whose opening waits for a writer, or
// of a device, which may have no end.
package regular

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Error says that a path names something else than a regular file.
type Error struct {
	Path string
	Mode fs.FileMode // its type
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s is %s: name a regular file", e.Path, Kind(e.Mode))
}

// TooLargeError says that a file has more bytes than its reader takes.
type TooLargeError struct {
	Path       string
	Size, Most int64 // in bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has %d bytes, the limit is %d", e.Path, e.Size, e.Most)
}

// Open opens a regular file for reading, or what a symbolic link to one leads to. It
// never waits. The error is an *Error when path names something else.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY) }

// OpenFile is Open with flags of package os or syscall: syscall.O_NOFOLLOW, for
// instance, refuses symbolic links. It creates no file.
func OpenFile(path string, flag int) (*os.File, error) {
	// Opening a device can have effects, so look first.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := Check(path, info); err != nil {
		return nil, err
	}
	// The file may have become a pipe meanwhile.
	f, err := os.OpenFile(path, flag&^os.O_CREATE|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil {
		err = Check(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Check returns an *Error when info, of the file at path, is not that of a regular file.
func Check(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return &Error{Path: path, Mode: info.Mode().Type()}
}

// ReadFile reads a regular file of at most most bytes. It reads as many bytes as the
// file has when it is opened. The error is a *TooLargeError when it has more.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, &TooLargeError{Path: path, Size: info.Size(), Most: most}
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, nil
}

// Kind names the type of a file to a person: "a pipe".
func Kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a regular file"
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

// FS is a folder whose files are opened by [Open].
func FS(dir string) fs.FS { return folder(dir) }

type folder string

// Open implements fs.FS.
func (d folder) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	path := filepath.Join(string(d), filepath.FromSlash(name))
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return os.Open(path)
	}
	f, err := Open(path)
	if err != nil {
		return nil, err // not f: a nil pointer in an interface is not nil
	}
	return f, nil
}
