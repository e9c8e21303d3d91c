package debuginfo

import (
	"bytes"
	"fmt"
)

// Forms of attributes: DWARF version 5, section 7.5.6, and GNU extensions.
const (
	formAddr          = 0x01
	formBlock2        = 0x03
	formBlock4        = 0x04
	formData2         = 0x05
	formData4         = 0x06
	formData8         = 0x07
	formString        = 0x08
	formBlock         = 0x09
	formBlock1        = 0x0a
	formData1         = 0x0b
	formFlag          = 0x0c
	formSdata         = 0x0d
	formStrp          = 0x0e
	formUdata         = 0x0f
	formRefAddr       = 0x10
	formRef1          = 0x11
	formRef2          = 0x12
	formRef4          = 0x13
	formRef8          = 0x14
	formRefUdata      = 0x15
	formIndirect      = 0x16
	formSecOffset     = 0x17
	formExprloc       = 0x18
	formFlagPresent   = 0x19
	formStrx          = 0x1a
	formAddrx         = 0x1b
	formRefSup4       = 0x1c
	formStrpSup       = 0x1d
	formData16        = 0x1e
	formLineStrp      = 0x1f
	formRefSig8       = 0x20
	formImplicitConst = 0x21
	formLoclistx      = 0x22
	formRnglistx      = 0x23
	formRefSup8       = 0x24
	formStrx1         = 0x25
	formStrx2         = 0x26
	formStrx3         = 0x27
	formStrx4         = 0x28
	formAddrx1        = 0x29
	formAddrx2        = 0x2a
	formAddrx3        = 0x2b
	formAddrx4        = 0x2c
	formGNURefAlt     = 0x1f20
	formGNUStrpAlt    = 0x1f21
)

// cursor reads little-endian data. Reading after the end returns zeros and sets spent.
type cursor struct {
	b     []byte
	pos   int
	spent bool
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)-c.pos) {
		c.pos, c.spent = len(c.b), true
		return nil
	}
	b := c.b[c.pos : c.pos+int(n)]
	c.pos += int(n)
	return b
}

func (c *cursor) uint(n int) uint64 {
	var v uint64
	for i, b := range c.take(uint64(n)) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (c *cursor) uleb() uint64 {
	var v uint64
	for shift := 0; c.pos < len(c.b); shift += 7 {
		b := c.b[c.pos]
		c.pos++
		if shift < 64 {
			v |= uint64(b&0x7f) << shift
		}
		if b < 0x80 {
			return v
		}
	}
	c.spent = true
	return 0
}

func (c *cursor) text() []byte {
	n := bytes.IndexByte(c.b[c.pos:], 0)
	if n < 0 {
		c.pos, c.spent = len(c.b), true
		return nil
	}
	s := c.b[c.pos : c.pos+n]
	c.pos += n + 1
	return s
}

// length reads an initial length and returns the size of offsets in bytes.
func (c *cursor) length() (n uint64, width int) {
	if n = c.uint(4); n == 0xffffffff {
		return c.uint(8), 8
	}
	return n, 4
}

// width returns the number of bytes of a form, -1 if it varies.
func width(form uint32, h header) int {
	switch form {
	case formFlagPresent, formImplicitConst:
		return 0
	case formData1, formFlag, formRef1, formStrx1, formAddrx1:
		return 1
	case formData2, formRef2, formStrx2, formAddrx2:
		return 2
	case formStrx3, formAddrx3:
		return 3
	case formData4, formRef4, formRefSup4, formStrx4, formAddrx4:
		return 4
	case formAddr, formData8, formRef8, formRefSig8, formRefSup8:
		return 8
	case formData16:
		return 16
	case formStrp, formSecOffset, formLineStrp, formStrpSup, formGNURefAlt, formGNUStrpAlt, formRefAddr:
		return h.width
	}
	return -1
}

// skip skips an attribute's value.
func (c *cursor) skip(form uint32, h header) error {
	if n := width(form, h); n >= 0 {
		c.take(uint64(n))
		return nil
	}
	switch form {
	case formBlock1:
		c.take(c.uint(1))
	case formBlock2:
		c.take(c.uint(2))
	case formBlock4:
		c.take(c.uint(4))
	case formBlock, formExprloc:
		c.take(c.uleb())
	case formString:
		c.text()
	case formSdata, formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx, 0x1f01, 0x1f02:
		c.uleb()
	case formIndirect:
		real := uint32(c.uleb())
		if real == formIndirect {
			return damaged("an indirect form is itself indirect")
		}
		return c.skip(real, h)
	default:
		return fmt.Errorf("unknown form of attributes %#x", form)
	}
	return nil
}
