package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
)

// manifest describes a snapshot. It is written last.
type manifest struct {
	Schema string           `json:"schema"`
	Key    Key              `json:"key"`
	BootNS time.Duration    `json:"boot_ns"`
	Files  map[string]entry `json:"files"`
}

type entry struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Stamp  stamp  `json:"stamp"`
}

// stamp has the file system's metadata of a file. While it does not change, neither
// does the file.
type stamp struct {
	Size    int64  `json:"size"`
	Inode   uint64 `json:"inode"`
	Changed int64  `json:"changed_ns"` // ctime, which no program can set
	Written int64  `json:"written_ns"` // mtime
}

func stampOf(f *os.File) (stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	return infoStamp(info)
}

func infoStamp(info fs.FileInfo) (stamp, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, fmt.Errorf("%s: the file system tells no inode", info.Name())
	}
	return stamp{Size: info.Size(), Inode: st.Ino, Changed: st.Ctim.Nano(), Written: st.Mtim.Nano()}, nil
}

func (m manifest) write(dir string) error {
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, manifestFile), 0o600, append(b, '\n'))
}

// maxManifest limits the size of a manifest, which normally is under 4 KiB.
const maxManifest = 64 << 10

// open opens the snapshot of a key. The error is fs.ErrNotExist if there is none, and a
// *DamagedError if it is incomplete or damaged.
func (s *Store) open(k Key) (_ *Snapshot, err error) {
	id := k.ID()
	dir := s.path(id)
	damaged := func(format string, args ...any) error {
		return &DamagedError{ID: id[:8], Reason: fmt.Sprintf(format, args...)}
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !private(info) || !info.IsDir() {
		return nil, damaged("its folder is not this user's alone")
	}
	m, err := readManifest(dir)
	if err != nil {
		return nil, damaged("%v", err)
	}
	if m.Schema != schema || !reflect.DeepEqual(m.Key, k) {
		return nil, damaged("it is of another kernel, initramfs or QEMU than its name says")
	}
	snap := &Snapshot{Boot: m.BootNS, dir: dir}
	if snap.State, err = readChecked(dir, stateFile, m.Files[stateFile]); err != nil {
		return nil, damaged("%v", err)
	}
	if snap.Console, err = readChecked(dir, consoleFile, m.Files[consoleFile]); err != nil {
		return nil, damaged("%v", err)
	}
	if snap.Note, err = readChecked(dir, noteFile, m.Files[noteFile]); err != nil {
		return nil, damaged("%v", err)
	}
	if snap.RAM, err = openRAM(filepath.Join(dir, ramFile)); err != nil {
		return nil, damaged("%v", err)
	}
	if err := checkRAM(snap.RAM, dir, m); err != nil {
		snap.RAM.Close()
		return nil, damaged("%v", err)
	}
	snap.ram = m.Files[ramFile]
	return snap, nil
}

// openRAM opens the memory file. QEMU maps it copy-on-write, and opens it for writing if it
// can.
func openRAM(path string) (*os.File, error) {
	f, err := regular.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW)
	if errors.Is(err, syscall.EROFS) {
		return regular.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW)
	}
	return f, err
}

// private reports whether a file belongs to this user and nobody else may access it.
func private(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}

func readManifest(dir string) (manifest, error) {
	var m manifest
	f, err := regular.OpenFile(filepath.Join(dir, manifestFile), os.O_RDONLY|syscall.O_NOFOLLOW)
	if err != nil {
		return m, err
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, maxManifest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return m, fmt.Errorf("%s: %w", manifestFile, err)
	}
	return m, nil
}

// maxSmall limits the sizes of the device state and the console output, which normally
// have some hundred KB.
const maxSmall = 64 << 20

