package debuginfo_test

import (
	"debug/elf"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"kernellab/harness/kernel/debuginfo"
)

// exercise asks a file for all that there is, and wants no more than that it
// ends.
func exercise(path string) {
	f, err := debuginfo.Open(path, debuginfo.Options{})
	if err != nil {
		return
	}
	defer f.Close()
	regs := map[uint64]uint64{}
	for n := range uint64(17) {
		regs[n] = 0x7ffc00001000 + 8*n
	}
	mem := func(addr uint64, buf []byte) error {
		for i := range buf {
			buf[i] = byte(addr) + byte(i)
		}
		return nil
	}
	for _, s := range debuginfo.Spans(f) {
		for a := s[0]; a < s[1] && a-s[0] < 400; a += 7 {
			if _, err := f.Lookup(a); err != nil {
				continue
			}
			frame := debuginfo.Frame{PC: a, Exact: true, Regs: regs, CFA: 0x7ffc00001100}
			up := debuginfo.Frame{PC: s[0] + 16, Regs: regs, CFA: 0x7ffc00001200}
			f.Variables([]debuginfo.Frame{frame, up}, 0, mem)
			f.Caller(frame, mem)
		}
	}
	for _, name := range []string{"scaled", "twice", "outer", "main"} {
		f.Sites(name)
	}
	f.Prepare()
}

// Damage anywhere in the debug sections gives errors and no panic.
func TestDamaged(t *testing.T) {
	path := program(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	file := filepath.Join(t.TempDir(), "damaged")
	try := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		exercise(file)
	}
	try(whole)
	rnd := rand.New(rand.NewPCG(3, 4))
	times := 40 // in each section
	if testing.Short() {
		times = 10
	}
	for _, s := range e.Sections {
		if len(s.Name) < 7 || s.Name[:7] != ".debug_" || s.FileSize == 0 {
			continue
		}
		for range times {
			b := append([]byte(nil), whole...)
			for range 1 + rnd.IntN(8) {
				b[s.Offset+rnd.Uint64N(s.FileSize)] = byte(rnd.Uint32())
			}
			try(b)
		}
	}
	for range times {
		try(whole[:rnd.IntN(len(whole))])
	}
}

func FuzzOpen(f *testing.F) {
	if b, err := os.ReadFile(program(f)); err == nil {
		f.Add(b)
	}
	f.Add([]byte("\x7fELF"))
	file := filepath.Join(f.TempDir(), "vmlinux")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		exercise(file)
	})
}
