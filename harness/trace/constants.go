package trace

import "strconv"

// Constants returns the kernel's constants that expressions in a lab may use. Those
// of clone and of signals are ABI (include/uapi/linux/sched.h,
// asm-generic/signal.h). Those of tasks are from include/linux/sched.h and are the
// same in every kernel from 5.10 to 7.3.
func Constants() map[string]int {
	c := map[string]int{"CSIGNAL": 0xff}
	for i, name := range signals() {
		if name != "" {
			c[name] = i
		}
	}
	for _, list := range [][]Flag{CloneFlags(), TaskStates(), TaskFlags()} {
		for _, f := range list {
			c[f.Name] = f.Bit
		}
	}
	return c
}

// signals returns the names of signals by number, from
// include/uapi/asm-generic/signal.h, which x86_64 and riscv64 share.
func signals() []string {
	return []string{"",
		"SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
		"SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP",
		"SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
	}
}

// Signal returns the name of a signal; that of 0 is "0".
func Signal(n int) string {
	if n == 0 {
		return "0"
	}
	if all := signals(); n > 0 && n < len(all) {
		return all[n]
	}
	return "signal " + strconv.Itoa(n)
}

// ExitCode describes task_struct's exit_code, which has the layout of a wait status: the
// exit status in the second byte, or a signal in the first, where 0x80 says that there is
// a core dump.
func ExitCode(n int) string {
	s := "killed by " + Signal(n&0x7f)
	switch {
	case n&0x7f == 0:
		return "exit status " + strconv.Itoa(n>>8&0xff)
	case n&0x80 != 0:
		s += " with a core dump"
	}
	return s
}

// TaskStates returns the bits of task_struct's state and exit_state, and TASK_RUNNING,
// which is 0.
func TaskStates() []Flag {
	return []Flag{
		{"TASK_RUNNING", 0}, {"TASK_INTERRUPTIBLE", 0x1}, {"TASK_UNINTERRUPTIBLE", 0x2}, {"TASK_STOPPED", 0x4},
		{"TASK_TRACED", 0x8}, {"EXIT_DEAD", 0x10}, {"EXIT_ZOMBIE", 0x20}, {"TASK_PARKED", 0x40}, {"TASK_DEAD", 0x80},
		{"TASK_WAKEKILL", 0x100}, {"TASK_WAKING", 0x200}, {"TASK_NOLOAD", 0x400}, {"TASK_NEW", 0x800},
	}
}

// TaskFlags returns bits of task_struct's flags. That of PF_POSTCOREDUMP, which exit_signals
// sets, has no use before 5.17.
func TaskFlags() []Flag {
	return []Flag{
		{"PF_IDLE", 0x2}, {"PF_EXITING", 0x4}, {"PF_POSTCOREDUMP", 0x8}, {"PF_WQ_WORKER", 0x20}, {"PF_FORKNOEXEC", 0x40},
		{"PF_SUPERPRIV", 0x100}, {"PF_DUMPCORE", 0x200}, {"PF_SIGNALED", 0x400}, {"PF_KTHREAD", 0x200000}, {"PF_RANDOMIZE", 0x400000},
	}
}

// Flag is one named bit.
type Flag struct {
	Name string
	Bit  int
}

// CloneFlags returns the flags of clone, lowest bit first
// (include/uapi/linux/sched.h).
func CloneFlags() []Flag {
	return []Flag{
		{"CLONE_VM", 0x100}, {"CLONE_FS", 0x200}, {"CLONE_FILES", 0x400}, {"CLONE_SIGHAND", 0x800},
		{"CLONE_PIDFD", 0x1000}, {"CLONE_PTRACE", 0x2000}, {"CLONE_VFORK", 0x4000}, {"CLONE_PARENT", 0x8000},
		{"CLONE_THREAD", 0x10000}, {"CLONE_NEWNS", 0x20000}, {"CLONE_SYSVSEM", 0x40000}, {"CLONE_SETTLS", 0x80000},
		{"CLONE_PARENT_SETTID", 0x100000}, {"CLONE_CHILD_CLEARTID", 0x200000}, {"CLONE_DETACHED", 0x400000},
		{"CLONE_UNTRACED", 0x800000}, {"CLONE_CHILD_SETTID", 0x1000000}, {"CLONE_NEWCGROUP", 0x2000000},
		{"CLONE_NEWUTS", 0x4000000}, {"CLONE_NEWIPC", 0x8000000}, {"CLONE_NEWUSER", 0x10000000},
		{"CLONE_NEWPID", 0x20000000}, {"CLONE_NEWNET", 0x40000000}, {"CLONE_IO", 0x80000000},
		{"CLONE_CLEAR_SIGHAND", 0x100000000}, {"CLONE_INTO_CGROUP", 0x200000000},
	}
}
