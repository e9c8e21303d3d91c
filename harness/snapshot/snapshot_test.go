package snapshot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/internal/flock"
)

func key(name string) Key {
	return Key{Kernel: name, Initrd: "b", QEMU: "7.2", Binary: "qemu 1", Machine: []string{"-M", "pc"}}
}

const ramSize = 8 << 20

// fill takes the place of a boot: it writes a few pages that are far apart.
func fill(text string) func(context.Context, *Draft) error {
	return func(_ context.Context, d *Draft) error {
		for _, at := range []int64{0, 3 << 20, ramSize - pageSize} {
			if _, err := d.RAM.WriteAt([]byte(text), at); err != nil {
				return err
			}
		}
		d.Boot = time.Second
		fmt.Fprint(d.State, "devices of ", text)
		fmt.Fprint(d.Console, "console of ", text)
		return nil
	}
}

func never(context.Context, *Draft) error { return errors.New("made again") }

func obtain(t *testing.T, s *Store, k Key, make func(context.Context, *Draft) error) *Snapshot {
	t.Helper()
	snap, err := s.Obtain(t.Context(), k, ramSize, make)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { snap.Close() })
	return snap
}

func TestMadeOnceAndReadBack(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Warn: func(text string) { t.Errorf("warned: %s", text) }}
	obtain(t, s, key("a"), fill("a"))
	snap := obtain(t, s, key("a"), never)
	ram := make([]byte, 1)
	if _, err := snap.RAM.ReadAt(ram, 3<<20); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s|%s|%s|%s", ram, snap.State, snap.Console, snap.Boot)
	if diff := cmp.Diff("a|devices of a|console of a|1s", got); diff != "" {
		t.Errorf("snapshot -want +got:\n%s", diff)
	}
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, which others may use", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Each input of the key makes another snapshot.
// Zeros that the guest wrote take no room, neither in the snapshot nor in a copy, and
// both have the same content as before.
func TestZerosAreHoles(t *testing.T) {
	want := make([]byte, ramSize)
	for at := 2 << 20; at < 3<<20; at += 16 * pageSize { // too close for holes between them
		copy(want[at:], "page")
	}
	copy(want[5<<20-3:], "over the end of a page")
	copy(want[ramSize-1:], "z")
	s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots")}
	snap := obtain(t, s, key("a"), func(_ context.Context, d *Draft) error {
		_, err := d.RAM.WriteAt(want, 0)
		return err
	})
	to, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := errors.Join(to.Truncate(ramSize), Copy(to, snap.RAM)); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]*os.File{"snapshot": snap.RAM, "copy": to} {
		got := make([]byte, ramSize)
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the %s has other content, %v", what, err)
		}
		var st syscall.Stat_t
		if err := syscall.Fstat(int(f.Fd()), &st); err != nil || st.Blocks*512 > ramSize/4 {
			t.Errorf("the %s takes %d bytes of %d, %v", what, st.Blocks*512, ramSize, err)
		}
	}
	again := obtain(t, s, key("a"), never)
	if sum, err := digest(again.RAM); err != nil || sum != plainDigest(want) {
		t.Errorf("digest %s, %v, want %s", sum, err, plainDigest(want))
	}
}

