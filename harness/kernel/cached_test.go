package kernel

import (
	"bytes"
	"errors"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"kernellab/harness/kernel/kerneltest"
	"kernellab/internal/intact"
	"kernellab/internal/mapped"
)

// An image that was unpacked once is the same image, and one that was damaged
// since, or is gone, is unpacked anew.
func TestOpenCached(t *testing.T) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		t.Run(arch, func(t *testing.T) {
			path := kerneltest.Images(t, arch)[0]
			want, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			kept := filepath.Join(dir, want.SHA256)
			index := kept + indexSuffix
			damage := []struct {
				name string
				do   func() error
			}{
				{"the first time", func() error { return nil }},
				{"the second time", func() error { return nil }},
				{"cut short", func() error { return os.Truncate(kept, 1<<20) }},
				{"empty", func() error { return os.Truncate(kept, 0) }},
				{"a bit flipped", func() error { return flip(kept, 5<<20) }},
				{"cut in half", func() error { return os.Truncate(kept, 20<<20) }},
				{"gone", func() error { return os.Remove(kept) }},
				{"foreign", func() error { return os.WriteFile(kept, []byte("#!/bin/sh\n"), 0o600) }},
				{"index cut short", func() error { return os.Truncate(index, 1<<20) }},
				{"index empty", func() error { return os.Truncate(index, 0) }},
				{"index gone", func() error { return os.Remove(index) }},
				{"index foreign", func() error { return os.WriteFile(index, []byte("#!/bin/sh\n"), 0o600) }},
				{"a bit of the index flipped", func() error { return flip(index, 3<<20) }},
				{"index of another image", func() error { return foreignIndex(index, want) }},
			}
			for _, d := range damage {
				if err := d.do(); err != nil {
					t.Fatalf("%s: %v", d.name, err)
				}
				got, err := OpenCached(path, want.SHA256, dir)
				if err != nil {
					t.Fatalf("%s: %v", d.name, err)
				}
				type facts struct {
					Arch, Release, Banner, SHA256, BuildID string
					Symbols                                int
				}
				of := func(im *Image) facts {
					return facts{im.Arch, im.Release, im.Banner, im.SHA256, im.BuildID, im.Symbols.Len()}
				}
				if diff := cmp.Diff(of(want), of(got)); diff != "" {
					t.Errorf("%s: OpenCached -want +got:\n%s", d.name, diff)
				}
				if !slices.Equal(slices.Collect(want.Symbols.All()), slices.Collect(got.Symbols.All())) {
					t.Errorf("%s: the symbols differ", d.name)
				}
				if err := intact.Check(kept); err != nil {
					t.Errorf("%s: the unpacked image left behind: %v", d.name, err)
				}
				if err := loadIndex(index, &Image{flat: got.flat, segs: got.segs}); err != nil {
					t.Errorf("%s: the index left behind: %v", d.name, err)
				}
			}
			// A digest that is not the image's is not believed: nothing is kept under it.
			other := want.SHA256[1:] + "0"
			if _, err := OpenCached(path, other, dir); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, other)); err == nil {
				t.Error("the image was kept under a hash that is not its own")
			}
		})
	}
}

// flip changes one bit of a file.
func flip(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[at] ^= 4
	return os.WriteFile(path, data, 0o600)
}

// foreignIndex writes the index of an image whose banner is elsewhere.
func foreignIndex(path string, im *Image) error {
	marks := maps.Clone(im.marks)
	marks["linux_banner"] += 8
	writeIndex(path, &Image{flat: im.flat, Release: im.Release, Banner: im.Banner, BuildID: im.BuildID, Symbols: im.Symbols, marks: marks})
	return nil
}

// Whatever an index holds, using it gives an error or an image, and no panic.
func FuzzIndex(f *testing.F) {
	image := smallImage()
	im, err := Parse(image)
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "index")
	writeIndex(path, im)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[len(indexMagic)+4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		// Aligned as a mapping is, and with the right checksum.
		data := append([]byte(indexMagic), 0, 0, 0, 0)
		data = append(data, b...)
		if len(b) >= 4 {
			le.PutUint32(data[len(indexMagic):], indexSum(data))
		}
		got, err := readSegments(image)
		if err != nil {
			t.Fatal(err)
		}
		if got.useIndex(data) != nil {
			return
		}
		for i := range min(got.Symbols.Len(), 50) {
			sym := got.Symbols.symbol(i)
			got.Symbols.Named(sym.Name)
			got.Symbols.At(sym.Addr)
			got.Symbols.Extent(sym.Addr)
		}
		got.Symbols.functions("do_something")
	})
}

