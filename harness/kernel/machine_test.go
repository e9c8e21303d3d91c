package kernel

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
)

// Every architecture has a machine, and a system call's entry is known on each.
func TestMachines(t *testing.T) {
	var names []string
	for _, m := range machines() {
		names = append(names, m.name)
	}
	slices.Sort(names)
	want := slices.Sorted(slices.Values(arch.Names()))
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("machines -want +got:\n%s", diff)
	}
	wantCandidates := []candidate{
		{Symbol: "__x64_sys_fork", Arch: "x86_64", Regs: true},
		{Symbol: "__riscv_sys_fork", Arch: "riscv64", Regs: true},
		{Symbol: "__se_sys_fork"}, {Symbol: "sys_fork"},
	}
	if diff := cmp.Diff(wantCandidates, unlisted("sys_fork").Candidates); diff != "" {
		t.Errorf("sys_fork -want +got:\n%s", diff)
	}
}