// plainDigest is the digest of a memory as the package's comment on it has it: of each
// page that is not zero, with its place before it.
func plainDigest(ram []byte) string {
	h := sha256.New()
	for at := 0; at < len(ram); at += pageSize {
		if page := ram[at : at+pageSize]; !bytes.Equal(page, make([]byte, pageSize)) {
			binary.Write(h, binary.LittleEndian, uint64(at))
			h.Write(page)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestKeyCoversEverything(t *testing.T) {
	base := key("a")
	seen := map[string]string{base.ID(): "the base"}
	for name, change := range map[string]func(*Key){
		"kernel":       func(k *Key) { k.Kernel = "b" },
		"initramfs":    func(k *Key) { k.Initrd = "c" },
		"version":      func(k *Key) { k.QEMU = "10.0" },
		"binary":       func(k *Key) { k.Binary = "qemu 2" },
		"command line": func(k *Key) { k.Machine = []string{"-M", "q35"} },
		"word limits":  func(k *Key) { k.Machine = []string{"-M pc"} },
	} {
		k := key("a")
		change(&k)
		if other, dup := seen[k.ID()]; dup {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[k.ID()] = name
	}
}

// Any damage of a snapshot is reported in one line, and the snapshot is made again.
func TestDamage(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		told  string
	}{
		{"memory cut short", func(t *testing.T, dir string) { check(t, os.Truncate(filepath.Join(dir, ramFile), ramSize/2)) }, "bytes, want"},
		{"memory changed", func(t *testing.T, dir string) { poke(t, filepath.Join(dir, ramFile), 3<<20) }, "ram is not what was written"},
		{"memory changed, its time put back", func(t *testing.T, dir string) {
			path := filepath.Join(dir, ramFile)
			info, err := os.Stat(path)
			check(t, err)
			poke(t, path, 3<<20)
			check(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}, "ram is not what was written"},
		{"memory gone", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, ramFile))) }, "no such file"},
		{"memory a link", func(t *testing.T, dir string) {
			path := filepath.Join(dir, ramFile)
			check(t, errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path)))
		}, "symbolic links"},
		{"devices cut short", func(t *testing.T, dir string) { check(t, os.Truncate(filepath.Join(dir, stateFile), 3)) }, "state has 3 bytes"},
		{"devices changed", func(t *testing.T, dir string) { poke(t, filepath.Join(dir, stateFile), 1) }, "state is not what was written"},
		{"no manifest", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, manifestFile))) }, "manifest.json"},
		{"noise for a manifest", func(t *testing.T, dir string) {
			check(t, os.WriteFile(filepath.Join(dir, manifestFile), []byte("{\x00"), 0o600))
		}, "manifest.json"},
		{"another kernel's", func(t *testing.T, dir string) {
			s := &Store{Dir: filepath.Join(t.TempDir(), "other")}
			obtain(t, s, key("z"), fill("z"))
			check(t, errors.Join(os.RemoveAll(dir), os.Rename(s.path(key("z").ID()), dir)))
		}, "another kernel"},
		{"open to others", func(t *testing.T, dir string) { check(t, os.Chmod(dir, 0o755)) }, "not this user's alone"},
		{"memory open to others", func(t *testing.T, dir string) { check(t, os.Chmod(filepath.Join(dir, ramFile), 0o666)) }, "not this user's alone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var told []string
			s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Warn: func(text string) { told = append(told, text) }}
			obtain(t, s, key("a"), fill("a"))
			tt.spoil(t, s.path(key("a").ID()))
			snap := obtain(t, s, key("a"), fill("b"))
			if string(snap.State) != "devices of b" {
				t.Errorf("got the snapshot with %q, want the one made anew", snap.State)
			}
			if len(told) != 1 || !strings.Contains(told[0], tt.told) || strings.Contains(told[0], "\n") {
				t.Errorf("told %q, want one line with %q", told, tt.told)
			}
			obtain(t, s, key("a"), never)
		})
	}
}

// A copy of the cache has other inodes and times, but counts as complete.
func TestCopiedCache(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Warn: func(text string) { t.Errorf("warned: %s", text) }}
	obtain(t, s, key("a"), fill("a"))
	dir := s.path(key("a").ID())
	check(t, os.Rename(dir, dir+"x"))
	if out, err := exec.Command("cp", "-r", "--sparse=always", dir+"x", dir).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	obtain(t, s, key("a"), never)
	m, err := readManifest(dir)
	check(t, err)
	f, err := os.Open(filepath.Join(dir, ramFile))
	check(t, err)
	defer f.Close()
	if st, err := stampOf(f); err != nil || st != m.Files[ramFile].Stamp {
		t.Errorf("the copy's stamp was not noted: %+v, %v", m.Files[ramFile].Stamp, err)
	}
}

