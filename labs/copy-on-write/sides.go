package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// task is what differs between the tasks of students.
type task struct {
	pages, page int
	first       string // who writes first
}

// readTask returns the lab's own task or, from the arguments, a student's.
func readTask(args []string) task {
	t := task{pages: 5, page: 2}
	for _, arg := range args {
		name, text, _ := strings.Cut(arg, "=")
		n, _ := strconv.Atoi(text)
		switch name {
		case "pages":
			t.pages = n
		case "page":
			t.page = n
		}
	}
	t.first = []string{"child", "parent"}[t.page%2]
	return t
}

// side is what the parent or the child does after the fork. One of them writes first; the
// other waits for that, and looks before it writes.
type side struct {
	first      bool
	line, text []byte // what it prints before the page's text, and what it writes there
	page       *byte
	hear, tell int // ends of two pipes
}

// sides returns what the child and the parent do.
func sides(page *byte, first string) (child, parent *side) {
	var toChild, toParent [2]int
	check("pipe", syscall.Pipe(toChild[:]))
	check("pipe", syscall.Pipe(toParent[:]))
	child = &side{first == "child", []byte("The child reads: "), []byte("written by the child\n"), page, toChild[0], toParent[1]}
	parent = &side{first == "parent", []byte("The parent reads: "), []byte("written by the parent\n"), page, toParent[0], toChild[1]}
	return child, parent
}

// run takes the task's turns. It makes raw system calls only, so that the child can
// execute it.
//
//go:nosplit
//go:norace
func (s *side) run() {
	if s.first {
		s.write()
		s.pass()
		s.await()
		s.print()
		return
	}
	s.await()
	s.print()
	s.write()
	s.print()
	s.pass()
}

// write writes the text to the page, with a zero after it.
//
//go:nosplit
//go:norace
func (s *side) write() {
	to := unsafe.Pointer(s.page)
	for i, c := range s.text {
		*(*byte)(unsafe.Add(to, i)) = c
		*(*byte)(unsafe.Add(to, i+1)) = 0
	}
}

// print prints the page's text.
//
//go:nosplit
//go:norace
func (s *side) print() {
	syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&s.line[0])), uintptr(len(s.line)))
	n := 0
	for n < pageSize && *(*byte)(unsafe.Add(unsafe.Pointer(s.page), n)) != 0 {
		n++
	}
	syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(s.page)), uintptr(n))
}

// pass gives the turn to the other side.
//
//go:nosplit
//go:norace
func (s *side) pass() {
	b := byte(1)
	syscall.RawSyscall(syscall.SYS_WRITE, uintptr(s.tell), uintptr(unsafe.Pointer(&b)), 1)
}

// await waits for the turn.
//
//go:nosplit
//go:norace
func (s *side) await() {
	var b byte
	syscall.RawSyscall(syscall.SYS_READ, uintptr(s.hear), uintptr(unsafe.Pointer(&b)), 1)
}

// fork returns the child's pid in the parent. The child runs its side and ends in here.
//
// A signal that arrives during clone makes the kernel start the call again, and
// Go's runtime preempts with signals: all are blocked for good.
// They are blocked per thread, and main keeps this goroutine on one.
//
//go:noinline
//go:norace
func fork(child *side) (pid int, err error) {
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		child.run()
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// wait returns how the child ended, once it has.
func wait(pid int) (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			return status, err
		}
	}
}

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}
