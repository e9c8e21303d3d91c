// Package images keeps what guests boot in a cache: the folder, the locks of its
// artefacts and the work in progress. What an artefact is and how it is made, the
// packages below know: kernels (images/linux), lab's own QEMU (images/emulator), the
// initramfs (images/initramfs) and programs (images/compile).
//
// None of them starts a guest or knows labs.
package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kernellab/internal/flock"
	"kernellab/internal/intact"
)

// Cache is a folder that holds everything that is made or fetched for guests. Any
// number of processes may use the same one, and it may be deleted at any time
// that none does.
//
//	kernels/<arch>/<release>/   vmlinuz, kernel.json
//	qemu/<architecture>/<version>+faketime/  lab's own QEMU: bin, lib, share, qemu.json
//	initramfs/                  archives, by the hash of what they are made from
//	programs/                   guest programs, likewise
//	std/                        Go's standard library, compiled for submissions
//	apt/                        package indexes
//	unpacked/                   kernel images without their compression, by hash, and what is known of them
//	snapshots/                  kept here for the package that makes them
//	tmp/                        work in progress
//	locks/                      one file for each artefact being made
type Cache struct {
	// Dir is the folder. When empty it is $LAB_CACHE, else
	// $XDG_CACHE_HOME/lab, else ~/.cache/lab.
	Dir string

	// Warn is told what went wrong without being in the way, such as a suite
	// that a mirror lacks. It may be nil.
	Warn func(text string)
}

// parts are the entries of a cache. Nothing else in its folder is touched: the
// folder is the user's choice.
var parts = [...]string{"kernels", "qemu", "initramfs", "programs", "std", "apt", "snapshots", "unpacked", "debuginfo", "failed", "tmp", "locks"}

// Progress is told what is being done and how far it has come: done of total,
// in bytes, or a total of 0 when that is not known. It is called often, from one
// goroutine at a time. A nil Progress is told nothing.
type Progress func(what string, done, total int64)

// Report tells p, unless it is nil.
func (p Progress) Report(what string, done, total int64) {
	if p != nil {
		p(what, done, total)
	}
}

// Root returns the cache's folder.
func (c *Cache) Root() (string, error) {
	dir := c.Dir
	if dir == "" {
		dir = os.Getenv("LAB_CACHE")
	}
	if dir == "" {
		base, err := os.UserCacheDir() // XDG_CACHE_HOME, else ~/.cache
		if err != nil {
			return "", fmt.Errorf("find the cache: %w; set LAB_CACHE to a folder", err)
		}
		dir = filepath.Join(base, "lab")
	}
	return filepath.Abs(dir)
}

// UnwritableError says that a part of the cache cannot be made.
type UnwritableError struct{ Err error }

func (e *UnwritableError) Error() string {
	return fmt.Sprintf("open the cache: %v; set LAB_CACHE to a folder that can be written", e.Err)
}

func (e *UnwritableError) Unwrap() error { return e.Err }

// Advise returns what a person can do about err, "" if it is not about a file of the
// cache, or says that itself.
func (c *Cache) Advise(err error) string {
	var said *UnwritableError
	var at *fs.PathError
	root, rerr := c.Root()
	if rerr != nil || errors.As(err, &said) || !errors.As(err, &at) || at.Path != root && !strings.HasPrefix(at.Path, root+"/") {
		return ""
	}
	switch {
	case errors.Is(at, syscall.ENOSPC), errors.Is(at, syscall.EDQUOT):
		return fmt.Sprintf("the disk of the cache %s is full: make room with lab clean, or set LAB_CACHE to a folder on another disk", root)
	case errors.Is(at, syscall.EROFS):
		return fmt.Sprintf("the cache %s is on a file system that cannot be written: set LAB_CACHE to a folder on another", root)
	case errors.Is(at, fs.ErrPermission):
		return fmt.Sprintf("the cache %s is not yours to use: set LAB_CACHE to a folder of your own, or have its owner change the permissions", root)
	}
	return ""
}

// Advised returns err with what a person can do about it, for a document that has its
// text only. A nil cache has no advice.
func (c *Cache) Advised(err error) error {
	if c == nil {
		return err
	}
	if advice := c.Advise(err); advice != "" {
		return fmt.Errorf("%w; %s", err, advice)
	}
	return err
}

// Path returns the path of a part of the cache, such as "snapshots", and makes
// its folder.
func (c *Cache) Path(part string, elem ...string) (string, error) {
	root, err := c.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(append([]string{root, part}, elem...)...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", &UnwritableError{err}
	}
	return dir, nil
}