// A failed or cancelled attempt leaves no files and no state.
func TestFailedMake(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots")}
	broken := errors.New("the kernel panicked")
	_, err := s.Obtain(t.Context(), key("a"), ramSize, func(_ context.Context, d *Draft) error {
		fmt.Fprint(d.State, "half")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("Obtain = %v, want make's error", err)
	}
	left, _ := filepath.Glob(s.path("*.new"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	obtain(t, s, key("a"), fill("a"))
}

// Sweep removes the files of a killed process, which disturb nobody, and keeps the
// files of a live one.
func TestSweep(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots")}
	obtain(t, s, key("a"), fill("a"))
	for _, name := range []string{"dead.new", "dead.old", "alive.new"} {
		check(t, errors.Join(os.Mkdir(s.path(name), 0o700), os.WriteFile(s.path(name, "ram"), []byte("x"), 0o600)))
	}
	check(t, os.WriteFile(s.path(".boots.json-123"), nil, 0o600))
	past := time.Now().Add(-time.Hour)
	check(t, os.Chtimes(s.path(".boots.json-123"), past, past))
	lock, err := flock.Try(s.path("alive.lock"))
	check(t, err)
	defer lock.Close()
	// Locks: of a snapshot that is gone, and of one that is about to be made.
	b, c := key("b").ID()+".lock", key("c").ID()+".lock"
	check(t, os.WriteFile(s.path(b), nil, 0o600))
	making, err := flock.Try(s.path(c))
	check(t, err)
	defer making.Close()
	check(t, s.Sweep())
	for name, want := range map[string]bool{
		"dead.new": false, "dead.old": false, "alive.new": true, ".boots.json-123": false, key("a").ID(): true,
		b: false, c: true, key("a").ID() + ".lock": true,
	} {
		if _, err := os.Stat(s.path(name)); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", name, err == nil, want)
		}
	}
	check(t, os.Mkdir(s.path(key("b").ID()+".new"), 0o700))
	obtain(t, s, key("b"), fill("b"))
}

// The limit keeps the most recently used snapshots. An open snapshot stays usable.
func TestLimit(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Limit: 2 << 20}
	big := func(text string) func(context.Context, *Draft) error {
		return func(_ context.Context, d *Draft) error {
			_, err := d.RAM.WriteAt([]byte(strings.Repeat(text, 900<<10)), 0)
			return err
		}
	}
	old := func(name string, age time.Duration) {
		at := time.Now().Add(-age)
		check(t, os.Chtimes(s.path(key(name).ID()), at, at))
	}
	a := obtain(t, s, key("a"), big("a"))
	old("a", 3*time.Hour)
	obtain(t, s, key("b"), big("b"))
	old("b", 2*time.Hour)
	obtain(t, s, key("a"), never) // used again
	obtain(t, s, key("c"), big("c"))
	for name, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, err := os.Stat(s.path(key(name).ID())); (err == nil) != want {
			t.Errorf("snapshot %s is kept: %t, want %t", name, err == nil, want)
		}
	}
	check(t, s.Discard(t.Context(), key("a")))
	b := make([]byte, 1)
	if _, err := a.RAM.ReadAt(b, 0); err != nil || b[0] != 'a' {
		t.Errorf("a snapshot that was open reads %q, %v after its removal", b, err)
	}
}

// helper runs this test binary as one of several processes.
const helper = "SNAPSHOT_TEST_HELPER"

