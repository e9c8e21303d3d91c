package trace

import (
	"math/bits"
	"testing"

	"golang.org/x/sys/unix"
)

// The constants of clone and of signals are those of Go's package unix, which is made
// from the kernel's headers.
func TestABI(t *testing.T) {
	all := Constants()
	for name, want := range map[string]int{
		"CSIGNAL": unix.CSIGNAL, "CLONE_VM": unix.CLONE_VM, "CLONE_FS": unix.CLONE_FS, "CLONE_FILES": unix.CLONE_FILES, "CLONE_SIGHAND": unix.CLONE_SIGHAND,
		"CLONE_PIDFD": unix.CLONE_PIDFD, "CLONE_PTRACE": unix.CLONE_PTRACE, "CLONE_VFORK": unix.CLONE_VFORK, "CLONE_PARENT": unix.CLONE_PARENT,
		"CLONE_THREAD": unix.CLONE_THREAD, "CLONE_NEWNS": unix.CLONE_NEWNS, "CLONE_SYSVSEM": unix.CLONE_SYSVSEM, "CLONE_SETTLS": unix.CLONE_SETTLS,
		"CLONE_PARENT_SETTID": unix.CLONE_PARENT_SETTID, "CLONE_CHILD_CLEARTID": unix.CLONE_CHILD_CLEARTID, "CLONE_DETACHED": unix.CLONE_DETACHED,
		"CLONE_UNTRACED": unix.CLONE_UNTRACED, "CLONE_CHILD_SETTID": unix.CLONE_CHILD_SETTID, "CLONE_NEWCGROUP": unix.CLONE_NEWCGROUP,
		"CLONE_NEWUTS": unix.CLONE_NEWUTS, "CLONE_NEWIPC": unix.CLONE_NEWIPC, "CLONE_NEWUSER": unix.CLONE_NEWUSER, "CLONE_NEWPID": unix.CLONE_NEWPID,
		"CLONE_NEWNET": unix.CLONE_NEWNET, "CLONE_IO": unix.CLONE_IO, "CLONE_CLEAR_SIGHAND": unix.CLONE_CLEAR_SIGHAND, "CLONE_INTO_CGROUP": unix.CLONE_INTO_CGROUP,
	} {
		if all[name] != want {
			t.Errorf("%s is %#x, want %#x", name, all[name], want)
		}
	}
	for n := 1; n < 32; n++ {
		if name := unix.SignalName(unix.Signal(n)); Signal(n) != name || all[name] != n {
			t.Errorf("signal %d is %s, and %s is %d, want %s", n, Signal(n), name, all[name], name)
		}
	}
	if Signal(0) != "0" || Signal(32) != "signal 32" || Signal(-1) != "signal -1" {
		t.Errorf("no signals: %s, %s, %s", Signal(0), Signal(32), Signal(-1))
	}
}

// Each flag of a word is one bit, its own, and they are in order.
func TestFlagsAreBits(t *testing.T) {
	for name, list := range map[string][]Flag{"clone": CloneFlags(), "states": TaskStates()[1:], "flags": TaskFlags()} {
		last := 0
		for _, f := range list {
			if bits.OnesCount64(uint64(f.Bit)) != 1 || f.Bit <= last {
				t.Errorf("%s: %s is %#x, after %#x", name, f.Name, f.Bit, last)
			}
			last = f.Bit
		}
	}
	if s := TaskStates()[0]; s != (Flag{"TASK_RUNNING", 0}) {
		t.Errorf("the first state is %+v", s)
	}
	// The kernel's states have no gaps up to TASK_NEW.
	for i, f := range TaskStates()[1:] {
		if f.Bit != 1<<i {
			t.Errorf("%s is %#x, want %#x", f.Name, f.Bit, 1<<i)
		}
	}
}
