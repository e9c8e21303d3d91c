// Package intact tells whether files of the cache are still what was written.
//
// The SHA-256 of a file is in another file beside it, its sum, and with it the stamp
// that the file had when it was last read through: its size, inode and times. While
// the stamp is the same the file is not read again, which would take longer than a run.
// One of the times is the inode's change time (ctime), which no program can set: each
// write, truncation, rename and change of the modification time moves it, and so does
// a write through a mapping. A stamp younger than [settled] is not kept, as the clock of
// a file system may have passed on by less than the next write needs.
//
// A stamp does not show what happens below the file system, on a disk that returns other
// bytes than it was given. [Through] reads a file whatever its stamp is: for when
// something has failed that rests on it.
package intact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
)

// Suffix ends the name of the file with the sum of a file.
const Suffix = ".sum"

// FolderSums is the name of the file with the sums of a folder's files.
const FolderSums = "sums.json"

// ErrUnknown says that no sum of a file was recorded.
var ErrUnknown = errors.New("no digest of it was recorded")

// DamagedError says that a file is not what was written.
type DamagedError struct{ Path, Reason string }

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %s", e.Path, e.Reason) }

// Damaged reports whether err is that a file is damaged.
func Damaged(err error) bool {
	var d *DamagedError
	return errors.As(err, &d)
}

// settled is how old the last change of a file has to be for its stamp to be kept: the
// times of the coarsest file systems are two seconds apart.
const settled = 3 * time.Second

const schema = "lab.sums/1"

// maxSums bounds what is read of a file with sums, of some 20 KB at most.
const maxSums = 1 << 20

// sums is the content of a file with sums.
type sums struct {
	Schema string         `json:"schema"`
	Files  map[string]sum `json:"files"` // by name or, of a folder's, path
}

type sum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Stamp  stamp  `json:"stamp"` // the zero value until the file has settled
}

// stamp is what the file system says of a file: while it is the same, so is the file.
type stamp struct {
	Inode   uint64 `json:"inode"`
	Changed int64  `json:"changed_ns"` // ctime
	Written int64  `json:"written_ns"` // mtime
}

// Write writes a file whole, as atomicfile.Write does, and its sum.
func Write(path string, perm fs.FileMode, write func(io.Writer) error) error {
	h := sha256.New()
	var size count
	err := atomicfile.Write(path, perm, func(w io.Writer) error { return write(io.MultiWriter(w, h, &size)) })
	if err != nil {
		return err
	}
	return put(path+Suffix, sums{Files: map[string]sum{filepath.Base(path): {Size: int64(size), SHA256: hex.EncodeToString(h.Sum(nil))}}})
}

// WriteBytes is Write of bytes.
func WriteBytes(path string, perm fs.FileMode, b []byte) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

type count int64

func (c *count) Write(p []byte) (int, error) {
	*c += count(len(p))
	return len(p), nil
}

// Check returns nil for a file that is what was written. The error is fs.ErrNotExist
// for one that is not there, ErrUnknown for one without a sum, and a *DamagedError for
// one that is not what was written.
func Check(path string) error {
	_, err := Sum(path)
	return err
}

// Sum is Check that returns the SHA-256 of the file, in hex.
func Sum(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	s, err := get(path + Suffix)
	if err != nil {
		return "", unreadable(path, err)
	}
	want, ok := s.Files[filepath.Base(path)]
	if !ok {
		return "", &DamagedError{path, "its sum is of another file"}
	}
	fresh, err := want.check(path, info)
	if err == nil && fresh {
		s.Files[filepath.Base(path)] = want
		put(path+Suffix, s) // else it is read through again the next time
	}
	return want.SHA256, err
}

// unreadable is why a file without a readable sum is no good.
func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, ErrUnknown)
	}
	return &DamagedError{path, "its sum cannot be read: " + err.Error()}
}

// Is returns nil for a file that has the SHA-256, in hex, that its maker recorded
// elsewhere. It keeps a sum only not to read the file again. Errors are those of Check.
func Is(path, digest string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	want := sum{Size: info.Size(), SHA256: digest}
	if s, err := get(path + Suffix); err == nil && s.Files[name].SHA256 == digest {
		want.Stamp = s.Files[name].Stamp
	}
	fresh, err := want.check(path, info)
	if err == nil && fresh {
		put(path+Suffix, sums{Files: map[string]sum{name: want}})
	}
	return err
}

