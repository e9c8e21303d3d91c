// Package snapshot keeps snapshots of booted guests in a folder, each under the
// key of everything it depends on.
//
// A snapshot is a file with the guest's memory, the state of its devices, and
// what the boot said on the console. Package qemu makes the first two and
// restores from them; this package starts no machine. It sees to it that a
// snapshot is whole or not there, is made once by however many processes need
// it, is the user's alone, and that all together stay within a limit. Whoever
// has one open keeps it: the files may be removed under a running guest.
//
//	<id>/ram            the guest's memory, sparse, mapped copy-on-write
//	<id>/state          the devices, QEMU's migration stream
//	<id>/console        the boot's text
//	<id>/note           what its maker has to know of it
//	<id>/manifest.json  the key, sizes and digests
//	<id>.lock           held by the process that makes or removes <id>
//	<id>.new, <id>.old  being made, being removed
//	boots.json          how often each kernel was booted, and died of it
//	facts.json          digests and versions of files that have not changed
//
// The digest of the memory is not computed for every use, which would take
// longer than the guest: a file whose inode, times and size are those noted
// after it was made is taken to be whole, any other is read through.
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

	"kernellab/internal/flock"
)

// DefaultLimit is what all snapshots together may take on the disk. One takes
// about 50 MB.
const DefaultLimit = 4 << 30

// schema changes when what is written here does.
const schema = "lab.snapshot/4"

// Key is everything that a snapshot depends on.
type Key struct {
	Kernel  string   `json:"kernel"`  // SHA-256 of the image
	Initrd  string   `json:"initrd"`  // SHA-256
	QEMU    string   `json:"qemu"`    // version
	Binary  string   `json:"binary"`  // QEMU's executable, as Identity has it
	Machine []string `json:"machine"` // qemu.Config.Identity
	// Place is what was done in the guest before it was saved, nil for a guest
	// that waits for its first program.
	Place []string `json:"place,omitempty"`
}

// ID returns the key's name in the file system.
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

// Store is a folder of snapshots. Any number of processes may use the same one,
// and any number of goroutines a Store.
type Store struct {
	Dir   string       // made when it is needed
	Limit int64        // bytes on disk, default DefaultLimit
	Warn  func(string) // is told what was mended, may be nil

	mu    sync.Mutex
	facts map[string]fact
}

// Snapshot is an open snapshot.
type Snapshot struct {
	RAM     *os.File
	State   []byte
	Console []byte
	Note    []byte
	Boot    time.Duration // how long the guest took to boot when it was made
	dir     string
}

// Close closes the memory's file, of which restored machines have their own.
func (s *Snapshot) Close() error { return s.RAM.Close() }

// Draft is a snapshot in the making.
type Draft struct {
	RAM     *os.File  // of the size asked for, all zero
	State   io.Writer // the devices
	Console io.Writer // what the boot says
	Note    io.Writer // what Snapshot.Note is to be
	Boot    time.Duration
}

// DamagedError says why a snapshot is of no use.
type DamagedError struct {
	ID, Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("snapshot %s is damaged: %s", e.ID, e.Reason)
}

// Obtain opens the snapshot of a key, or has it made: size bytes of memory, by
// make. Of several processes and goroutines that need it at once one makes it.
// An error of make is returned as it is.
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
	// Looked at without the lock it may have been on its way in or out.
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

// touch marks a snapshot as used now: the least recently used go first.
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

// make is called with the key's lock held.
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

// remove is called with the lock of id held. The files go under another name
// first, so that nobody finds half of them.
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

// staleAfter is when a small file that was being written has been given up.
const staleAfter = time.Minute

// Sweep removes what processes that were killed have left behind.
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
		id, ok := strings.CutSuffix(e.Name(), ".new")
		if !ok {
			id, ok = strings.CutSuffix(e.Name(), ".old")
		}
		if !ok || !e.IsDir() {
			continue
		}
		lock, err := flock.Try(s.path(id + ".lock"))
		if err != nil {
			continue // its process lives
		}
		err = os.RemoveAll(s.path(e.Name()))
		lock.Close()
		if err != nil {
			return fmt.Errorf("sweep the snapshots: %w", err)
		}
	}
	return nil
}

// trim removes the snapshots used longest ago until the rest is within the
// limit. keep stays; so does what another process is at.
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
