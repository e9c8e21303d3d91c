package rsp

import (
	"fmt"
	"strconv"
	"strings"
)

// Signals that QEMU reports as the reason of a stop, by GDB's numbers.
const (
	SignalInterrupt = 2 // interrupted, or stopped over QMP
	SignalTrap      = 5 // a breakpoint, or the end of a step
)

// A Stop says why and where the guest halted.
type Stop struct {
	// Signal is GDB's number of the reason. With Exited it is the signal
	// that ended the guest, or 0.
	Signal int
	// Thread is the vCPU that the stub reports, such as p01.01. It is selected
	// until SelectThread.
	Thread string
	// Watch is the address of the watchpoint that was hit, 0 if none was. Whether the
	// instruction that writes has been executed depends on QEMU's model of the CPU
	// (gdb_stop_before_watchpoint): on x86 it has, where one that repeats itself
	// (rep movs) has executed once, and the PC is still its own; on RISC-V it has not.
	Watch uint64
	// PC is its program counter. On x86, while the segments are not flat (before
	// the kernel), it is an offset from the base of CS.
	PC uint64
	// Exited means that the guest has ended and QEMU is exiting. Thread and PC are
	// empty then.
	Exited bool
	// ExitCode is QEMU's exit code, with Exited.
	ExitCode int
}

// String returns a text such as "SIGTRAP in p01.01 at 0xffffffff81000000".
func (s Stop) String() string {
	signal := fmt.Sprintf("signal %d", s.Signal)
	switch s.Signal {
	case SignalInterrupt:
		signal = "SIGINT"
	case SignalTrap:
		signal = "SIGTRAP"
	}
	switch {
	case s.Exited && s.Signal != 0:
		return "exited by " + signal
	case s.Exited:
		return fmt.Sprintf("exited with code %d", s.ExitCode)
	}
	return fmt.Sprintf("%s in %s at %#x", signal, s.Thread, s.PC)
}

// isStop reports whether p is a stop reply. Replies with data never start with these
// capitals.
func isStop(p []byte) bool {
	if len(p) < 3 || !isHex(p[1:3]) {
		return false
	}
	switch p[0] {
	case 'T':
		return true
	case 'S':
		return len(p) == 3
	case 'W', 'X':
		return len(p) == 3 || p[3] == ';'
	}
	return false
}

// isConsole reports whether p is output for the user: O and hexadecimal text.
func isConsole(p []byte) bool {
	return len(p) > 1 && p[0] == 'O' && len(p)%2 == 1 && isHex(p[1:])
}

// parseStop reads a packet that isStop has accepted: Tnn and key:value;
// pairs, Snn, Wnn or Xnn.
func parseStop(p []byte) (Stop, error) {
	n, err := strconv.ParseUint(string(p[1:3]), 16, 8)
	if err != nil {
		return Stop{}, unexpected(p)
	}
	switch p[0] {
	case 'W':
		return Stop{Exited: true, ExitCode: int(n)}, nil
	case 'X':
		return Stop{Exited: true, Signal: int(n)}, nil
	}
	s := Stop{Signal: int(n)}
	for pair := range strings.SplitSeq(string(p[3:]), ";") {
		key, value, found := strings.Cut(pair, ":")
		if pair != "" && !found {
			return Stop{}, fmt.Errorf("stop reply %q: %q is not key:value", clip(string(p)), pair)
		}
		switch key {
		case "thread":
			s.Thread = value
		case "watch", "rwatch", "awatch":
			if s.Watch, err = strconv.ParseUint(value, 16, 64); err != nil {
				return Stop{}, unexpected(p)
			}
		}
	}
	return s, nil
}
