// Package blocks reads every instruction that a machine executes between two stops, from
// the log that QEMU writes of the blocks that it runs. It does not change the run: the
// same stops come at the same instructions with the log and without it.
//
// A [Log] belongs to one machine. At a stop, switch it on, and at any later stop off:
//
//	log, err := blocks.New(m.Stub, arch)
//	defer log.Close()
//	...                             // the guest stands at the first stop
//	err = log.On(ctx, func(b blocks.Block) error { … })
//	...                             // it is resumed, and stops any number of times
//	total, err := log.Off(ctx, pc)  // pc is where it stands now
//
// While the guest runs, and while it stands at a stop in between, the function is called
// with each block, in order and as soon as it is known where the block ended. It is
// called in another goroutine and must not use the guest: Off returns after the last
// call. Off returns how many instructions ran and how many blocks. That is QEMU's own
// count, the one of "info replay" in a machine that records. A package that only counts
// passes a nil function. On can be called again after Off; only what the code is costs
// memory, not how long it runs.
//
// A [Block] has the address of its first instruction, the number of instructions that
// ran, its [Code], and how it went on. It is what QEMU translates and runs as a piece: it
// ends at a jump, at the end of a page, or after an instruction with effects that QEMU
// cannot foresee. The code is what the machine had in memory when it ran (QEMU
// disassembles it for the log), so that instructions which the kernel patched at boot are
// seen as patched, and the code of user programs is there too. Package golang.org/x/arch
// says what its last instruction does.
//
//   - A block that QEMU announced and did not run ("Stopped execution") is left out: it is
//     announced again.
//   - A block that an exception or an access to a device ended has fewer instructions. The
//     instruction that faulted is not counted, as it runs again.
//   - Each round of an instruction with a rep prefix is a block, and counts as an
//     instruction, as QEMU counts. [Block.Again] tells them from the first.
//   - An interrupt or exception is part of the block before it: [Block.Interrupt]. One
//     that nothing preceded has a block of no instructions.
//
// With several vCPUs the log does not say where an interrupt happened, so On refuses
// such a machine.
//
// The debugger may change the PC of a stopped guest: lab leaves a breakpoint at a function's
// first instruction by setting the PC behind it if it is a nop. Then the block before
// goes on at the second instruction, and the first does not count.
//
// It follows log_cpu_exec, cpu_tb_exec and cpu_io_recompile in QEMU's accel/tcg,
// do_interrupt_all in target/i386/tcg/seg_helper.c, and riscv_cpu_do_interrupt in
// target/riscv/cpu_helper.c.
package blocks
