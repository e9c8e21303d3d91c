// Package proxy stands between gdb and a machine, and lets gdb go back in time: it adds
// ReverseStep+ and ReverseContinue+ to what QEMU's stub offers, and answers bs and bc.
// https://sourceware.org/gdb/current/onlinedocs/gdb.html/Packets.html specifies them.
//
// A run of a machine repeats exactly when the same is done to it. So the past is kept as
// the list of what gdb did (see [History]), and going back is starting the machine again
// and doing the same once more, up to an instruction before.
//
// # How a machine comes to an instruction
//
// A stop at a breakpoint moves the guest's clock (harness/qemu, ClockStep), so a machine
// that is to come to an instruction inside a stretch in which gdb did not stop must not
// stop there either. Two things do not change a run:
//
//   - QEMU's log of the blocks that it executes. With blocks of one instruction the log is
//     the list of the instructions of a stretch, and a place in the past is a number of
//     instructions.
//   - Halting the guest as a debugger's Ctrl-C does. QEMU's main thread does that itself,
//     and the clock stands.
//
// The log goes to a pipe. QEMU waits when the pipe is full, so a reader that stops reading
// holds the guest a few instructions further on. There the guest is halted, and single
// steps, in which QEMU delivers no interrupts and the clock stands too, do the rest. Each
// is compared with the list.
package proxy
