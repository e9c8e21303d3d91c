package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/expr"
	"kernellab/harness/kernel"
)

// differs returns the names of the members in which two structures of one type differ,
// in the order of the structure. It compares members and not the bytes between them.
func (s *scope) differs(ctx context.Context, a, b any) (any, error) {
	var of [2]object
	for i, v := range []any{a, b} {
		o, ok := v.(object)
		switch {
		case v == expr.Any:
			return expr.Text, nil
		case !ok || o.strct == "":
			return nil, errors.New("differs takes two structures, or pointers to them")
		case o.v == 0 && !s.dry:
			return nil, errors.New("a pointer is NULL")
		case o.strct == userRegs:
			o.strct = "pt_regs"
		}
		of[i] = o
	}
	strct := of[0].strct
	if strct != of[1].strct {
		return nil, fmt.Errorf("struct %s and struct %s have not the same members", strct, of[1].strct)
	}
	members, err := s.im.Members(strct)
	if err != nil {
		return nil, err
	}
	size, err := s.im.SizeOf(strct)
	if err != nil {
		return nil, err
	}
	if s.dry {
		return expr.Text, nil
	}
	s.touch(Extent{Name: "differs"})
	var memory [2][]byte
	for i, o := range of {
		memory[i] = make([]byte, size)
		if err := s.reader.Read(ctx, o.v, memory[i]); err != nil {
			return nil, err
		}
	}
	var names []string
	for _, m := range members {
		if !slices.Equal(extent(memory[0], m), extent(memory[1], m)) {
			names = append(names, m.Name)
		}
	}
	return strings.Join(names, " "), nil
}

// extent returns the bytes of a member; of a bit field, with the other bits zero.
func extent(memory []byte, f kernel.Field) []byte {
	if f.BitSize == 0 {
		return memory[f.Offset : f.Offset+f.Size]
	}
	bits := bytes.Clone(memory[f.Offset : f.Offset+f.Size])
	for i := range bits {
		for j := range 8 {
			if n := 8*i + j; n < f.BitOffset || n >= f.BitOffset+f.BitSize {
				bits[i] &^= 1 << j
			}
		}
	}
	return bits
}