// Size returns how many bytes the cache's files take on disk.
func (c *Cache) Size() (int64, error) {
	root, err := c.Root()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, part := range parts {
		n, err := usage(filepath.Join(root, part))
		if err != nil {
			return 0, fmt.Errorf("measure the cache: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// heldName is the lock that commands share while they use the cache.
const heldName = "held"

// InUseError says that another process uses the cache.
type InUseError struct{ Dir string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("another lab is using the cache %s, so nothing was removed: run lab clean again when it has ended", e.Dir)
}

// Hold keeps Clean from removing anything until release is called, and sweeps the cache.
// It waits for a Clean of another process. A cache that this user may not write, and so
// not clean, is held by doing nothing. An error of the sweep is a warning, as nobody needs
// what it removes to be gone.
func (c *Cache) Hold(ctx context.Context) (release func(), err error) {
	release, err = c.share(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.Sweep(); err != nil {
		c.Warning(fmt.Sprintf("%v: check its permissions and the disk; lab continues without", err))
	}
	return release, nil
}

// unwritable reports whether err is that this user may not write the cache: runs use what
// is in it.
func unwritable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// share takes the lock that Clean needs for itself.
func (c *Cache) share(ctx context.Context) (release func(), err error) {
	dir, err := c.Path("locks")
	var lock *os.File
	if err == nil {
		lock, err = flock.Share(ctx, filepath.Join(dir, heldName))
	}
	if unwritable(err) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("hold the cache: %w", err)
	}
	return func() { lock.Close() }, nil
}

// Clean removes everything from the cache and returns how many bytes that freed. The
// error is an *InUseError while another process holds the cache.
func (c *Cache) Clean(ctx context.Context) (int64, error) {
	root, err := c.Root()
	if err != nil {
		return 0, err
	}
	if !Exists(root) {
		return 0, nil
	}
	locks, err := c.Path("locks")
	if err != nil {
		return 0, err
	}
	alone, err := flock.Try(filepath.Join(locks, heldName))
	if errors.Is(err, flock.ErrHeld) {
		return 0, &InUseError{root}
	}
	if err != nil {
		return 0, fmt.Errorf("clean the cache: %w", err)
	}
	defer alone.Close()
	before, err := c.Size()
	if err != nil {
		return 0, err
	}
	if err := c.Sweep(); err != nil {
		return 0, err
	}
	for _, part := range parts {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if part == "tmp" || part == "locks" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, part)); err != nil {
			return 0, fmt.Errorf("clean the cache: %w", err)
		}
	}
	// Empty folders only: a lock file may be held, tmp may be in use.
	os.Remove(filepath.Join(root, "tmp"))
	after, err := c.Size()
	return before - after, err
}

// usage sums the blocks under dir: snapshots hold sparse files.
func usage(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				if st, ok := info.Sys().(*syscall.Stat_t); ok {
					sum += st.Blocks * 512
				}
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		return err
	})
	return sum, err
}

// TempDir makes a folder for work in progress, in the cache so that results can
// be renamed into place. release removes it. A folder that its process could
// not remove is found by [Cache.Sweep]. Of a cache that this user may not write, the
// folder is in the system's folder for temporary files.
func (c *Cache) TempDir(ctx context.Context, prefix string) (dir string, release func(), err error) {
	dir, release, err = c.tempDir(ctx, prefix)
	if !unwritable(err) {
		return dir, release, err
	}
	if dir, terr := os.MkdirTemp("", "lab-"+prefix+"-"); terr == nil {
		return dir, func() { removeAll(dir) }, nil
	}
	return "", nil, err
}

func (c *Cache) tempDir(ctx context.Context, prefix string) (dir string, release func(), err error) {
	tmp, err := c.Path("tmp")
	if err != nil {
		return "", nil, err
	}
	// Held while the folder has no lock of its own yet, against Sweep.
	entry, err := flock.Wait(ctx, filepath.Join(tmp, ".lock"))
	if err != nil {
		return "", nil, err
	}
	defer entry.Close()
	if dir, err = os.MkdirTemp(tmp, prefix+"-"); err != nil {
		return "", nil, fmt.Errorf("make a work folder: %w", err)
	}
	held, err := flock.Wait(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, func() {
		removeAll(dir)
		held.Close()
	}, nil
}

// Sweep removes the work folders of processes that are gone.
func (c *Cache) Sweep() error {
	root, err := c.Root()
	if err != nil {
		return err
	}
	tmp := filepath.Join(root, "tmp")
	list, err := os.ReadDir(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep the cache: %w", err)
	}
	entry, err := flock.Try(filepath.Join(tmp, ".lock"))
	if errors.Is(err, flock.ErrHeld) || unwritable(err) {
		return nil // someone is at it; there will be another start
	}
	if err != nil {
		return fmt.Errorf("sweep the cache: %w", err)
	}
	defer entry.Close()
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		dir := filepath.Join(tmp, e.Name())
		f, err := flock.Try(filepath.Join(dir, ".lock"))
		if errors.Is(err, flock.ErrHeld) {
			continue // its process lives
		}
		removeAll(dir)
		if err == nil {
			f.Close()
		}
	}
	return nil
}

// removeAll removes a tree that may hold folders without write permission.
func removeAll(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	os.RemoveAll(dir)
}

// Lock takes the cache's lock of that name, so that of several processes that
// need the same artefact one makes it and the others find it.
func (c *Cache) Lock(ctx context.Context, name string) (io.Closer, error) {
	dir, err := c.Path("locks")
	if err != nil {
		return nil, err
	}
	return flock.Wait(ctx, filepath.Join(dir, name))
}

// Obtain returns the path of a file in a part of the cache, and has it made when it is
// not there, or no longer what was written. Its name says what it is made from. Of
// several processes that need it at once one makes it.
func (c *Cache) Obtain(ctx context.Context, part, name string, perm fs.FileMode, make func(io.Writer) error) (string, error) {
	dir, err := c.Path(part)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if intact.Check(path) == nil {
		return path, nil
	}
	lock, err := c.Lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err = intact.Check(path); err == nil {
		return path, nil // another process made it meanwhile
	}
	if intact.Damaged(err) {
		c.Warning(fmt.Sprintf("%v; making it anew", err))
	}
	return path, intact.Write(path, perm, make)
}

// Warning passes a text on to Warn.
func (c *Cache) Warning(text string) {
	if c.Warn != nil {
		c.Warn(text)
	}
}

// Exists reports whether there is a file or a folder at path.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Reader returns a reader of r that fails when ctx has ended, so that a long copy
// stops.
func Reader(ctx context.Context, r io.Reader) io.Reader { return readerCtx{ctx, r} }

type readerCtx struct {
	ctx context.Context
	r   io.Reader
}

func (r readerCtx) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