// readChecked reads a small file and compares it with its entry.
func readChecked(dir, name string, want entry) ([]byte, error) {
	f, err := regular.OpenFile(filepath.Join(dir, name), os.O_RDONLY|syscall.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() != want.Size || want.Size > maxSmall || !private(info) {
		return nil, fmt.Errorf("%s has %d bytes, want %d", name, info.Size(), want.Size)
	}
	b := make([]byte, want.Size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if sum, err := digestOf(bytes.NewReader(b), [][2]int64{{0, want.Size}}, want.Size); err != nil || sum != want.SHA256 {
		return nil, fmt.Errorf("%s is not what was written", name)
	}
	return b, nil
}

// checkRAM compares the memory file with its entry: by its stamp, or by its content if
// the stamp differs. Then it stores the new stamp.
func checkRAM(f *os.File, dir string, m manifest) error {
	want := m.Files[ramFile]
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !private(info) {
		return fmt.Errorf("%s is not this user's alone", ramFile)
	}
	st, err := infoStamp(info)
	if err != nil {
		return err
	}
	if st.Size != want.Size || want.Size == 0 {
		return fmt.Errorf("%s has %d bytes, want %d", ramFile, st.Size, want.Size)
	}
	if st == want.Stamp {
		return nil
	}
	sum, err := digest(f)
	if err != nil {
		return err
	}
	if sum != want.SHA256 {
		return fmt.Errorf("%s is not what was written", ramFile)
	}
	want.Stamp = st
	m.Files[ramFile] = want
	m.write(dir) // otherwise the next open reads the whole file again
	return nil
}

// digest returns the SHA-256 of a file's non-zero pages and their offsets. It does not
// depend on the file's holes.
func digest(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	runs, err := dataRuns(f, info.Size())
	if err != nil {
		return "", err
	}
	return digestOf(f, runs, info.Size())
}

// Copy copies a guest's memory from a file to to, an empty file of the same size. Pages
// of zeros, which are more than half of a booted guest's memory, become holes.
func Copy(to, from *os.File) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	runs, err := dataRuns(from, info.Size())
	if err != nil {
		return err
	}
	return pages(from, runs, info.Size(), func(at int64, data []byte, zero bool) error {
		if zero {
			return nil
		}
		_, err := to.WriteAt(data, at)
		return err
	})
}

// thin makes holes of the zeros in a file, where the file system can: less is written to
// the disk, and read for each copy.
func thin(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	runs, err := dataRuns(f, info.Size())
	if err != nil {
		return err
	}
	const worthwhile = 16 * pageSize
	err = pages(f, runs, info.Size(), func(at int64, data []byte, zero bool) error {
		if !zero || len(data) < worthwhile {
			return nil
		}
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, int64(len(data)))
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

const pageSize = 4096

// pages calls do with the data of the runs of a file of that size, in stretches of pages
// that are all zero or all not, of at most 256 pages.
func pages(r io.ReaderAt, runs [][2]int64, size int64, do func(at int64, data []byte, zero bool) error) error {
	var none [pageSize]byte
	buf := make([]byte, 256*pageSize)
	for _, run := range runs {
		for at := run[0] &^ (pageSize - 1); at < run[1]; {
			n, err := r.ReadAt(buf[:min(int64(len(buf)), run[1]-at, size-at)], at)
			if err != nil && !errors.Is(err, io.EOF) || n == 0 {
				return fmt.Errorf("read at byte %d: %w", at, err)
			}
			from, zero := 0, false
			for i := 0; i < n; i += pageSize {
				page := buf[i:min(i+pageSize, n)]
				is := bytes.Equal(page, none[:len(page)])
				if i > from && is != zero {
					if err := do(at+int64(from), buf[from:i], zero); err != nil {
						return err
					}
					from = i
				}
				zero = is
			}
			if err := do(at+int64(from), buf[from:n], zero); err != nil {
				return err
			}
			at += int64(n)
		}
	}
	return nil
}

func digestOf(r io.ReaderAt, runs [][2]int64, size int64) (string, error) {
	h := sha256.New()
	var place [8]byte
	err := pages(r, runs, size, func(at int64, data []byte, zero bool) error {
		if zero {
			return nil
		}
		for i := 0; i < len(data); i += pageSize {
			binary.LittleEndian.PutUint64(place[:], uint64(at)+uint64(i))
			h.Write(place[:])
			h.Write(data[i:min(i+pageSize, len(data))])
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// dataRuns returns the ranges of a file that are not holes, as start and end, sorted
// and disjoint.
func dataRuns(f *os.File, size int64) ([][2]int64, error) {
	var runs [][2]int64
	for at := int64(0); at < size; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return runs, nil
		}
		if err != nil {
			return [][2]int64{{0, size}}, nil // a file system without holes
		}
		to, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("find the holes: %w", err)
		}
		// Round to whole pages, so that no page is in two ranges.
		from, to = from&^(pageSize-1), min((to+pageSize-1)&^(pageSize-1), size)
		if n := len(runs); n > 0 && from <= runs[n-1][1] {
			runs[n-1][1] = to
		} else {
			runs = append(runs, [2]int64{from, to})
		}
		at = to
	}
	return runs, nil
}

// onDisk returns how many bytes the files in a folder take on disk.
func onDisk(dir string) int64 {
	var sum int64
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
	}
	return sum
}