// If many processes and goroutines need a snapshot at once, it is made once.
func TestMadeOnceByMany(t *testing.T) {
	if dir := os.Getenv(helper); dir != "" {
		s := &Store{Dir: dir}
		begin(t, dir)
		snap := obtain(t, s, key("a"), slow(dir))
		if string(snap.State) != "devices of a" {
			t.Errorf("state %q", snap.State)
		}
		return
	}
	dir := filepath.Join(t.TempDir(), "snapshots")
	var wg sync.WaitGroup
	var failed atomic.Int32
	for range contenders / 2 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestMadeOnceByMany$")
			cmd.Env = append(os.Environ(), helper+"="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				failed.Add(1)
				t.Errorf("%v: %s", err, out)
			}
		})
		wg.Go(func() {
			s := &Store{Dir: dir}
			begin(t, dir)
			if snap, err := s.Obtain(t.Context(), key("a"), ramSize, slow(dir)); err != nil {
				t.Error(err)
			} else {
				snap.Close()
			}
		})
	}
	wg.Wait()
	made, err := os.ReadFile(dir + ".made")
	if err != nil || string(made) != "x" {
		t.Errorf("made %q times (%v), want once", made, err)
	}
}

// contenders is how many processes and goroutines, half of each, ask for the snapshot
// of TestMadeOnceByMany.
const contenders = 8

// begin records that another contender is about to ask for the snapshot.
func begin(t *testing.T, dir string) {
	f, err := os.CreateTemp(filepath.Dir(dir), "begun-")
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// slow makes the snapshot after all contenders have begun.
func slow(dir string) func(context.Context, *Draft) error {
	return func(ctx context.Context, d *Draft) error {
		f, err := os.OpenFile(dir+".made", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprint(f, "x")
		tick, hang := time.NewTicker(10*time.Millisecond), time.After(5*time.Minute)
		defer tick.Stop()
		for {
			begun, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "begun-*"))
			if err != nil {
				return err
			}
			if len(begun) == contenders {
				return fill("a")(ctx, d)
			}
			select {
			case <-tick.C:
			case <-hang:
				return fmt.Errorf("%d of %d have begun", len(begun), contenders)
			}
		}
	}
}

// Waiting for another process ends with the context.
func TestWaitIsCancelled(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	lock, err := flock.Try(s.path(key("a").ID() + ".lock"))
	check(t, err)
	defer lock.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Obtain(ctx, key("a"), ramSize, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Obtain = %v, want the context's error", err)
	}
}

func TestFacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, []byte("a"), 0o600))
	dir := filepath.Join(t.TempDir(), "snapshots")
	asked := 0
	ask := func() string {
		s := &Store{Dir: dir}
		v, err := s.Fact(t.Context(), "content", path, func() (string, error) {
			asked++
			b, err := os.ReadFile(path)
			return string(b), err
		})
		check(t, err)
		return v
	}
	got := []string{ask(), ask()}
	check(t, os.WriteFile(path, []byte("b"), 0o600))
	got = append(got, ask())
	facts := filepath.Join(dir, factsFile)
	check(t, os.WriteFile(facts, []byte("noise"), 0o600))
	got = append(got, ask())
	// A fact that is no longer the one that was found out, in a file that JSON accepts.
	b, err := os.ReadFile(facts)
	check(t, err)
	wrong := bytes.Replace(b, []byte(`"value":"b"`), []byte(`"value":"x"`), 1)
	if bytes.Equal(b, wrong) {
		t.Errorf("no fact in %s", b)
	}
	check(t, os.WriteFile(facts, wrong, 0o600))
	got = append(got, ask(), fmt.Sprint(asked))
	if diff := cmp.Diff([]string{"a", "a", "b", "b", "b", "4"}, got); diff != "" {
		t.Errorf("answers and how often the file was asked -want +got:\n%s", diff)
	}
}

