// Package emulator provides the QEMU that guests run in: lab's own, which it assembles
// from Debian's packages in the cache, or one that a person names. It does not know how
// a machine is started: harness/qemu does.
package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"kernellab/images"
	"kernellab/images/debian"
	"kernellab/internal/atomicfile"
	"kernellab/internal/command"
	"kernellab/internal/intact"
	"kernellab/internal/regular"
)

// Store is lab's own QEMUs in a cache.
type Store struct {
	Cache *images.Cache

	unsigned bool // packages need no signature: for the package's own tests
}

// In returns lab's own QEMUs of a cache.
func In(c *images.Cache) Store { return Store{Cache: c} }

// QEMU is an emulator that machines can be started with: lab's own, which
// [Store.QEMU] brings, or another one, which [Other] finds.
type QEMU struct {
	// Dir is the folder of lab's own, or the folder that the user named; "" for
	// the programs in PATH.
	Dir string
	// Version is QEMU's, "10.0.13". Only lab's own has it: another QEMU has to
	// be run to know it.
	Version string
	// PackageVersion and Suite say where lab's own is from.
	PackageVersion, Suite string

	loader  string // of lab's own: the file name of its dynamic loader
	preload string // of lab's own: libraries after clockLibrary, with spaces between; see preloads
	program string // an executable that stands for every program
}

// Own reports whether q is the QEMU that lab brings.
func (q QEMU) Own() bool { return q.loader != "" }

// Command returns the words that start the program of that name, such as
// qemu-system-x86_64. The program's arguments follow them.
//
// Lab's own QEMU runs on its own C library, whatever the host's: its loader is
// started, with the program as an argument (ld.so(8)). All libraries are in one
// folder, so that each is found at the first attempt. env(1) sets what stops its
// wall clock.
func (q QEMU) Command(program string) []string {
	switch {
	case q.program != "":
		return []string{q.program}
	case q.Dir == "":
		return []string{program}
	case !q.Own():
		return []string{filepath.Join(q.Dir, program)}
	}
	return slices.Concat([]string{"env"}, frozenClock(), q.start(program), []string{"-L", filepath.Join(q.Dir, qemuShare)})
}

// start returns the words that start a program of lab's own, but for its environment.
func (q QEMU) start(program string) []string {
	lib := filepath.Join(q.Dir, qemuLib)
	return []string{
		filepath.Join(lib, q.loader), "--inhibit-cache", "--library-path", lib,
		"--preload", strings.TrimSpace(clockLibrary + " " + q.preload), filepath.Join(q.Dir, qemuBin, program),
	}
}

// FrozenClock reports whether the host's wall clock stands still for q.
//
// QEMU shrinks the table of addresses that a vCPU has translated by how it was used
// in a window of 100 ms of the host's wall clock (tlb_mmu_resize_locked in
// accel/tcg/cputlb.c). What falls out of the table is translated anew, which a guest
// can see when it has changed an entry of its page tables and not yet flushed it:
// exec-life on Linux 7.2 had another trace in one of some thirty runs. When the clock
// stands still no window ends.
func (q QEMU) FrozenClock() bool { return q.Own() }

// clockLibrary is Debian's libfaketime, which stops the clock of lab's own QEMU. It
// is preloaded in front of the C library, whose functions it replaces.
const clockLibrary = "libfaketime.so.1"

// frozenClock is the environment that has [clockLibrary] stop the wall clock.
// Monotonic clocks, which QEMU's own timers are by, and the times of files stay the
// host's, and no wait gets longer. One gets shorter: pthread_cond_timedwait on a
// monotonic clock returns at once, as timed out. QEMU's idle worker threads wait so
// before they end, and it has none while a guest runs. Without FAKETIME_DISABLE_SHM a
// killed process would leave files in /dev/shm behind.
func frozenClock() []string {
	return []string{"FAKETIME_FMT=%s", "FAKETIME=1767225600", "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1", "FAKETIME_DISABLE_SHM=1"}
}

// The folders of lab's own QEMU.
const (
	qemuBin   = "bin"
	qemuLib   = "lib"
	qemuShare = "share" // firmware

	qemuPart = "qemu" // of the cache

	// Record is the file name of what is recorded of it.
	Record = "qemu.json"
	// 2: with clockLibrary
	qemuSchema = "lab.qemu/2"

	maxRecord = 16 << 20 // of it, in bytes
)

