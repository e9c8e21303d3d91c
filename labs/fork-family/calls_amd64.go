package main

// fork and vfork are system calls of their own here.
func fork() uintptr  { return spawn(57, 0, 0, 0, 0, 0, exitGroup) }
func vfork() uintptr { return spawn(58, 0, 0, 0, 0, 0, exitGroup) }

const (
	clone  = 56
	clone3 = 435
)

// cloneArgs are the arguments of clone in the order of this architecture.
func cloneArgs(flags, stack, tid, clear uintptr) (a, b, c, d, e uintptr) {
	return flags, stack, tid, clear, 0
}
