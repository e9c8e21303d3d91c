package rsp

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
)

// Registers holds the values of a vCPU's registers, by name. It has the registers of
// at most 64 bits that are in a g packet.
type Registers map[string]uint64

// Get returns a register's value.
func (r Registers) Get(name string) (uint64, error) {
	v, ok := r[name]
	if !ok {
		return 0, fmt.Errorf("no register %q among the %d of a g packet; read wider and system registers with ReadRegister", name, len(r))
	}
	return v, nil
}

// Registers returns the registers of the selected thread, which after a stop
// is the stopped one. Directly after a stop it needs no exchange.
func (c *Client) Registers(ctx context.Context) (Registers, error) {
	const op = "read registers"
	if err := c.acquireHalted(ctx); err != nil {
		return nil, opError(op, "", err)
	}
	defer c.release()
	if c.cached == nil {
		reply, err := c.ask(ctx, op, "g")
		if err != nil {
			return nil, err
		}
		if c.cached, err = c.target.decode(reply); err != nil {
			return nil, opError(op, "g", err)
		}
	}
	return maps.Clone(c.cached), nil
}

// decode reads a g reply. It leaves out registers that the stub reports as
// unavailable, with x characters.
func (t *Target) decode(reply []byte) (Registers, error) {
	regs := make(Registers, len(t.Registers))
	for _, r := range t.Registers {
		end := 2 * (r.Offset + r.bytes())
		if r.Offset < 0 || r.Bits > 64 {
			continue
		}
		if end > len(reply) {
			return nil, fmt.Errorf("%d bytes of registers, but %s ends at byte %d", len(reply)/2, r.Name, end/2)
		}
		digits := reply[2*r.Offset : end]
		if digits[0] == 'x' {
			continue
		}
		v, err := value(digits)
		if err != nil {
			return nil, fmt.Errorf("register %s: %w", r.Name, err)
		}
		regs[r.Name] = v
	}
	return regs, nil
}

// value decodes up to 8 bytes in hexadecimal. All supported guests are
// little-endian.
func value(digits []byte) (uint64, error) {
	var b [8]byte
	if len(digits) > 16 {
		return 0, fmt.Errorf("%d bytes do not fit in 64 bits", len(digits)/2)
	}
	if _, err := hex.Decode(b[:], digits); err != nil {
		return 0, fmt.Errorf("reply %q: %w", clip(string(digits)), err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// ReadRegister asks the stub for one register of the selected thread. Unlike
// Registers it can read registers outside the g packet, such as riscv64's priv and
// CSRs.
func (c *Client) ReadRegister(ctx context.Context, name string) (uint64, error) {
	const op = "read register"
	r, err := c.scalar(name)
	if err != nil {
		return 0, opError(op, "", err)
	}
	if err := c.acquireHalted(ctx); err != nil {
		return 0, opError(op, "", err)
	}
	defer c.release()
	return c.readRegister(ctx, r)
}

func (c *Client) readRegister(ctx context.Context, r Register) (uint64, error) {
	op := "read register " + r.Name
	packet := fmt.Sprintf("p%x", r.Number)
	reply, err := c.ask(ctx, op, packet)
	if err != nil {
		return 0, err
	}
	if len(reply) != 2*r.bytes() {
		return 0, opError(op, packet, fmt.Errorf("%w, want %d bytes", unexpected(reply), r.bytes()))
	}
	v, err := value(reply)
	return v, opError(op, packet, err)
}

// WriteRegister sets one register of the selected thread.
func (c *Client) WriteRegister(ctx context.Context, name string, v uint64) error {
	const op = "write register"
	r, err := c.scalar(name)
	if err != nil {
		return opError(op, "", err)
	}
	if r.Bits < 64 && v>>r.Bits != 0 {
		return opError(op, "", fmt.Errorf("value %#x of %s is not in 0 to %#x", v, name, uint64(1)<<r.Bits-1))
	}
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	return c.writeRegister(ctx, r, v)
}

func (c *Client) writeRegister(ctx context.Context, r Register, v uint64) error {
	op := "write register " + r.Name
	b := binary.LittleEndian.AppendUint64(nil, v)[:r.bytes()]
	set := ask(fmt.Sprintf("P%x=%x", r.Number, b))
	c.cached = nil // even if the write fails
	if r == c.target.PC() {
		c.pcs[c.selected] = v
	}
	if err := c.exchange(ctx, set); err != nil {
		return opError(op, set.payload, err)
	}
	return opError(op, set.payload, okError(set.reply))
}

func (c *Client) scalar(name string) (Register, error) {
	r, ok := c.target.Register(name)
	if !ok {
		return r, fmt.Errorf("no register %q in the target description of %s%s", name, c.target.Architecture, c.target.similar(name))
	}
	if r.Bits > 64 {
		return r, fmt.Errorf("register %s has %d bits, more than 64", name, r.Bits)
	}
	return r, nil
}

// similar lists registers whose names contain, or are contained in, name.
func (t *Target) similar(name string) string {
	var names []string
	for _, r := range t.Registers {
		if name != "" && len(names) < 8 && (strings.Contains(r.Name, name) || strings.Contains(name, r.Name)) {
			names = append(names, r.Name)
		}
	}
	if names == nil {
		return ""
	}
	return "; there is " + strings.Join(names, ", ")
}
