package rsp_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"kernellab/harness/rsp"
	"kernellab/harness/rsp/rsptest"
)

// The captures are recorded with, for example,
//
//	go test -run TestCapture/qemu-10.0-x86_64 -record -kernel vmlinuz
//
// from lab's own QEMU, or the one that LAB_QEMU names.
var (
	record = flag.Bool("record", false, "record testdata/*.txtar from a real QEMU and -kernel")
	update = flag.Bool("update", false, "rewrite what the captures are expected to give")
	image  = flag.String("kernel", "", "the kernel that -record boots")
)

// A tour is a session that shows every call, on a kernel's way from its first
// instruction.
type tour struct {
	arch  string
	args  []string
	entry uint64 // where the kernel starts
	regs  []string
	// system is a register that is read with p
	system string
}

var tours = map[string]tour{
	"x86_64": {
		arch:   "x86_64",
		args:   []string{"-machine", "q35", "-m", "256", "-append", "console=ttyS0 nokaslr"},
		entry:  0x1000000,
		regs:   []string{"rip", "rsp", "eflags", "cs", "cr0", "cr3", "efer", "gs_base", "k_gs_base"},
		system: "cr3",
	},
	"riscv64": {
		arch:   "riscv64",
		args:   []string{"-machine", "virt", "-m", "256", "-append", "console=ttyS0 nokaslr"},
		entry:  0x80200000,
		regs:   []string{"pc", "sp", "ra", "tp", "a0", "a1"},
		system: "priv",
	},
}

// walk drives the tour and tells what came of it. It must depend on nothing
// but what the stub says, so that a replay takes the same way; pause is called
// where a live guest needs time to get somewhere.
func (tt tour) walk(ctx context.Context, c *rsp.Client, pause func()) string {
	var out strings.Builder
	failed := false
	show := func(what string, v any, err error) {
		if err != nil {
			failed = true
			fmt.Fprintf(&out, "%s: error: %v\n", what, err)
			return
		}
		fmt.Fprintf(&out, "%s: %v\n", what, v)
	}
	do := func(what string, err error) {
		show(what, "done", err)
	}
	halted := func(what string, stop rsp.Stop, err error) {
		show(what, stop, err)
	}

	target := c.Target()
	show("architecture", target.Architecture, nil)
	for _, r := range target.Registers {
		fmt.Fprintf(&out, "register %d %s bits=%d offset=%d type=%s group=%s\n", r.Number, r.Name, r.Bits, r.Offset, r.Type, r.Group)
	}
	threads, err := c.Threads(ctx)
	show("threads", threads, err)

	do("insert entry", c.Insert(ctx, tt.entry))
	do("resume", c.Resume(ctx))
	stop, err := c.Wait(ctx)
	halted("stop at entry", stop, err)
	if failed {
		return out.String()
	}
	regs, err := c.Registers(ctx)
	for _, name := range tt.regs {
		if v, ok := regs[name]; ok {
			show(name, fmt.Sprintf("%#x", v), err)
		}
	}
	system, err := c.ReadRegister(ctx, tt.system)
	show(tt.system, fmt.Sprintf("%#x", system), err)
	buf := make([]byte, 32)
	err = c.ReadMemory(ctx, stop.PC, buf)
	show("code", fmt.Sprintf("%x", buf), err)
	long := make([]byte, 0x900)
	err = c.ReadMemory(ctx, stop.PC+1, long)
	show("code again", fmt.Sprintf("%x", long[:31]), err)
	err = c.ReadMemory(ctx, 0x7000000000000000, buf)
	fmt.Fprintf(&out, "unmapped: fault=%t %v\n", errors.Is(err, rsp.ErrFault), err)
	for range 3 {
		stop, err = c.Step(ctx, "")
		halted("step", stop, err)
	}
	do("write back", c.WriteRegister(ctx, target.PC().Name, stop.PC))
	do("remove entry", c.Remove(ctx, tt.entry))

	// Deep in the kernel, then a breakpoint where it stands, which a loop
	// comes by again.
	do("resume", c.Resume(ctx))
	pause()
	stop, err = c.Interrupt(ctx)
	halted("interrupt", stop, err)
	do("insert here", c.Insert(ctx, stop.PC))
	for range 3 {
		do("resume over", c.Resume(ctx))
		stop, err = c.Wait(ctx)
		halted("stop", stop, err)
		if failed {
			return out.String()
		}
	}
	do("detach", c.Detach(ctx))
	return out.String()
}

func TestCapture(t *testing.T) {
	if *record {
		recordCapture(t)
		return
	}
	files, err := filepath.Glob("testdata/qemu-*.txtar")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no captures in testdata")
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			must(t, err)
			wire, want := archive.Files[0], &archive.Files[1]
			script, err := rsptest.Parse(file+":"+wire.Name, string(wire.Data))
			must(t, err)
			_, conn := rsptest.Start(t, file+":"+wire.Name, script)
			c := attach(t, conn, rsp.Options{})
			got := tours[name[strings.LastIndex(name, "-")+1:]].walk(background(t), c, func() {})
			if *update {
				want.Data = []byte(got)
				must(t, os.WriteFile(file, txtar.Format(archive), 0o666))
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// recordCapture writes the capture that -run names, such as
// TestCapture/qemu-7.2-x86_64.
func recordCapture(t *testing.T) {
	if *image == "" {
		t.Fatal("-record needs -kernel FILE")
	}
	for arch, tt := range tours {
		words := append(qemuCommand(t, arch), "--version")
		version, err := exec.Command(words[0], words[1:]...).Output()
		must(t, err)
		first, _, _ := strings.Cut(string(version), "\n")
		var major, minor int
		if _, err := fmt.Sscanf(first, "QEMU emulator version %d.%d", &major, &minor); err != nil {
			t.Fatalf("%q: %v", first, err)
		}
		name := fmt.Sprintf("qemu-%d.%d-%s", major, minor, arch)
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			g := boot(t, arch, append(tt.args, "-S", "-kernel", *image)...)
			var wire bytes.Buffer
			c := attach(t, g.conn, rsp.Options{Log: &wire})
			got := tt.walk(ctx, c, func() {
				timer := time.NewTimer(1500 * time.Millisecond)
				defer timer.Stop()
				<-timer.C
			})
			if strings.Contains(got, "error: ") {
				t.Fatalf("not recorded:\n%s", got)
			}
			archive := &txtar.Archive{
				Comment: fmt.Appendf(nil, "%s\n%s, entry %#x\n", first, filepath.Base(*image), tt.entry),
				Files:   []txtar.File{{Name: "wire", Data: wire.Bytes()}, {Name: "want", Data: []byte(got)}},
			}
			must(t, os.WriteFile(filepath.Join("testdata", name+".txtar"), txtar.Format(archive), 0o666))
		})
	}
}
