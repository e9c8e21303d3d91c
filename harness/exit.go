package harness

import (
	"golang.org/x/sys/unix"

	"kernellab/harness/trace"
	"kernellab/images/guest"
)

// exit turns the agent's account of a program's end into the trace's.
func (j Job) exit(e guest.Exit) trace.Exit {
	out := trace.Exit{
		Code: e.Code, Output: string(e.Merged()), Dropped: e.Dropped, Leftover: e.Leftover,
		TimedOut: e.TimedOut, Stuck: e.Stuck,
	}
	if e.TimedOut {
		out.Limit = j.limit()
	}
	if e.Signal != 0 {
		out.Signal = unix.SignalName(e.Signal)
	}
	return out
}