// Record records the sum of a file as it is: of one whose maker has not.
func Record(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	digest, err := read(path)
	if err != nil {
		return err
	}
	return put(path+Suffix, sums{Files: map[string]sum{filepath.Base(path): {Size: info.Size(), SHA256: digest}}})
}

// Read returns the content of a small file. Errors are those of Check.
func Read(path string) ([]byte, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	return regular.ReadFile(path, math.MaxInt64)
}

// Through is Check that reads the file whatever its stamp is.
func Through(path string) error {
	s, err := get(path + Suffix)
	if err != nil {
		return unreadable(path, err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	want := s.Files[filepath.Base(path)]
	want.Stamp = stamp{}
	_, err = want.check(path, info)
	return err
}

// Remove removes a file and its sum.
func Remove(path string) error {
	err := os.Remove(path)
	if err2 := os.Remove(path + Suffix); err == nil && !errors.Is(err2, fs.ErrNotExist) {
		err = err2
	}
	return err
}

// SealFolder records the sums of all files of a folder in one file in it.
func SealFolder(dir string) error {
	s := sums{Files: map[string]sum{}}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == filepath.Join(dir, FolderSums) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		digest, err := read(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		s.Files[name] = sum{Size: info.Size(), SHA256: digest}
		return err
	})
	if err != nil {
		return err
	}
	return put(filepath.Join(dir, FolderSums), s)
}

// CheckFolder returns nil for a folder whose files are those that SealFolder saw. Errors
// are those of Check, ErrUnknown for a folder that was not sealed; a file that is
// missing is damage. Files that were added are ignored.
func CheckFolder(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	record := filepath.Join(dir, FolderSums)
	s, err := get(record)
	if err != nil {
		return unreadable(dir, err)
	}
	changed := false
	for name, want := range s.Files {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err != nil {
			return &DamagedError{path, err.Error()}
		}
		fresh, err := want.check(path, info)
		if err != nil {
			return err
		}
		if fresh {
			s.Files[name], changed = want, true
		}
	}
	if changed {
		put(record, s)
	}
	return nil
}

// FolderPart is the sums of some of a sealed folder's files, for a copy of the folder
// that has only those: the content of its FolderSums.
func FolderPart(dir string, names []string) ([]byte, error) {
	s, err := get(filepath.Join(dir, FolderSums))
	if err != nil {
		return nil, unreadable(dir, err)
	}
	part := sums{Schema: schema, Files: map[string]sum{}}
	for _, name := range names {
		want, ok := s.Files[name]
		if !ok {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), ErrUnknown)
		}
		want.Stamp = stamp{}
		part.Files[name] = want
	}
	return json.MarshalIndent(part, "", "\t")
}

// check compares a file with its sum, by its stamp or else by its content. fresh says
// that it has a new stamp, to be kept.
func (s *sum) check(path string, info fs.FileInfo) (fresh bool, err error) {
	switch {
	case !info.Mode().IsRegular():
		return false, &DamagedError{path, "it is not a regular file"}
	case info.Size() != s.Size:
		return false, &DamagedError{path, fmt.Sprintf("it has %d bytes, want %d", info.Size(), s.Size)}
	}
	now := stampOf(info)
	if now == s.Stamp && now != (stamp{}) {
		return false, nil
	}
	began := time.Now()
	digest, err := read(path)
	if err != nil {
		return false, err
	}
	if digest != s.SHA256 {
		return false, &DamagedError{path, "its SHA-256 is not the one that was recorded"}
	}
	if began.Sub(time.Unix(0, now.Changed)) < settled {
		return false, nil
	}
	s.Stamp = now
	return true, nil
}

func stampOf(info fs.FileInfo) stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}
	}
	return stamp{Inode: st.Ino, Changed: st.Ctim.Nano(), Written: st.Mtim.Nano()}
}

// read returns the SHA-256 of a regular file, in hex.
func read(path string) (string, error) {
	f, err := regular.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW)
	var kind *regular.Error
	if errors.As(err, &kind) {
		return "", &DamagedError{path, "it is " + regular.Kind(kind.Mode)}
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func get(path string) (sums, error) {
	var s sums
	b, err := regular.ReadFile(path, maxSums)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, err
	}
	if s.Schema != schema {
		return s, fmt.Errorf("schema %q, want %q", s.Schema, schema)
	}
	return s, nil
}

func put(path string, s sums) error {
	s.Schema = schema
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, 0o600, append(b, '\n'))
}
