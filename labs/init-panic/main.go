// Command init-panic runs as the first process of its guest, and exits.
package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

func main() {
	// lab run init-panic --what-if
	switch {
	case slices.Contains(os.Args[1:], "segfault"):
		segfault()
	case slices.Contains(os.Args[1:], "one-thread"):
		runtime.LockOSThread()
		syscall.RawSyscall(syscall.SYS_EXIT, uintptr(task("exit_status", 11)), 0, 0)
	}
	// There is nobody to read what the first process prints.
	os.Exit(task("exit_status", 11))
}

// task returns a value of a student's task, which is an argument NAME=VALUE, or the lab's
// own.
func task(name string, own int) int {
	for _, arg := range os.Args[1:] {
		if text, ok := strings.CutPrefix(arg, name+"="); ok {
			if n, err := strconv.Atoi(text); err == nil {
				return n
			}
		}
	}
	return own
}

// segfault reads from address 0, without the handler of Go's runtime.
//
//go:nosplit
func segfault() {
	var action [4]uintptr // SIG_DFL
	const maskSize = 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV), uintptr(unsafe.Pointer(&action)), 0, maskSize, 0, 0)
	var nowhere *int
	os.Exit(*nowhere)
}
