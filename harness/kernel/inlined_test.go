package kernel_test

import (
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/kernel"
	"kernellab/harness/kernel/kerneltest"
	"kernellab/internal/labtest"
)

// With a vmlinux dup_task_struct is where it was inlined, but for whoever reads
// what only its stand-in is given, or waits for its return.
func TestInlinedPoint(t *testing.T) {
	labtest.Long(t)
	for _, vmlinux := range kerneltest.Vmlinux(t) {
		dir := filepath.Dir(vmlinux)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			im, err := kernel.Open(filepath.Join(dir, "vmlinuz"))
			if err != nil {
				t.Fatal(err)
			}
			before, err := im.Resolve("dup_task_struct")
			if err != nil || !before.StandIn {
				t.Fatalf("without a vmlinux: %+v, %v; want the stand-in", before, err)
			}
			if err := im.UseDebug(vmlinux, t.TempDir()); err != nil {
				t.Fatal(err)
			}
			r, err := im.Resolve("dup_task_struct")
			if err != nil {
				t.Fatal(err)
			}
			sym, _, _ := im.Symbols.At(r.Addr)
			if !r.Inlined || r.In != "copy_process" || sym.Name != "copy_process" || r.Symbol != "dup_task_struct" || len(r.Params) != 2 ||
				r.Params[0].Name != "orig" || !strings.Contains(r.Why, "inlined into copy_process") {
				t.Errorf("%+v", r)
			}
			for name, needs := range map[string]kernel.Needs{"an argument": {Args: []string{"dst"}}, "the return": {Called: true}} {
				r, err := im.ResolveFor("dup_task_struct", needs)
				if err != nil || r.Addr != before.Addr || !strings.Contains(r.Why, "itself is inlined at copy_process+") {
					t.Errorf("for %s: %+v, %v; want the stand-in and why", name, r, err)
				}
			}
			if r, err := im.ResolveFor("dup_task_struct", kernel.Needs{Args: []string{"orig"}}); err != nil || !r.Inlined {
				t.Errorf("for an argument that it has: %+v, %v", r, err)
			}
			// A function that is there stays where it is.
			if r, err := im.Resolve("copy_process"); err != nil || r.Inlined || r.Addr != sym.Addr {
				t.Errorf("copy_process: %+v, %v", r, err)
			}
			if at := im.Source(r.Addr); len(at) != 2 || at[0].Function != "dup_task_struct" || at[1].Function != "copy_process" || at[0].File != "kernel/fork.c" {
				t.Errorf("source of its first instruction: %+v", at)
			}
		})
	}
}
