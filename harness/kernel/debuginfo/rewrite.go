package debuginfo

import (
	"debug/dwarf"
	"errors"
	"fmt"

	"github.com/go-delve/delve/pkg/dwarf/godwarf"
	"github.com/go-delve/delve/pkg/dwarf/op"
)

// Operations that package op lacks or names differently: DWARF version 5, section
// 7.7.1, and GNU extensions.
const (
	opImplicitPointer    = 0xa0
	opAddrx              = 0xa1
	opConstx             = 0xa2
	opEntryValue         = 0xa3
	opConstType          = 0xa4
	opRegvalType         = 0xa5
	opDerefType          = 0xa6
	opConvert            = 0xa8
	opReinterpret        = 0xa9
	opGNUImplicitPointer = 0xf2
	opGNUEntryValue      = 0xf3
	opGNUConstType       = 0xf4
	opGNURegvalType      = 0xf5
	opGNUDerefType       = 0xf6
	opGNUConvert         = 0xf7
)

// rewrite replaces operations that package op does not evaluate: values at a
// function's entry become constants, and conversions become shifts. It checks the
// lengths of all operations, and reports whether they need the frame's address.
func (ev evaluator) rewrite(expr []byte) (out []byte, usesCFA bool, err error) {
	c := cursor{b: expr}
	changed, jumps := false, false
	for c.pos < len(c.b) && !c.spent {
		start := c.pos
		code := byte(c.uint(1))
		repl, err := ev.operation(code, &c)
		switch {
		case err != nil:
			return nil, false, err
		case repl != nil:
			out, changed = append(out, repl...), true
		default:
			out = append(out, expr[start:c.pos]...)
		}
		jumps = jumps || code == byte(op.DW_OP_skip) || code == byte(op.DW_OP_bra)
		usesCFA = usesCFA || code == byte(op.DW_OP_fbreg) || code == byte(op.DW_OP_call_frame_cfa)
	}
	if c.spent {
		return nil, false, damaged("a location expression is truncated")
	}
	if changed && jumps {
		return nil, false, errors.New("its location has jumps over typed operations, which are not supported")
	}
	return out, usesCFA, nil
}

// operation reads one operation and its operands, and returns its replacement, nil to
// keep it.
func (ev evaluator) operation(code byte, c *cursor) ([]byte, error) {
	switch {
	case code >= byte(op.DW_OP_lit0) && code <= byte(op.DW_OP_reg31):
		return nil, nil
	case code >= byte(op.DW_OP_breg0) && code <= byte(op.DW_OP_breg31):
		c.uleb()
		return nil, nil
	}
	switch code {
	case byte(op.DW_OP_addr), byte(op.DW_OP_const8u), byte(op.DW_OP_const8s):
		c.take(8)
	case byte(op.DW_OP_const1u), byte(op.DW_OP_const1s), byte(op.DW_OP_pick), byte(op.DW_OP_deref_size), byte(op.DW_OP_xderef_size):
		c.take(1)
	case byte(op.DW_OP_const2u), byte(op.DW_OP_const2s), byte(op.DW_OP_skip), byte(op.DW_OP_bra):
		c.take(2)
	case byte(op.DW_OP_const4u), byte(op.DW_OP_const4s):
		c.take(4)
	case byte(op.DW_OP_constu), byte(op.DW_OP_consts), byte(op.DW_OP_plus_uconst), byte(op.DW_OP_regx), byte(op.DW_OP_fbreg), byte(op.DW_OP_piece):
		c.uleb()
	case byte(op.DW_OP_bregx):
		c.uleb()
		c.uleb()
	case byte(op.DW_OP_implicit_value):
		c.take(c.uleb())
	case opAddrx, opConstx:
		return ev.indexed(c)
	case opEntryValue, opGNUEntryValue:
		v, err := ev.entryValue(c.take(c.uleb()))
		return constant(v), err
	case opConstType, opGNUConstType:
		c.uleb()
		b := c.take(c.uint(1))
		if len(b) > 8 {
			return nil, errors.New("its location has a constant of more than eight bytes")
		}
		word := make([]byte, 8)
		copy(word, b)
		return constant(le.Uint64(word)), nil
	case opRegvalType, opGNURegvalType:
		reg := c.uleb()
		conv, err := ev.convert(c.uleb())
		return append(append(appendUleb([]byte{byte(op.DW_OP_bregx)}, reg), 0), conv...), err
	case opDerefType, opGNUDerefType:
		size := byte(c.uint(1))
		conv, err := ev.convert(c.uleb())
		return append([]byte{byte(op.DW_OP_deref_size), size}, conv...), err
	case opConvert, opGNUConvert, opReinterpret:
		conv, err := ev.convert(c.uleb())
		return append([]byte{byte(op.DW_OP_nop)}, conv...), err
	case opImplicitPointer, opGNUImplicitPointer:
		return nil, errors.New("the pointer was optimized out, and its target is not in one place")
	}
	return nil, nil // an operation without operands, or one that package op refuses
}

func constant(v uint64) []byte {
	return le.AppendUint64([]byte{byte(op.DW_OP_const8u)}, v)
}

func appendUleb(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// convert returns operations that convert the top of the stack to the base type at an
// offset in the unit; 0 is the type of addresses.
func (ev evaluator) convert(off uint64) ([]byte, error) {
	if off == 0 {
		return nil, nil
	}
	t := ev.unit.ctype(ev.unit.header+dwarf.Offset(off), "", 0)
	if !t.scalar() || t.size == 0 {
		return nil, fmt.Errorf("its location converts to %s, which is not supported", t.name)
	}
	if t.size == 8 {
		return nil, nil
	}
	shift := byte(64 - 8*t.size)
	back := byte(op.DW_OP_shr)
	if t.signed() {
		back = byte(op.DW_OP_shra)
	}
	return []byte{byte(op.DW_OP_const1u), shift, byte(op.DW_OP_shl), byte(op.DW_OP_const1u), shift, back}, nil
}

// indexed reads an address from .debug_addr.
func (ev evaluator) indexed(c *cursor) ([]byte, error) {
	data := ev.file.sections.by[".debug_addr"]
	if len(data) == 0 {
		return nil, damaged("an address is in the section .debug_addr, which is missing")
	}
	v, err := godwarf.ParseAddr(data).GetSubsection(ev.unit.addrBase).Get(c.uleb())
	return constant(v), err
}
