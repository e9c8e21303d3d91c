package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/machine"
	"kernellab/harness/snapshot"
	"kernellab/harness/task"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/guest"
	"kernellab/images/initramfs"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/internal/labtest"
)

// eachKernel runs a subtest for each cached kernel, in parallel.
func eachKernel(t *testing.T, test func(t *testing.T, z *zoo)) {
	labtest.Long(t)
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			for _, k := range kernels(t, a) {
				t.Run(k.Release, func(t *testing.T) {
					t.Parallel()
					test(t, openZoo(t, a, k.Path))
				})
			}
		})
	}
}

// kernels are the cached ones.
func kernels(t *testing.T, a arch.Arch) []linux.Kernel {
	t.Helper()
	all, err := linux.In(&images.Cache{}).Kernels(a.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		labtest.Lacking(t, a.Name, "the cache holds no kernel: lab kernels fetch brings one")
	}
	return all
}

// zoo is a guest with the animals of testdata/zoo. It stands still, and goes on only
// when something is asked of it.
type zoo struct {
	*machine.Machine
	arch   arch.Arch
	image  *kernel.Image
	reader *task.Reader
}

// openZoo starts a guest in which all animals are in place.
func openZoo(t *testing.T, a arch.Arch, path string) *zoo {
	t.Helper()
	z := &zoo{arch: a}
	z.arch.QEMU.Append = strings.TrimSpace(a.QEMU.Append + " rdinit=/bin/zoo")
	var err error
	if z.image, err = kernel.Open(path); err != nil {
		t.Fatal(err)
	}
	cache := &images.Cache{}
	program, err := compile.Program(t.Context(), cache, a.GOARCH, "zoo", os.DirFS("testdata/zoo"), nil)
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := initramfs.With(t.Context(), cache, a.GOARCH, map[string]string{"zoo": program}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The cache's snapshots, so that each kernel boots for the zoo once.
	snapshots, err := cache.Path("snapshots")
	if err != nil {
		t.Fatal(err)
	}
	spec := machine.Spec{
		Arch: z.arch, Image: z.image, Kernel: path, Initrd: initrd,
		QEMU: qemutest.Command(t, a.Name, a.QEMU.Binary), Snapshots: &snapshot.Store{Dir: snapshots},
	}
	z.Machine, _, err = spec.StartAt(t.Context(), machine.Place{Key: []string{"zoo"}, Reach: populate}, io.Discard)
	if err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, strings.Join(machine.Console(err), "\n"))
	}
	t.Cleanup(z.Close)
	if z.reader, err = task.NewReader(z.Stub, z.image, z.arch); err != nil {
		t.Fatal(err)
	}
	return z
}

// populate has the guest make the animals.
func populate(ctx context.Context, m *machine.Machine) ([]byte, error) {
	var problems []string
	b, err := m.Agent.ReadFile(ctx, "/zoo/ready")
	if err == nil {
		err = json.Unmarshal(b, &problems)
	}
	if err == nil && len(problems) > 0 {
		err = errors.New(strings.Join(problems, "\n"))
	}
	return nil, err
}

// programLimit is what a program may take of the guest's time, which also passes
// while a debugger has stopped the guest: a millisecond a stop.
const programLimit = time.Hour

// start makes a process of the zoo's program, held before its exec. Go's runtime
// sends it no signals, which would have a call of clone begin anew.
func (z *zoo) start(t *testing.T, p guest.Program) *guest.Process {
	t.Helper()
	p.Path, p.Args, p.Env = "/bin/zoo", append([]string{"zoo"}, p.Args...), []string{"GODEBUG=asyncpreemptoff=1"}
	process, err := z.Agent.Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return process
}

// release lets a process go once the guest goes on.
func (z *zoo) release(t *testing.T, p *guest.Process) {
	t.Helper()
	if err := p.Release(t.Context(), programLimit); err != nil {
		t.Fatal(err)
	}
}

func (z *zoo) insert(ctx context.Context, t *testing.T, addrs ...uint64) {
	t.Helper()
	for _, addr := range addrs {
		if err := z.Stub.Insert(ctx, addr); err != nil {
			t.Fatal(err)
		}
	}
}

func (z *zoo) remove(ctx context.Context, t *testing.T, addrs ...uint64) {
	t.Helper()
	for _, addr := range addrs {
		if err := z.Stub.Remove(ctx, addr); err != nil {
			t.Fatal(err)
		}
	}
}

// stop lets the guest run to its next stop, and returns its registers and the
// address of the task that runs there.
func (z *zoo) stop(ctx context.Context, t *testing.T) (regs map[string]uint64, current uint64) {
	t.Helper()
	err := z.Guard(ctx, "a stop", func(ctx context.Context) error {
		if err := z.Stub.Resume(ctx); err != nil {
			return err
		}
		_, err := z.Stub.Wait(ctx)
		return err
	})
	if err != nil {
		t.Fatal(z.Explain(ctx, "run to a stop", err))
	}
	return z.stand(ctx, t)
}

// stand is where the guest stands.
func (z *zoo) stand(ctx context.Context, t *testing.T) (regs map[string]uint64, current uint64) {
	t.Helper()
	regs, err := z.Stub.Registers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if current, err = z.reader.Current(ctx, regs); err != nil {
		t.Fatal(err)
	}
	return regs, current
}
