package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// xz filter identifiers: the .xz file format specification, section 5.3.
const (
	xzFilterX86   = 0x04
	xzFilterLZMA2 = 0x21
)

// newXZReader reads one xz stream. x86 kernels are packed with the x86 branch filter
// (scripts/xz_wrap.sh), which the library does not support, so for them newXZReader
// uses the library's LZMA2 reader only. If filtered is set, the caller must pass the
// whole output to unfilterX86.
func newXZReader(p []byte) (r io.Reader, filtered bool, err error) {
	const streamHeader = 12
	if len(p) < streamHeader+8 {
		return nil, false, io.ErrUnexpectedEOF
	}
	block := p[streamHeader:]
	size := (int(block[0]) + 1) * 4
	if block[0] == 0 || len(block) < size {
		return nil, false, io.ErrUnexpectedEOF
	}
	filters, err := xzFilters(block[:size])
	if err != nil {
		return nil, false, err
	}
	switch {
	case len(filters) == 1 && filters[0].id == xzFilterLZMA2:
		r, err = xz.NewReader(bytes.NewReader(p))
		return r, false, err
	case len(filters) == 2 && filters[0].id == xzFilterX86 && filters[1].id == xzFilterLZMA2:
	default:
		ids := make([]uint64, len(filters))
		for i, f := range filters {
			ids[i] = f.id
		}
		return nil, false, fmt.Errorf("xz filters %#x are not supported (the x86 filter and LZMA2 are); unpack it with xz and give the vmlinux", ids)
	}
	if len(filters[0].props) != 0 {
		return nil, false, errors.New("xz x86 filter with a start offset is not supported")
	}
	dict, err := xzDictSize(filters[1].props)
	if err != nil {
		return nil, false, err
	}
	r, err = lzma.Reader2Config{DictCap: dict}.NewReader2(bytes.NewReader(block[size:]))
	return r, true, err
}

type xzFilter struct {
	id    uint64
	props []byte
}

func xzFilters(header []byte) ([]xzFilter, error) {
	body := header[:len(header)-4]
	if crc32.ChecksumIEEE(body) != le.Uint32(header[len(header)-4:]) {
		return nil, errors.New("xz block header has a wrong checksum")
	}
	flags := body[1]
	r := bytes.NewReader(body[2:])
	for _, bit := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&bit != 0 {
			if _, err := xzVarint(r); err != nil {
				return nil, err
			}
		}
	}
	filters := make([]xzFilter, flags&3+1)
	for i := range filters {
		id, err := xzVarint(r)
		if err != nil {
			return nil, err
		}
		n, err := xzVarint(r)
		if err != nil || n > uint64(r.Len()) {
			return nil, io.ErrUnexpectedEOF
		}
		filters[i] = xzFilter{id, make([]byte, n)}
		if _, err := io.ReadFull(r, filters[i].props); err != nil {
			return nil, err
		}
	}
	return filters, nil
}

func xzVarint(r io.ByteReader) (uint64, error) {
	var v uint64
	for shift := 0; shift < 63; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v, nil
		}
	}
	return 0, errors.New("xz number has more than 63 bits")
}

func xzDictSize(props []byte) (int, error) {
	if len(props) != 1 || props[0] > 40 {
		return 0, errors.New("xz LZMA2 properties are not one byte of at most 40")
	}
	n := uint64(2|props[0]&1) << (props[0]/2 + 11)
	// The dictionary need not be larger than the output.
	return int(min(n, maxImage)), nil
}

// x86Allowed and x86Bit are indexed by the mask of opcode-like bytes among the
// three before an opcode: whether that history permits a conversion, and which
// byte of the target then decides.
var (
	x86Allowed = [8]bool{true, true, true, false, true, false, false, false}
	x86Bit     = [8]int{0, 1, 2, 2, 3, 3, 3, 3}
)

// unfilterX86 reverses xz's x86 branch filter: it converts the absolute targets of
// CALL and JMP in b to relative ones (0BSD reference: lib/xz/xz_dec_bcj.c in the
// kernel).
func unfilterX86(b []byte) {
	signLike := func(c byte) bool { return c == 0 || c == 0xff }
	last, mask := -1, 0
	for i := 0; i+4 < len(b); i++ {
		if b[i]&0xfe != 0xe8 {
			continue
		}
		if gap := i - last; gap > 3 {
			mask = 0
		} else {
			mask = mask << (gap - 1) & 7
		}
		last = i
		if mask != 0 && (!x86Allowed[mask] || signLike(b[i+4-x86Bit[mask]])) || !signLike(b[i+4]) {
			mask = mask<<1 | 1
			continue
		}
		b32 := b[i+1 : i+5]
		le.PutUint32(b32, x86Target(le.Uint32(b32), uint32(i)+5, mask))
		i += 4
	}
}

func x86Target(src, pc uint32, mask int) uint32 {
	dst := src - pc
	for mask != 0 {
		shift := x86Bit[mask] * 8
		if c := byte(dst >> (24 - shift)); c != 0 && c != 0xff {
			break
		}
		dst = (dst ^ (1<<(32-shift) - 1)) - pc
	}
	// 25 bits, sign extended.
	return uint32(int32(dst<<7) >> 7)
}
