package main

// cloneArgs are the arguments of clone in the order of this architecture.
func cloneArgs(flags, stack, tid, clear uintptr) (a, b, c, d, e uintptr) {
	return flags, stack, tid, 0, clear
}

const clone = 220