// Host is the choice of the programs in PATH: see [Other].
const Host = "host"

// Other returns the QEMU that the user chose instead of lab's own: the
// programs in PATH for "host", those of a folder, or an executable. An executable
// that is named like QEMU's own stands for its architecture, with its neighbours
// for the others; any other name stands for all.
func Other(choice string) (QEMU, error) {
	if choice == Host {
		return QEMU{}, nil
	}
	want := fmt.Sprintf("want %q for the programs in PATH, an executable, or a folder that holds qemu-system-… programs", Host)
	info, err := os.Stat(choice)
	if err != nil {
		return QEMU{}, fmt.Errorf("no QEMU at %q: %w; %s", choice, errors.Unwrap(err), want)
	}
	path, err := filepath.Abs(choice)
	if err != nil {
		return QEMU{}, err
	}
	if info.IsDir() {
		if found, _ := filepath.Glob(filepath.Join(escapeGlob(path), "qemu-system-*")); len(found) == 0 {
			return QEMU{}, fmt.Errorf("the folder %q holds no qemu-system-… program; %s", choice, want)
		}
		return QEMU{Dir: path}, nil
	}
	if _, err := exec.LookPath(path); err != nil {
		return QEMU{}, fmt.Errorf("%q is not executable; %s", choice, want)
	}
	if strings.HasPrefix(filepath.Base(path), "qemu-system-") {
		return QEMU{Dir: filepath.Dir(path)}, nil
	}
	return QEMU{program: path}, nil
}

// escapeGlob makes path a pattern that matches itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// Major returns the first number of a version of QEMU, 0 when it has none.
func Major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(first)
	return n
}

// qemuFacts is a qemu.json. It is written last, so a folder that has one is whole.
type qemuFacts struct {
	Schema         string           `json:"schema"`
	Version        string           `json:"version"`
	PackageVersion string           `json:"package_version"`
	Suite          string           `json:"suite"`
	Loader         string           `json:"loader"`
	Preload        string           `json:"preload,omitempty"`
	Files          map[string]int64 `json:"files"` // sizes in bytes, by path
}

// Cached returns lab's own QEMU, the newest in the cache that is whole. It needs no
// network.
func (s Store) Cached() (QEMU, bool) {
	q, _ := s.cached()
	return q, q.Own()
}

// cached also returns why one in the cache is damaged, nil when none is.
func (s Store) cached() (best QEMU, damaged error) {
	root, err := s.Cache.Root()
	if err != nil {
		return QEMU{}, nil
	}
	// A cache may be shared by hosts of several architectures.
	parent := filepath.Join(root, qemuPart, runtime.GOARCH)
	list, err := os.ReadDir(parent)
	if err != nil {
		return QEMU{}, nil
	}
	for _, e := range list {
		q, err := readQEMU(filepath.Join(parent, e.Name()))
		if intact.Damaged(err) {
			damaged = err
		}
		if err == nil && (!best.Own() || debian.CompareVersions(q.PackageVersion, best.PackageVersion) > 0) {
			best = q
		}
	}
	return best, damaged
}

func readQEMU(dir string) (QEMU, error) {
	b, err := regular.ReadFile(filepath.Join(dir, Record), maxRecord)
	if err != nil {
		return QEMU{}, err
	}
	var f qemuFacts
	if err := json.Unmarshal(b, &f); err != nil {
		return QEMU{}, &intact.DamagedError{Path: filepath.Join(dir, Record), Reason: err.Error()}
	}
	if f.Schema != qemuSchema || f.Loader == "" || f.Version == "" {
		return QEMU{}, fmt.Errorf("%s: schema %q, want %q with a version and a loader", Record, f.Schema, qemuSchema)
	}
	if err := whole(dir, f.Files); err != nil {
		return QEMU{}, err
	}
	return QEMU{Dir: dir, Version: f.Version, PackageVersion: f.PackageVersion, Suite: f.Suite, loader: f.Loader, preload: f.Preload}, nil
}

