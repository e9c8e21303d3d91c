package main

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"kernellab/images"
)

// An error about a file of the cache ends with what to do about the cache.
func TestExplain(t *testing.T) {
	a := &app{cache: &images.Cache{Dir: "/c"}}
	var b strings.Builder
	a.explain(&b, fmt.Errorf("list kernels: %w", &fs.PathError{Op: "open", Path: "/c/kernels/x86_64", Err: syscall.EACCES}))
	const want = `lab: list kernels: open /c/kernels/x86_64: permission denied
  the cache /c is not yours to use: set LAB_CACHE to a folder of your own, or have its owner change the permissions
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
