// Package snapshot stores snapshots of booted guests in a folder, each under a key
// that has everything the snapshot depends on.
//
// A snapshot has a file with the guest's memory, the state of its devices, and the
// console output of the boot. Package qemu makes the first two and restores from them;
// this package starts no machine. It ensures that a snapshot is complete or absent, is
// made only once when several processes need it, is private to the user, and that all
// snapshots together stay within a limit. An open snapshot stays usable: its files may
// be removed while a guest runs from it.
//
//	<id>/ram            the guest's memory, sparse, mapped copy-on-write
//	<id>/state          the devices, as QEMU's migration stream
//	<id>/console        the output of the boot
//	<id>/note           data of the snapshot's maker
//	<id>/manifest.json  the key, sizes and digests
//	<id>.lock           held by the process that makes or removes <id>
//	<id>.new, <id>.old  being made, being removed
//	boots.json          how many times each kernel was booted, and how many boots failed
//	facts.json          digests and versions of files that have not changed; both with
//	                    the digest of what they say
//
// The digest of the memory is not computed at every use, as that would take longer than
// starting the guest. A file whose inode, times and size are those recorded after it was
// made is assumed to be complete; any other file is read and compared.
package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kernellab/internal/flock"
)

// DefaultLimit is how many bytes all snapshots together may take on disk. One takes
// about 50 MB.
const DefaultLimit = 4 << 30

// schema changes with the format of the files.
const schema = "lab.snapshot/4"

// Key has everything that a snapshot depends on.
type Key struct {
	Kernel  string   `json:"kernel"`  // SHA-256 of the image
	Initrd  string   `json:"initrd"`  // SHA-256
	QEMU    string   `json:"qemu"`    // version
	Binary  string   `json:"binary"`  // QEMU's executable, from Identity
	Machine []string `json:"machine"` // qemu.Config.Identity
	// Place says what was done in the guest before it was saved; nil means that it
	// waits for its first program.
	Place []string `json:"place,omitempty"`
}