// whole returns an error unless the files of a folder are those that were put there. A
// folder of an older lab, which recorded sizes only, gets its sums here.
func whole(dir string, sizes map[string]int64) error {
	err := intact.CheckFolder(dir)
	if !errors.Is(err, intact.ErrUnknown) {
		return err
	}
	for name, size := range sizes {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err != nil {
			return &intact.DamagedError{Path: path, Reason: err.Error()}
		}
		if info.Size() != size {
			return &intact.DamagedError{Path: path, Reason: fmt.Sprintf("it has %d bytes, want %d", info.Size(), size)}
		}
	}
	intact.SealFolder(dir) // a cache that cannot be written is checked by sizes
	return nil
}

// Bundle returns what a copy of lab's own QEMU needs that has one program only: the
// files below Dir, and the contents of the records beside them, by name.
func (q QEMU) Bundle(program string) (files []string, records map[string][]byte, err error) {
	b, err := regular.ReadFile(filepath.Join(q.Dir, Record), maxRecord)
	if err != nil {
		return nil, nil, err
	}
	var f qemuFacts
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, nil, err
	}
	keep := path.Join(qemuBin, program)
	if _, ok := f.Files[keep]; !ok {
		return nil, nil, fmt.Errorf("lab's own QEMU has no program %s", program)
	}
	maps.DeleteFunc(f.Files, func(name string, _ int64) bool { return path.Dir(name) == qemuBin && name != keep })
	record, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, nil, err
	}
	files = slices.Sorted(maps.Keys(f.Files))
	records = map[string][]byte{Record: record}
	sums, err := intact.FolderPart(q.Dir, files)
	switch {
	case err == nil:
		records[intact.FolderSums] = sums
	case !errors.Is(err, intact.ErrUnknown): // of a cache that cannot be written
		return nil, nil, err
	}
	return files, records, nil
}

// Part returns the folder of lab's own QEMU below the cache's.
func (q QEMU) Part() string { return path.Join(qemuPart, runtime.GOARCH, filepath.Base(q.Dir)) }

// QEMU returns lab's own QEMU: from the cache, else from Debian.
func (s Store) QEMU(ctx context.Context, p images.Progress) (QEMU, error) {
	q, damaged := s.cached()
	switch {
	case q.Own() && damaged != nil:
		s.Cache.Warning(fmt.Sprintf("%v; using QEMU %s: lab qemu fetch brings the newest", damaged, q.Version))
		return q, nil
	case q.Own():
		return q, nil
	case damaged == nil:
		return s.fetch(ctx, false, p)
	}
	s.Cache.Warning(fmt.Sprintf("%v; fetching QEMU anew", damaged))
	q, err := s.fetch(ctx, false, p)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; %w", damaged, err)
	}
	return q, err
}

// Newest is QEMU that asks Debian for a newer one even when the cache has one.
func (s Store) Newest(ctx context.Context, p images.Progress) (QEMU, error) {
	return s.fetch(ctx, true, p)
}

func (s Store) fetch(ctx context.Context, newest bool, p images.Progress) (q QEMU, err error) {
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("fetch QEMU: %w; to use another one: --qemu host, or --qemu PATH", err)
		}
	}()
	root, err := s.Cache.Root()
	if err != nil {
		return QEMU{}, err
	}
	if strings.ContainsAny(root, ":;$") { // ld.so(8) would take it for several folders
		return QEMU{}, fmt.Errorf("the cache's folder %s has one of : ; $ in its name, which a dynamic loader does not take; set LAB_CACHE to another", root)
	}
	if err := s.Cache.Sweep(); err != nil {
		return QEMU{}, err
	}
	lock, err := s.Cache.Lock(ctx, "qemu")
	if err != nil {
		return QEMU{}, err
	}
	defer lock.Close()
	if q, ok := s.Cached(); ok && !newest {
		return q, nil // another process made it meanwhile
	}
	work, release, err := s.Cache.TempDir(ctx, "qemu")
	if err != nil {
		return QEMU{}, err
	}
	defer release()
	q, err = s.make(ctx, work, p)
	if err != nil && command.DiskFull(err) {
		err = fmt.Errorf("%w%s", err, debian.Remedy(err))
	}
	return q, err
}

// write writes the record of a finished folder.
func (f qemuFacts) write(dir string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, Record), 0o600, append(b, '\n'))
}
