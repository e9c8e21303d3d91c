// Package rsp is a client of the GDB Remote Serial Protocol, for QEMU's
// gdbstub.
//
// It halts and resumes a guest, sets breakpoints, and reads registers and
// memory, over a net.Conn that the caller made (usually one end of a socketpair
// whose other end QEMU inherited). It does not start QEMU, dial or listen, and it
// knows no symbols and no architecture: registers come from the target description
// that the stub serves.
//
// The protocol is specified at
// https://sourceware.org/gdb/current/onlinedocs/gdb.html/Remote-Protocol.html
// and QEMU's side of it is gdbstub/ in QEMU's source (gdbstub.c up to 7.2).
// Where the two differ, this package follows QEMU.
//
//	c, err := rsp.New(ctx, conn, rsp.Options{})
//	…
//	defer c.Close()
//	err = c.Insert(ctx, addr)
//	for {
//		err = c.Resume(ctx)
//		stop, err := c.Wait(ctx)
//		if stop.PC != addr {
//			continue
//		}
//		regs, err := c.Registers(ctx)
//		err = c.ReadMemory(ctx, regs["sp"], buf)
//	}
//
// # On the wire
//
// A packet is $payload#checksum, answered by + (received) or - (send it again).
// QEMU has no QStartNoAckMode, so every packet is acknowledged both ways. Two
// properties of QEMU determine how:
//
//   - While the guest runs, any byte that arrives halts it and is discarded. So the
//     client sends nothing but an interrupt to a running guest, and the first byte
//     of a connection is a + that may be lost.
//   - QEMU keeps only its last reply for retransmission, until the next $. So an
//     acknowledgement can be sent together with the next packet, which saves a
//     write and a wake-up of QEMU for each exchange.
//
// QEMU answers packets sent together in order, so packets whose payloads do not
// depend on each other are written at once and cost one round trip. A packet that
// resumes the guest is always the last of its write.
//
// # Round trips
//
// RoundTrips counts the times that the client wrote and waited:
//
//	Resume                       1  vCont;c
//	Resume over a breakpoint     2  z0 vCont;s | Z0 vCont;c
//	  with several vCPUs         3  the step is checked to have moved the PC
//	Wait                         1  g; with several vCPUs Hg g
//	Interrupt                    2  0x03 | g
//	Step                         2  vCont;s | g
//	Registers after a stop       0  the same g
//	Registers otherwise          1  g
//	ReadRegister, WriteRegister  1  p, P
//	ReadMemory                   1  for each 32 KiB
//	ReadRanges                   1  for each 16 packets
//	Insert, Remove               1  Z0, z0
//
// A stop at a breakpoint, from one Resume to the next, registers included, is
// therefore 3 round trips on one vCPU.
//
// With Options.StopCounter the client is detached while the guest runs. The number
// of round trips is the same: D Z0… c, and vAttach g. unattached.go says why.
//
// # Stops
//
// A guest is halted from New until Resume or Step, and then running until the
// stop has been returned by Wait, Interrupt or Step. Methods that need a halted
// guest return ErrRunning before that, even when the stop has already arrived, so
// that the outcome does not depend on timing.
//
// With several vCPUs QEMU may report a stop that nothing asked for: a debug
// request of one vCPU that takes effect after the guest was resumed, or a single
// step left enabled on another. Resume and Step repeat a step that did not move the
// PC. The caller of Wait must compare Stop.PC with the addresses that it expects,
// and resume after any other stop.
//
// Only the client may resume the guest while it is attached: after a QMP cont
// the stub discards a packet.
//
// # Giving up
//
// When ctx ends, or Options.Timeout passes, the call returns at once. An answer
// that is still due belongs to the abandoned call, never to a later one: the next
// call waits for it first and records what it says about breakpoints. When requests
// and replies can no longer be matched (half a packet written, damage that cannot be
// repaired), the client closes the connection and every later call returns ErrBroken
// with the cause.
//
// # Concurrency
//
// One goroutine, started by New and ended by Close, owns all reading from the
// connection. Methods may be called from any goroutine; they exclude each other,
// except that Interrupt, Close and RoundTrips may be called while a Wait blocks. A
// concurrent Interrupt and Wait return the same stop.
package rsp
