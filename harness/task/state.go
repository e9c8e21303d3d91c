package task

import (
	"context"
	"fmt"
	"math/bits"
	"strings"
)

// State is a task's state, in the words of /proc/PID/status.
type State struct {
	Letter string `json:"letter"`
	Words  string `json:"words"`
	Raw    uint64 `json:"raw"` // __state | exit_state
}

// Bits of task_struct.__state and exit_state: include/linux/sched.h.
const (
	stateUninterruptible = 0x2
	stateReport          = 0x7f // TASK_REPORT
	stateNoLoad          = 0x400
	stateRTLock          = 0x1000
	stateFrozen          = 0x8000
	stateIdle            = stateUninterruptible | stateNoLoad
)

// state is task_state_index in include/linux/sched.h.
func state(state, exit uint64) State {
	names := [...]string{
		"running", "sleeping", "disk sleep", "stopped", "tracing stop", "dead", "zombie", "parked", "idle",
	}
	const letters = "RSDTtXZPI"
	index := bits.Len64((state | exit) & stateReport)
	switch {
	case state&stateIdle == stateIdle:
		index = 8
	case state&(stateRTLock|stateFrozen) != 0:
		index = bits.Len64(stateUninterruptible)
	}
	return State{letters[index : index+1], names[index], state | exit}
}

func (v *View) state(ctx context.Context, task object) (State, error) {
	now, err := task.first(ctx, "__state", "state")
	if err != nil {
		return State{}, err
	}
	exit, err := task.number(ctx, "exit_state")
	return state(now, exit), err
}

const flagKthread = 0x200000

// flagNames returns the names of the bits of task_struct.flags
// (include/linux/sched.h). A bit whose meaning has changed since 5.10 is a number.
func flagNames(flags uint64) []string {
	names := map[uint64]string{
		0x1: "PF_VCPU", 0x2: "PF_IDLE", 0x4: "PF_EXITING", 0x10: "PF_IO_WORKER", 0x20: "PF_WQ_WORKER",
		0x40: "PF_FORKNOEXEC", 0x80: "PF_MCE_PROCESS", 0x100: "PF_SUPERPRIV", 0x200: "PF_DUMPCORE",
		0x400: "PF_SIGNALED", 0x800: "PF_MEMALLOC", 0x1000: "PF_NPROC_EXCEEDED", 0x4000: "PF_USER_WORKER",
		0x8000: "PF_NOFREEZE", 0x20000: "PF_KSWAPD", 0x40000: "PF_MEMALLOC_NOFS", 0x80000: "PF_MEMALLOC_NOIO",
		flagKthread: "PF_KTHREAD", 0x400000: "PF_RANDOMIZE", 0x4000000: "PF_NO_SETAFFINITY",
		0x8000000: "PF_MCE_EARLY", 0x80000000: "PF_SUSPEND_TASK",
	}
	var out []string
	for rest := flags; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		name, ok := names[bit]
		if !ok {
			name = fmt.Sprintf("%#x", bit)
		}
		out = append(out, name)
	}
	return out
}

// Preempt has the parts of preempt_count: include/linux/preempt.h.
type Preempt struct {
	Raw         uint32 `json:"raw"`
	Preempt     int    `json:"preempt"` // depth of preempt_disable
	Softirq     int    `json:"softirq"` // 1 while one is served; each local_bh_disable adds 2
	Hardirq     int    `json:"hardirq"`
	NMI         int    `json:"nmi"`
	NeedResched bool   `json:"need_resched"` // only on x86_64, an inverted bit
}

func splitPreempt(n uint32, inverted bool) *Preempt {
	return &Preempt{
		Raw: n, Preempt: int(n & 0xff), Softirq: int(n >> 8 & 0xff), Hardirq: int(n >> 16 & 0xf), NMI: int(n >> 20 & 0xf),
		NeedResched: inverted && n>>31 == 0,
	}
}

// String returns the value and what prevents preemption, for people.
func (p Preempt) String() string {
	var parts []string
	for _, part := range []struct {
		n    int
		name string
	}{{p.NMI, "NMI"}, {p.Hardirq, "hardirq"}, {p.Softirq, "softirq"}, {p.Preempt, "preempt off"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", part.name, part.n))
		}
	}
	if p.NeedResched {
		parts = append(parts, "need_resched")
	}
	if len(parts) == 0 {
		parts = []string{"preemptible"}
	}
	return fmt.Sprintf("%#x (%s)", p.Raw, strings.Join(parts, ", "))
}
