//go:build !amd64

package sandbox

// forks are the calls besides clone that make a process: the generic table of calls
// has none.
func forks() []uint32 { return nil }
