package main

// riscv64 takes the generic table of system calls, which has neither fork nor
// vfork: both are clone, with flags.
func fork() uintptr  { return spawn(clone, sigchld, 0, 0, 0, 0, exitGroup) }
func vfork() uintptr { return spawn(clone, cloneVM|cloneVfork|sigchld, 0, 0, 0, 0, exitGroup) }

const (
	clone  = 220
	clone3 = 435
)

// cloneArgs are the arguments of clone in the order of this architecture.
func cloneArgs(flags, stack, tid, clear uintptr) (a, b, c, d, e uintptr) {
	return flags, stack, tid, 0, clear
}
