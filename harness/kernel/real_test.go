package kernel

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"kernellab/harness/kernel/kerneltest"
)

var update = flag.Bool("update", false, "rewrite testdata/kernels.txtar from the kernels at hand")

func readSome(t testing.TB, path string, most int64) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// eachKernel runs f over the kernels at hand.
func eachKernel(t *testing.T, f func(t *testing.T, im *Image)) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		t.Run(arch, func(t *testing.T) {
			for _, path := range kerneltest.Images(t, arch) {
				im, err := Open(path)
				if err != nil {
					t.Error(err)
					continue
				}
				t.Run(im.Release, func(t *testing.T) { f(t, im) })
			}
		})
	}
}

// TestKernels compares what is found in real kernels with facts checked by
// hand and, for the symbols, against the guests' own /proc/kallsyms.
func TestKernels(t *testing.T) {
	golden := filepath.Join("testdata", "kernels.txtar")
	archive, err := txtar.ParseFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	if archive == nil {
		archive = &txtar.Archive{Comment: []byte("What this package finds in stock kernels. Written by go test -update.\n")}
	}
	eachKernel(t, func(t *testing.T, im *Image) {
		got := facts(im)
		name := im.Release + " " + im.Arch
		i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
		switch {
		case *update && i >= 0:
			archive.Files[i].Data = []byte(got)
		case *update:
			archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got)})
		case i < 0:
			t.Skipf("%s has nothing about this build", golden)
		default:
			if diff := cmp.Diff(string(archive.Files[i].Data), got); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		}
	})
	if *update && !t.Failed() {
		if err := os.WriteFile(golden, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func facts(im *Image) string {
	var b strings.Builder
	fmt.Fprintf(&b, "banner %s\nbuild id %s\nsymbols %d, %s\n", im.Banner, im.BuildID, im.Symbols.Len(), im.Symbols.layout)
	for _, name := range []string{"_text", "_end", "init_task", "current_task", "pcpu_hot"} {
		for _, s := range im.Symbols.Named(name) {
			fmt.Fprintf(&b, "symbol %c %s %#x\n", s.Type, s.Name, s.Addr)
		}
	}
	for _, path := range []string{"pid", "comm", "__state", "state", "thread.sp", "thread_info.cpu", "cpu", "on_cpu", "parent", "children.next", "in_execve", "se.vruntime"} {
		f, err := im.Field("task_struct", path)
		if err != nil {
			fmt.Fprintf(&b, "task_struct.%s: %v\n", path, err)
			continue
		}
		fmt.Fprintf(&b, "task_struct.%s: %+v\n", path, f)
	}
	for _, name := range []string{"task_struct", "pt_regs", "pid_t", "union thread_union"} {
		n, err := im.SizeOf(name)
		fmt.Fprintf(&b, "sizeof %s: %d %v\n", name, n, err)
	}
	for _, point := range Points() {
		r, err := im.Resolve(point)
		if err != nil {
			fmt.Fprintf(&b, "%v\n", err)
			continue
		}
		var params []string
		for _, p := range r.Params {
			params = append(params, p.Type+" "+p.Name)
		}
		fmt.Fprintf(&b, "point %s: %s %#x (%s) %s%v\n  %s\n", point, r.Symbol, r.Addr, strings.Join(params, ", "), r.Returns, r.Regs, r.Why)
	}
	return b.String()
}

// Every point whose place was found is code of the kernel that the image holds.
func TestPointsAreCode(t *testing.T) {
	eachKernel(t, func(t *testing.T, im *Image) {
		for _, point := range Points() {
			r, err := im.Resolve(point)
			if err != nil {
				var none *PointError
				if !errors.As(err, &none) || im.Arch == "x86_64" {
					t.Errorf("%s: %v", point, err)
				}
				continue
			}
			if _, err := im.Text(r.Addr, 16); err != nil {
				t.Errorf("%s: %v", point, err)
			}
			sym, off, ok := im.Symbols.At(r.Addr)
			if !ok || off != 0 || sym.Addr != r.Addr {
				t.Errorf("%s: %#x is %v+%#x (%v), want %s", point, r.Addr, sym, off, ok, r.Symbol)
			}
		}
	})
}

func TestTextOutside(t *testing.T) {
	im, err := Parse(smallImage())
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []uint64{0, riscvLinkBase - 1, riscvLinkBase + uint64(len(im.flat)) - 3, ^uint64(0)} {
		_, err := im.Text(addr, 8)
		var r *RangeError
		if !errors.As(err, &r) || r.Low != riscvLinkBase {
			t.Errorf("8 bytes at %#x: got %v, want a RangeError", addr, err)
		}
	}
	if _, err := im.Text(riscvLinkBase, -1); err == nil {
		t.Error("a negative length is accepted")
	}
}
