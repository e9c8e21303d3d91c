package task_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/qemu"
	"kernellab/harness/rsp"
	"kernellab/harness/task"
	"kernellab/images"
	"kernellab/images/qemutest"
	"kernellab/labtest"
)

// eachKernel runs a subtest for each cached kernel, one after another.
func eachKernel(t *testing.T, test func(t *testing.T, z *zoo)) {
	labtest.Long(t)
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			qemutest.Command(t, a.Name, a.QEMU.Binary)
			all, err := (&images.Cache{}).Kernels(a.Name)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) == 0 {
				labtest.Lacking(t, a.Name, "the cache holds no kernel: lab kernels fetch brings one")
			}
			for _, k := range all {
				t.Run(k.Release, func(t *testing.T) { test(t, &zoo{arch: a, path: k.Path}) })
			}
		})
	}
}

// zoo is a guest whose init is testdata/zoo.
type zoo struct {
	arch arch.Arch
	path string // of the kernel

	image   *kernel.Image
	vm      *qemu.VM
	console *bufio.Scanner
	stub    *rsp.Client
	reader  *task.Reader
}

// start boots the guest until it says that it is ready, and returns what it
// printed before. A kernel that dies by itself under emulation is tried again.
func (z *zoo) start(t *testing.T, appended string) []string {
	t.Helper()
	var err error
	if z.image, err = kernel.Open(z.path); err != nil {
		t.Fatal(err)
	}
	cache := &images.Cache{}
	program, err := cache.BuildProgram(t.Context(), z.arch.GOARCH, "zoo", os.DirFS("testdata/zoo"), nil)
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := cache.Initramfs(t.Context(), z.arch.GOARCH, map[string]string{"zoo": program}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const tries = 3
	for try := 1; ; try++ {
		z.vm, err = qemu.Start(t.Context(), qemu.Config{
			Command: qemutest.Command(t, z.arch.Name, z.arch.QEMU.Binary), Arch: z.arch, Kernel: z.path, Initrd: initrd, Append: strings.TrimSpace("rdinit=/bin/zoo " + appended),
		})
		if err != nil {
			t.Fatal(err)
		}
		z.console = bufio.NewScanner(z.vm.Console())
		z.console.Buffer(nil, 16<<20)
		lines, err := z.until(t)
		if err == nil {
			t.Cleanup(func() { z.vm.Close() })
			return lines
		}
		z.vm.Close()
		if try == tries {
			t.Fatalf("%v", err)
		}
		t.Logf("try %d: %v", try, err)
	}
}

// until returns the lines for the host up to the guest's next pause.
func (z *zoo) until(t *testing.T) ([]string, error) {
	t.Helper()
	limit := 3 * time.Minute
	z.vm.Console().SetReadDeadline(time.Now().Add(limit))
	var lines, noise []string
	for z.console.Scan() {
		line := strings.TrimRight(z.console.Text(), "\r")
		switch {
		case line == "ZOO-READY":
			return lines, nil
		case strings.HasPrefix(line, "ZOO-FAILED"):
			return nil, fmt.Errorf("the guest could not do its part: %s", line)
		case strings.HasPrefix(line, "ZOO "):
			lines = append(lines, line[len("ZOO "):])
		default:
			if noise = append(noise, line); len(noise) > 30 {
				noise = noise[1:]
			}
			if strings.HasPrefix(line, "zoo: ") {
				t.Error(line)
			}
		}
	}
	return nil, fmt.Errorf("the console ended (%v): %s", z.console.Err(), strings.Join(noise, "\n"))
}

// again lets the guest go on to its next pause.
func (z *zoo) again(t *testing.T) []string {
	t.Helper()
	if _, err := z.vm.Console().Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	lines, err := z.until(t)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// halt attaches to the gdbstub, which stops the guest.
func (z *zoo) halt(t *testing.T) {
	t.Helper()
	var err error
	if z.stub, err = rsp.New(t.Context(), z.vm.GDB(), rsp.Options{}); err != nil {
		t.Fatal(err)
	}
	if z.reader, err = task.NewReader(z.stub, z.image, z.arch); err != nil {
		t.Fatal(err)
	}
}
