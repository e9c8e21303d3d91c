package probe

import (
	"context"
	"errors"
	"fmt"

	"kernellab/harness/expr"
	"kernellab/harness/kernel"
	"kernellab/harness/task"
	"kernellab/harness/trace"
)

// Here is the guest at a stop that was just recorded. It must not be used after the
// guest has run again.
type Here struct {
	Event trace.Event
	View  *task.View
	// Registers are those of the stopped CPU.
	Registers map[string]uint64
	scope     *scope
}

// Extent is a piece of memory that an expression reads.
type Extent struct {
	Addr uint64
	Size int
	Name string // "task_struct.pid", "u64"
	Type string // of a member, C spelling
	Text bool   // it holds a text, which a byte 0 ends
	// Bits and BitOffset are the extent of a bit field, from the least significant bit.
	Bits, BitOffset int
	Signed          bool
}

// errNoMemory says that an expression reads no memory.
var errNoMemory = errors.New("reads no memory of the guest: it is made of registers, recorded values and constants")

// Extents evaluates an expression, and returns the pieces of memory that its value is
// read from. What is read on the way to them, such as a pointer to a structure, is not
// among them.
func (h *Here) Extents(ctx context.Context, src string) (all []Extent, err error) {
	e, err := expr.Parse(src)
	if err != nil {
		return nil, err
	}
	s := *h.scope
	var log []Extent
	s.touched = func(x Extent) { log = append(log, x) }
	err = e.Sources(ctx, &s, func(part string, _ any) error {
		if len(log) == 0 {
			return nil
		}
		x := log[len(log)-1] // those before it lead there
		if log = log[:0]; x.Size == 0 {
			return fmt.Errorf("%s reads whole structures: name a member", part)
		}
		all = append(all, x)
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s %w", src, errNoMemory)
	}
	return all, err
}

// Value evaluates an expression, and returns its value for a person.
func (h *Here) Value(ctx context.Context, src string) (string, error) {
	number, text, err := h.scope.eval(ctx, src)
	switch {
	case err != nil:
		return "", err
	case text != nil:
		return *text, nil
	case int64(number) < 0 || number > 0xffff:
		return fmt.Sprintf("%#x", number), nil
	}
	return fmt.Sprint(number), nil
}

// touch notes a piece of memory that an expression reads.
func (s *scope) touch(x Extent) {
	if s.touched != nil && !s.dry {
		s.touched(x)
	}
}

// memberExtent is where a member is, of the structure at base.
func memberExtent(base uint64, path string, f kernel.Field) Extent {
	return Extent{
		Addr: base + uint64(f.Offset), Size: f.Size, Name: path, Type: f.Type, Signed: f.Signed,
		Bits: f.BitSize, BitOffset: f.BitOffset, Text: f.Count > 0 && f.Size == f.Count,
	}
}
