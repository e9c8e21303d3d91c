package harness

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/trace"
	"kernellab/images/guest"
)

// A run ends by the panic that its lab expects, and by no other death of the kernel. The
// lines are from consoles of real kernels.
func TestExpected(t *testing.T) {
	const want = "Attempted to kill init!"
	init := "[    0.301502] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000b00"
	for name, c := range map[string]struct {
		lines []string
		want  string
		exit  *trace.Exit
	}{
		"the panic": {
			[]string{init, "[    0.301502] CPU: 0 PID: 1 Comm: init-panic Not tainted 6.1.0-56-cloud-amd64 #1"}, want,
			&trace.Exit{Code: -1, Panic: "Attempted to kill init! exitcode=0x00000b00", Output: "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000b00\n"},
		},
		"of another kernel":     {[]string{"[    0.3015][    T1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009"}, want, &trace.Exit{Code: -1, Panic: "Attempted to kill init! exitcode=0x00000009", Output: "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009\n"}},
		"another panic":         {[]string{"[    1.1] Kernel panic - not syncing: sysrq triggered crash"}, want, nil},
		"the message later":     {[]string{"[    1.1] Kernel panic - not syncing: Fatal exception: Attempted to kill init!"}, want, nil},
		"an oops, then it":      {[]string{"[    1.1] BUG: kernel NULL pointer dereference, address: 0000000000000000", init}, want, nil},
		"an oops":               {[]string{"[    1.1] BUG: unable to handle page fault for address: ffffffffdeadbeef", "[    1.2] Kernel panic - not syncing: Fatal exception"}, want, nil},
		"no panic is expected":  {[]string{init}, "", nil},
		"a report without text": {nil, want, nil},
	} {
		exit, ok := expected(&guest.PanicError{Lines: c.lines}, c.want)
		if ok != (c.exit != nil) {
			t.Errorf("%s: %v", name, ok)
		}
		if ok {
			if diff := cmp.Diff(*c.exit, exit); diff != "" {
				t.Errorf("%s: -want +got\n%s", name, diff)
			}
		}
	}
	if _, ok := expected(nil, want); ok {
		t.Error("a kernel that lives has panicked")
	}
}