// An unpacked image that is truncated while it is mapped is an error of who reads it, and
// not the end of the program.
func TestTruncatedWhileOpen(t *testing.T) {
	path := kerneltest.Images(t, "x86_64")[0]
	want, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var im *Image
	for range 2 { // the second one is mapped
		if im, err = OpenCached(path, want.SHA256, dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", indexSuffix} {
		if err := os.Truncate(filepath.Join(dir, want.SHA256)+suffix, 1); err != nil {
			t.Fatal(err)
		}
	}
	err = mapped.Guard(func() error {
		_, err := im.Resolve("release_task")
		return err
	})
	if gone := (*mapped.GoneError)(nil); !errors.As(err, &gone) {
		t.Errorf("Resolve: %v, want a *mapped.GoneError", err)
	}
	if err := im.Check(); !intact.Damaged(err) {
		t.Errorf("Check: %v, want that it is damaged", err)
	}
}

func BenchmarkOpenCached(b *testing.B) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		for _, path := range kerneltest.Images(b, arch) {
			b.Run(arch+"/"+filepath.Base(filepath.Dir(path)), func(b *testing.B) {
				im, err := Open(path)
				if err != nil {
					b.Fatal(err)
				}
				dir := b.TempDir()
				if _, err := OpenCached(path, im.SHA256, dir); err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, err := OpenCached(path, im.SHA256, dir); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// FuzzTypes: whatever an image's type information holds, asking it gives an answer or an
// error, and no panic.
func FuzzTypes(f *testing.F) {
	raw, err := kerneltest.Made([]string{"do_fork(int flags, struct task_struct * p)"}, []kerneltest.Struct{
		{Name: "thread", Size: 16, Members: []kerneltest.Member{{Name: "sp", Size: 8}, {Name: "regs", Offset: 8, Size: 4, Count: 2}}},
		{Name: "task_struct", Size: 32, Members: []kerneltest.Member{
			{Name: "thread", In: "thread"}, {Name: "parent", Offset: 16, To: "task_struct"}, {Name: "pid", Offset: 24, Size: 4},
		}},
	})
	if err != nil {
		f.Fatal(err)
	}
	im, err := Parse(raw)
	if err != nil {
		f.Fatal(err)
	}
	types := slices.Clone(im.rawBTF())
	if len(types) == 0 {
		f.Fatal("the made kernel has no types")
	}
	f.Add(types)
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := btf.LoadSpecFromReader(bytes.NewReader(data))
		im := &Image{machine: im.machine, Symbols: im.Symbols, types: spec, typesErr: err}
		im.typesOnce.Do(func() {})
		if err != nil {
			im.types = nil
		}
		for _, path := range []string{"pid", "thread.sp", "thread.regs", "parent", "none"} {
			if got, err := im.Field("task_struct", path); err == nil && got.Size < 0 {
				t.Errorf("%s: %+v", path, got)
			}
		}
		_, _ = im.Members("task_struct")
		_, _ = im.SizeOf("task_struct")
		_, _ = im.SizeOf("thread")
		_, _ = im.Params("do_fork")
	})
}

// FuzzQueries: whatever the file of an image's queries holds, the next query is answered.
func FuzzQueries(f *testing.F) {
	header, err := queryCacheHeader()
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "queries")
	f.Add([]byte(`{"Fields": {"task_struct pid": {"Size": 4}}, "Members": {"a": null}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		data := le.AppendUint32([]byte(header), crc32.ChecksumIEEE(body))
		if err := os.WriteFile(path, append(data, body...), 0o600); err != nil {
			t.Fatal(err)
		}
		var im Image
		im.typesOnce.Do(func() { im.typesErr = ErrNoTypes })
		im.queries.load(path)
		_, _ = im.Field("task_struct", "pid")
		_, _ = im.Members("a")
		_, _ = im.SizeOf("task_struct")
		_, _ = im.Params("do_fork")
		im.SaveQueries()
	})
}