func TestBoots(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots")}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			// Two images with the same release: a boot of a damaged copy does not count
			// for the other.
			b := Boots{Arch: "x86_64", Kernel: "6.12", SHA256: "a", QEMU: "7.2", Tries: 1, Oopses: i % 2}
			if i >= 10 {
				b.SHA256 = "b"
			}
			if err := s.CountBoot(context.Background(), b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, b := range s.Boots() {
		if b.Tries != 10 || b.Oopses != 5 {
			t.Errorf("%+v, want 10 tries and 5 oopses", b)
		}
	}
	if n := len(s.Boots()); n != 2 {
		t.Errorf("%d images counted, want 2", n)
	}
	path := filepath.Join(s.Dir, bootsFile)
	b, err := os.ReadFile(path)
	check(t, err)
	var warned []string
	s.Warn = func(text string) { warned = append(warned, text) }
	for name, text := range map[string]string{
		"counts under a release's name": `[{"arch": "x86_64", "kernel": "6.1", "qemu": "7.2", "tries": 9, "oopses": 9}]`,
		"a count that is another":       strings.Replace(string(b), `"oopses":5`, `"oopses":9`, 1),
		"half a file":                   string(b[:len(b)/2]),
	} {
		check(t, os.WriteFile(path, []byte(text), 0o600))
		if b := s.Boots(); len(b) > 0 {
			t.Errorf("%s: %+v", name, b)
		}
	}
	if len(warned) != 3 {
		t.Errorf("%d warnings, want one of each file: %q", len(warned), warned)
	}
	check(t, s.CountBoot(t.Context(), Boots{Arch: "x86_64", SHA256: "a", Tries: 1}))
	if b := s.Boots(); len(b) != 1 || b[0].Tries != 1 {
		t.Errorf("counted anew: %+v, want one boot", b)
	}
}

// The memory that a machine maps is checked once more when the machine has ended: by its
// content if the snapshot was removed meanwhile.
func TestMemory(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots")}
	open := func(name string) *Memory {
		snap, err := s.Obtain(t.Context(), key(name), 1<<20, fill(name))
		check(t, err)
		defer snap.Close()
		m, err := snap.Memory()
		check(t, err)
		t.Cleanup(func() { m.Close() })
		return m
	}
	whole, gone, damaged, cut := open("a"), open("b"), open("c"), open("d")
	check(t, s.Discard(t.Context(), key("b")))
	poke(t, s.path(key("c").ID(), ramFile), 0)
	check(t, os.Truncate(s.path(key("d").ID(), ramFile), 4096))
	for name, m := range map[string]*Memory{"whole": whole, "removed": gone} {
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, m := range map[string]*Memory{"damaged": damaged, "cut": cut} {
		if err := m.Check(); err == nil || !strings.Contains(err.Error(), "not what was written") {
			t.Errorf("%s: %v, want that it is not what was written", name, err)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func poke(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("!"), at)
	check(t, err)
}

// A pipe or a link in place of a snapshot's file is damage: opening does not block, and
// the snapshot is made again.
func TestNotRegular(t *testing.T) {
	for _, name := range []string{manifestFile, stateFile, consoleFile, noteFile, ramFile} {
		for kind, put := range map[string]func(path string) error{
			"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"device": func(path string) error { return os.Symlink("/dev/zero", path) },
		} {
			t.Run(name+" is a "+kind, func(t *testing.T) {
				var warned []string
				s := &Store{Dir: filepath.Join(t.TempDir(), "snapshots"), Warn: func(text string) { warned = append(warned, text) }}
				obtain(t, s, key("a"), fill("a"))
				path := filepath.Join(s.Dir, key("a").ID(), name)
				check(t, os.Remove(path))
				check(t, put(path))
				if got := obtain(t, s, key("a"), fill("b")); string(got.State) != "devices of b" || len(warned) != 1 {
					t.Errorf("state %q, warnings %q", got.State, warned)
				}
			})
		}
	}
}

// FuzzManifest: whatever the manifest of a snapshot holds, opening it gives the snapshot
// or says that it is damaged.
func FuzzManifest(f *testing.F) {
	s := &Store{Dir: filepath.Join(f.TempDir(), "snapshots")}
	snap, err := s.Obtain(f.Context(), key("a"), ramSize, fill("a"))
	if err != nil {
		f.Fatal(err)
	}
	snap.Close()
	path := filepath.Join(s.Dir, key("a").ID(), manifestFile)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"files": {"state": {"size": -1}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, os.WriteFile(path, data, 0o600))
		snap, err := s.open(key("a"))
		var damaged *DamagedError
		switch {
		case err == nil:
			snap.Close()
		case !errors.As(err, &damaged):
			t.Error(err)
		}
	})
}