// ID returns the name of the key's snapshot in the file system.
func (k Key) ID() string {
	b, err := json.Marshal(struct {
		Schema string
		Key    Key
	}{schema, k})
	if err != nil {
		return "" // strings always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Store is a folder of snapshots. Several processes may use one folder, and several
// goroutines a Store.
type Store struct {
	Dir   string       // created on first use
	Limit int64        // bytes on disk, default DefaultLimit
	Warn  func(string) // is called with what was repaired; may be nil

	mu    sync.Mutex
	facts map[string]fact
}

// Snapshot is an open snapshot.
type Snapshot struct {
	RAM     *os.File
	State   []byte
	Console []byte
	Note    []byte
	Boot    time.Duration // how long the guest took to boot
	dir     string
	ram     entry
}

// Close closes the memory file. Restored machines have their own descriptors.
func (s *Snapshot) Close() error { return s.RAM.Close() }

// Memory is the memory file of a snapshot that a machine was started from. It stays
// usable when the snapshot is closed or removed.
type Memory struct {
	file *os.File
	want entry
}

// Memory returns the snapshot's memory file, which the caller closes.
func (s *Snapshot) Memory() (*Memory, error) {
	fd, err := unix.FcntlInt(s.RAM.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("hold the memory of a snapshot: %w", err)
	}
	return &Memory{os.NewFile(uintptr(fd), s.RAM.Name()), s.ram}, nil
}

// Check returns an error if the memory is not what it was when the snapshot was opened.
// It reads the file only if its stamp is another one, such as that of a snapshot that was
// removed.
func (m *Memory) Check() error {
	st, err := stampOf(m.file)
	if err != nil || st == m.want.Stamp {
		return err
	}
	sum, err := digest(m.file)
	if err == nil && (st.Size != m.want.Size || sum != m.want.SHA256) {
		err = fmt.Errorf("%s is not what was written", m.file.Name())
	}
	return err
}

// Close closes the file.
func (m *Memory) Close() error { return m.file.Close() }

// Draft is a snapshot that is being made.
type Draft struct {
	RAM     *os.File  // of the requested size, all zero
	State   io.Writer // the devices
	Console io.Writer // output of the boot
	Note    io.Writer // becomes Snapshot.Note
	Boot    time.Duration
}

// DamagedError says why a snapshot cannot be used.
type DamagedError struct {
	ID, Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("snapshot %s is damaged: %s", e.ID, e.Reason)
}

// Obtain opens the snapshot of a key. If there is none, make makes it with size bytes
// of memory. If several processes and goroutines need it at once, only one makes it.
// Obtain returns an error of make unchanged.
func (s *Store) Obtain(ctx context.Context, k Key, size int64, make func(context.Context, *Draft) error) (*Snapshot, error) {
	snap, err := s.open(k)
	if err == nil {
		s.touch(snap)
		return snap, nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	lock, err := flock.Wait(ctx, s.path(k.ID()+".lock"))
	if err != nil {
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	defer lock.Close()
	// Without the lock, it may have been incomplete.
	snap, err = s.open(k)
	var damaged *DamagedError
	switch {
	case err == nil:
		s.touch(snap)
		return snap, nil
	case errors.As(err, &damaged):
		s.warn(fmt.Sprintf("%v; making it anew", err))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	if err := s.make(ctx, k, size, make); err != nil {
		return nil, err
	}
	s.trim(k.ID())
	return s.open(k)
}

// Discard removes the snapshot of a key, for instance because its guest died.
func (s *Store) Discard(ctx context.Context, k Key) error {
	lock, err := flock.Wait(ctx, s.path(k.ID()+".lock"))
	if err != nil {
		return fmt.Errorf("remove a snapshot: %w", err)
	}
	defer lock.Close()
	return s.remove(k.ID())
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

func (s *Store) warn(text string) {
	if s.Warn != nil {
		s.Warn(text)
	}
}

// touch marks a snapshot as used now: trim removes the least recently used ones first.
func (s *Store) touch(snap *Snapshot) {
	now := time.Now()
	os.Chtimes(snap.dir, now, now)
}

// The files of a snapshot.
const (
	ramFile      = "ram"
	stateFile    = "state"
	consoleFile  = "console"
	noteFile     = "note"
	manifestFile = "manifest.json"
)

// make must be called with the lock of the key held.
func (s *Store) make(ctx context.Context, k Key, size int64, make func(context.Context, *Draft) error) (err error) {
	id := k.ID()
	dir := s.path(id + ".new")
	if err := errors.Join(s.remove(id), os.RemoveAll(dir)); err != nil {
		return fmt.Errorf("make a snapshot: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make a snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	files := map[string]*os.File{}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, name := range []string{ramFile, stateFile, consoleFile, noteFile} {
		if files[name], err = os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return fmt.Errorf("make a snapshot: %w", err)
		}
	}
	if err := files[ramFile].Truncate(size); err != nil {
		return fmt.Errorf("make a snapshot: %w", err)
	}
	d := &Draft{RAM: files[ramFile], State: files[stateFile], Console: files[consoleFile], Note: files[noteFile]}
	if err := make(ctx, d); err != nil {
		return err
	}
	if err := s.seal(k, d, files, dir); err != nil {
		return fmt.Errorf("make a snapshot: %w", err)
	}
	if err := os.Rename(dir, s.path(id)); err != nil {
		return fmt.Errorf("make a snapshot: %w", err)
	}
	return nil
}

// seal writes the manifest of a draft.
func (s *Store) seal(k Key, d *Draft, files map[string]*os.File, dir string) error {
	m := manifest{Schema: schema, Key: k, BootNS: d.Boot, Files: map[string]entry{}}
	if err := thin(d.RAM); err != nil {
		return fmt.Errorf("make holes of the memory's zeros: %w", err)
	}
	for name, f := range files {
		if err := f.Sync(); err != nil {
			return err
		}
		sum, err := digest(f)
		if err != nil {
			return err
		}
		st, err := stampOf(f)
		if err != nil {
			return err
		}
		m.Files[name] = entry{Size: st.Size, SHA256: sum, Stamp: st}
	}
	return m.write(dir)
}

// remove must be called with the lock of id held. It renames the files first, so that
// nobody finds an incomplete snapshot.
func (s *Store) remove(id string) error {
	old := s.path(id + ".old")
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(s.path(id), old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(old)
}

// staleAfter is the age at which a small temporary file is abandoned.
const staleAfter = time.Minute

// Sweep removes the files that killed processes left, and the locks of snapshots that
// are gone.
func (s *Store) Sweep() error {
	list, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep the snapshots: %w", err)
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && e.Name()[0] == '.' && time.Since(info.ModTime()) > staleAfter {
			os.Remove(s.path(e.Name()))
			continue
		}
		if id, ok := strings.CutSuffix(e.Name(), ".lock"); ok && len(id) == idLength {
			s.sweepLock(id)
			continue
		}
		id, ok := strings.CutSuffix(e.Name(), ".new")
		if !ok {
			id, ok = strings.CutSuffix(e.Name(), ".old")
		}
		if !ok || !e.IsDir() {
			continue
		}
		lock, err := flock.Try(s.path(id + ".lock"))
		if err != nil {
			continue // its process is alive
		}
		err = os.RemoveAll(s.path(e.Name()))
		lock.Close()
		if err != nil {
			return fmt.Errorf("sweep the snapshots: %w", err)
		}
	}
	return nil
}

// idLength is the length of what Key.ID returns.
const idLength = 32

// sweepLock removes the lock of a snapshot that is gone, while it holds the lock.
func (s *Store) sweepLock(id string) {
	path := s.path(id + ".lock")
	lock, err := flock.Try(path)
	if err != nil {
		return // its process is alive
	}
	defer lock.Close()
	for _, name := range []string{id, id + ".new", id + ".old"} {
		if _, err := os.Lstat(s.path(name)); !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	os.Remove(path)
}

// trim removes the least recently used snapshots until the rest is within the limit. It
// does not remove keep, nor snapshots that other processes are making or removing.
func (s *Store) trim(keep string) {
	limit := s.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	type item struct {
		id   string
		used time.Time
		size int64
	}
	var items []item
	var sum int64
	list, _ := os.ReadDir(s.Dir)
	for _, e := range list {
		info, err := e.Info()
		if err != nil || !e.IsDir() || strings.Contains(e.Name(), ".") {
			continue
		}
		size := onDisk(s.path(e.Name()))
		sum += size
		items = append(items, item{e.Name(), info.ModTime(), size})
	}
	slices.SortFunc(items, func(a, b item) int { return a.used.Compare(b.used) })
	for _, it := range items {
		if sum <= limit {
			return
		}
		if it.id == keep {
			continue
		}
		lock, err := flock.Try(s.path(it.id + ".lock"))
		if err != nil {
			continue
		}
		if s.remove(it.id) == nil {
			sum -= it.size
		}
		lock.Close()
	}
}
