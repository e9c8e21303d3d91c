package rsp

import (
	"context"
	"errors"
	"fmt"
)

// QEMU numbers the control and status registers of a riscv hart in one block, in
// the order of their numbers in the privileged specification. It also accepts
// registers that its target description leaves out (riscv_gdb_get_csr in
// target/riscv/gdbstub.c). Every description has sie.
const (
	knownCSR       = "sie"
	knownCSRNumber = 0x104
	csrs           = 1 << 12
)

// CSR returns the control and status register with the given number, whether or not
// the target description has it.
func (t *Target) CSR(number int) (Register, error) {
	known, ok := t.Register(knownCSR)
	if !ok {
		return Register{}, fmt.Errorf("no control and status registers in the target description of %s", t.Architecture)
	}
	if number < 0 || number >= csrs {
		return Register{}, fmt.Errorf("control and status register %#x is not in 0 to %#x", number, csrs-1)
	}
	return Register{Name: fmt.Sprintf("csr%d", number), Number: known.Number - knownCSRNumber + number, Bits: known.Bits, Offset: -1}, nil
}

// ReadCSR returns a control and status register of the selected thread. ok is false
// when the hart has no such register.
func (c *Client) ReadCSR(ctx context.Context, number int) (v uint64, ok bool, err error) {
	return c.csr(ctx, "read register", number, func(Register, uint64) error { return nil })
}

// WriteCSR writes a control and status register that the selected thread's hart has.
func (c *Client) WriteCSR(ctx context.Context, number int, v uint64) error {
	const op = "write register"
	r, err := c.target.CSR(number)
	if err != nil {
		return opError(op, "", err)
	}
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	return c.writeRegister(ctx, r, v)
}

// RewriteCSR writes a control and status register of the selected thread with its
// own value, so that QEMU applies the effects of the write, and returns the value.
// ok is false when the hart has no such register.
func (c *Client) RewriteCSR(ctx context.Context, number int) (v uint64, ok bool, err error) {
	return c.csr(ctx, "rewrite register", number, func(r Register, v uint64) error { return c.writeRegister(ctx, r, v) })
}

// csr reads a register and calls do with it before another call can exchange packets.
func (c *Client) csr(ctx context.Context, op string, number int, do func(Register, uint64) error) (v uint64, ok bool, err error) {
	r, err := c.target.CSR(number)
	if err != nil {
		return 0, false, opError(op, "", err)
	}
	if err := c.acquireHalted(ctx); err != nil {
		return 0, false, opError(op, "", err)
	}
	defer c.release()
	v, err = c.readRegister(ctx, r)
	var refused *Error
	if errors.As(err, &refused) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return v, true, do(r, v)
}
