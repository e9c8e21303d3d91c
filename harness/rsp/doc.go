// Package rsp is a client of the GDB Remote Serial Protocol, for QEMU's
// gdbstub.
//
// It halts and resumes a guest, sets breakpoints, and reads registers and
// memory, over a net.Conn that somebody else made (usually one end of a
// socketpair whose other end QEMU inherited). It does not start QEMU, dial,
// listen, know symbols, or know any architecture: registers come from the
// target description that the stub serves.
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
// A packet is $payload#checksum, answered by + (taken) or - (send it again).
// QEMU has no QStartNoAckMode, so every packet is acknowledged both ways. Two
// habits of QEMU shape how:
//
//   - While the guest runs, whatever byte arrives halts it, and that byte is
//     swallowed. So nothing but an interrupt is ever sent to a running guest,
//     and the very first byte of a connection is a + that may be lost.
//   - It remembers only its last reply for retransmission, and forgets it at
//     the next $. So an acknowledgement can wait and ride in front of the next
//     packet, which saves a write and a wake-up of QEMU for each exchange.
//
// Packets sent together are answered in order, so packets whose payloads do
// not depend on each other are written at once and cost one round trip. A
// packet that lets the guest run is always the last of its write.
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
//	ReadRanges                   1  for each 16 packets, however scattered
//	Insert, Remove               1  Z0, z0
//
// A stop at a breakpoint, from one Resume to the next, registers included, is
// therefore 3 round trips on one vCPU.
//
// With Options.Halts the guest runs with nobody attached, at the same number of
// round trips: D Z0… c, and vAttach beside the g. See quiet.go for why.
//
// # Stops
//
// A guest is halted from New until Resume or Step, and then running until the
// stop has been returned by Wait, Interrupt or Step. Methods that need it
// halted return ErrRunning before that, even when the stop has come in, so
// that the outcome does not depend on timing.
//
// With several vCPUs QEMU may report a stop that nothing asked for: a debug
// request of one vCPU that lands after the guest was resumed, or a single step
// left enabled on another. Resume and Step repeat a step that did not move the
// PC. Whoever calls Wait must compare Stop.PC with its own plan and resume
// when it is not in it.
//
// Only the client may resume the guest while it is attached: a QMP cont behind
// its back makes the stub swallow a packet.
//
// # Giving up
//
// When ctx ends, or Options.Timeout passes, the call returns at once. The
// answer that is still due is matched to the call that was given up, never to
// a later one: the next call waits for it first. What the late answer says
// about breakpoints is still taken into account. When the stream can no longer
// be trusted (half a packet written, damage that cannot be repaired), the
// connection is closed and every later call returns ErrBroken with the cause.
//
// # Concurrency
//
// One goroutine, started by New and ended by Close, owns all reading from the
// connection. Methods may be called from any goroutine and take turns, except
// that Wait waits outside its turn: Interrupt, Close and RoundTrips may be
// called while a Wait blocks. When an Interrupt and a Wait meet, both return
// the same stop.
package rsp
