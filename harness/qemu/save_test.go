package qemu_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/qemu"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
)

// The guest of these tests is a kernel from the cache without an initramfs: it
// panics for want of a root file system, and has said that by then.

func cachedKernel(t *testing.T, a arch.Arch) string {
	t.Helper()
	if testing.Short() {
		t.Skip("runs QEMU: not with -short")
	}
	lacking := t.Skipf
	if slices.Contains(strings.Split(os.Getenv("LAB_REQUIRE"), ","), a.Name) {
		lacking = t.Fatalf
	}
	all, err := linux.In(&images.Cache{}).Kernels(a.Name)
	if err != nil || len(all) == 0 {
		lacking("the cache holds no kernel for %s (%v): lab kernels fetch brings one", a.Name, err)
	}
	return all[0].Path
}

// A machine that was saved while it booted goes on booting when restored, as
// often as one likes, and the memory's file stays as it was.
func TestSaveAndRestore(t *testing.T) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			c := qemu.Config{Arch: a, Kernel: cachedKernel(t, a), Command: qemutest.Command(t, a.Name, a.QEMU.Binary), Append: "panic=0 loglevel=7"}
			var state bytes.Buffer
			ram := save(t, c, &state)
			before := digest(t, ram)
			for range 2 {
				began := time.Now()
				vm := restore(t, c, ram, bytes.NewReader(state.Bytes()))
				t.Logf("restored in %d ms from %d KB", time.Since(began).Milliseconds(), state.Len()>>10)
				await(t, vm, "Kernel panic")
				vm.Close()
			}
			if digest(t, ram) != before {
				t.Error("restored machines changed the memory's file")
			}
		})
	}
}

// What can not be restored is an error that says so, and leaves no process.
func TestRestoreRefuses(t *testing.T) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			c := qemu.Config{Arch: a, Kernel: cachedKernel(t, a), Command: qemutest.Command(t, a.Name, a.QEMU.Binary), Append: "panic=0 loglevel=7"}
			var state bytes.Buffer
			ram := save(t, c, &state)
			small := c
			small.Memory = 128
			for name, tt := range map[string]struct {
				config qemu.Config
				state  []byte
			}{
				"a truncated state": {c, state.Bytes()[:state.Len()/2]},
				"an empty state":    {c, nil},
				"noise":             {c, bytes.Repeat([]byte{0x5a}, state.Len())},
				"another machine":   {small, state.Bytes()},
			} {
				tt.config.RAM, tt.config.Incoming = ram, true
				vm, err := qemu.Start(t.Context(), tt.config)
				if err != nil {
					t.Fatal(err)
				}
				err = vm.Restore(t.Context(), bytes.NewReader(tt.state))
				t.Logf("%s: %v", name, err)
				if err == nil {
					t.Errorf("%s was restored", name)
				}
				vm.Close()
			}
			vm, err := qemu.Start(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Close()
			if err := vm.Save(t.Context(), io.Discard); !errors.Is(err, qemu.ErrNotSnapshot) {
				t.Errorf("save without a file = %v, want ErrNotSnapshot", err)
			}
		})
	}
}

func save(t *testing.T, c qemu.Config, state io.Writer) *os.File {
	t.Helper()
	ram, err := os.OpenFile(filepath.Join(t.TempDir(), "ram"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ram.Close() })
	if err := ram.Truncate(c.Size()); err != nil {
		t.Fatal(err)
	}
	c.RAM = ram
	vm, err := qemu.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	await(t, vm, "Linux version")
	if err := vm.Save(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	return ram
}

func restore(t *testing.T, c qemu.Config, ram *os.File, state io.Reader) *qemu.VM {
	t.Helper()
	c.RAM, c.Incoming = ram, true
	vm, err := qemu.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vm.Close() })
	if err := vm.Restore(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if err := vm.Cont(t.Context()); err != nil {
		t.Fatal(err)
	}
	return vm
}

// await reads the console until it says text.
func await(t *testing.T, vm *qemu.VM, text string) {
	t.Helper()
	silence := time.AfterFunc(2*time.Minute, func() { vm.Close() }) // which ends the console
	defer silence.Stop()
	var seen []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(seen, []byte(text)) {
		n, err := vm.Output().Read(buf)
		seen = append(seen, buf[:n]...)
		if err != nil {
			t.Fatalf("wait for %q: %v; the console so far:\n%s", text, err, seen)
		}
	}
}

func digest(t *testing.T, f *os.File) [sha256.Size]byte {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<40)); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
