package prepare

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"kernellab/harness/machine"
	"kernellab/images"
	"kernellab/internal/progress"
)

// An error is explained with the end of the guest's console, what to do about the cache,
// and where the run's files are, whichever there are.
func TestExplain(t *testing.T) {
	denied := fmt.Errorf("list kernels: %w", &fs.PathError{Op: "open", Path: "/c/kernels/x86_64", Err: syscall.EACCES})
	for _, c := range []struct {
		name  string
		err   error
		files string
		want  string
	}{
		{"of the cache", denied, "", `lab: list kernels: open /c/kernels/x86_64: permission denied
  the cache /c is not yours to use: set LAB_CACHE to a folder of your own, or have its owner change the permissions
`},
		{"with files", &fs.PathError{Op: "open", Path: "/d", Err: syscall.EACCES}, "/c/failed/1", `lab: open /d: permission denied
  what the run left is in /c/failed/1
`},
		{"with a console", &machine.GuestError{Kernel: "6.1", What: "hung", Console: []string{"one", "two"}}, "", `lab: the kernel 6.1 hung
  | one
  | two
`},
	} {
		var log strings.Builder
		Host{Cache: &images.Cache{Dir: "/c"}, Progress: progress.New(&log)}.Explain(c.err, c.files)
		if log.String() != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.name, log.String(), c.want)
		}
	}
}
