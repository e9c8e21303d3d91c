package kernel

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"slices"
	"syscall"
	"unsafe"

	"kernellab/internal/atomicfile"
)

// The index of an image holds the results of Image.search in the form in which they
// are used, so that it can be mapped without decoding. It consists of the magic, a
// checksum of all that follows, the length of the head, the head, and the tables of
// Symbols, with numbers in the host's byte order.
const (
	indexMagic  = "lab.kernel-index/1\n\x00\x00\x00\x00\x00"
	indexSuffix = ".index"
	indexTables = len(indexMagic) + 8 // offset of the head
)

// indexHead is the head of an index.
type indexHead struct {
	Order    uint32 // hostOrder of the host that wrote it
	Image    int    // size of the unpacked image in bytes
	Release  string
	Banner   string
	BuildID  string
	Layout   string
	Marks    map[string]uint64
	Symbols  int
	Starts   int
	NameSize int
}

// hostOrder returns a number that identifies the host's byte order.
func hostOrder() uint32 { return binary.NativeEndian.Uint32([]byte{1, 2, 3, 4}) }

var errIndex = errors.New("the index is damaged or belongs to another image")

// writeIndex writes the index of an image. It ignores errors: without an index the
// image is searched again.
func writeIndex(path string, im *Image) {
	s := im.Symbols
	s.nameOnce.Do(s.indexNames)
	s.addrOnce.Do(s.indexAddrs)
	starts := s.functionStarts()
	head, err := json.Marshal(indexHead{
		Order: hostOrder(), Image: len(im.flat), Release: im.Release, Banner: im.Banner, BuildID: im.BuildID,
		Layout: s.layout, Marks: im.marks, Symbols: s.Len(), Starts: len(starts), NameSize: len(s.names),
	})
	if err != nil {
		return
	}
	head = append(head, bytes.Repeat([]byte(" "), align8(len(head))-len(head))...)
	b := append([]byte(indexMagic), make([]byte, 8)...)
	b = append(b, head...)
	for _, table := range [][]byte{bytesIn(s.addrs), bytesIn(starts), bytesIn(s.ends), bytesIn(s.byName), bytesIn(s.sorted), s.types} {
		b = append(b, table...)
	}
	b = append(b, s.names...)
	le.PutUint32(b[len(indexMagic)+4:], uint32(len(head)))
	le.PutUint32(b[len(indexMagic):], indexSum(b))
	_ = atomicfile.WriteBytes(path, 0o600, b)
}

// indexSum returns the checksum of an index, with the polynomial that processors
// support.
func indexSum(b []byte) uint32 {
	return crc32.Checksum(b[len(indexMagic)+4:], crc32.MakeTable(crc32.Castagnoli))
}

// loadIndex completes an image from its index. On error it does not change im.
func loadIndex(path string, im *Image) error {
	b, err := mapFile(path)
	if err != nil {
		return err
	}
	if err := im.useIndex(b); err != nil {
		return errors.Join(err, syscall.Munmap(b))
	}
	return nil
}

func (im *Image) useIndex(b []byte) error {
	if len(b) < indexTables || string(b[:len(indexMagic)]) != indexMagic || le.Uint32(b[len(indexMagic):]) != indexSum(b) {
		return errIndex
	}
	size := uint64(le.Uint32(b[len(indexMagic)+4:]))
	if b = b[indexTables:]; size > uint64(len(b)) {
		return errIndex
	}
	var h indexHead
	if err := json.Unmarshal(b[:size], &h); err != nil {
		return err
	}
	if b = b[size:]; size%8 != 0 || h.Order != hostOrder() || h.Image != len(im.flat) ||
		h.Symbols < minSymbols || h.Symbols > maxSymbols || h.Starts < 0 || h.Starts > h.Symbols || h.NameSize < 0 ||
		h.NameSize > maxExpanded || len(b) != h.Symbols*(8+4+4+4+1)+h.Starts*8+h.NameSize {
		return errIndex
	}
	s := &Symbols{layout: h.Layout}
	b = table(b, &s.addrs, h.Symbols)
	b = table(b, &s.starts, h.Starts)
	b = table(b, &s.ends, h.Symbols)
	b = table(b, &s.byName, h.Symbols)
	b = table(b, &s.sorted, h.Symbols)
	b = table(b, &s.types, h.Symbols)
	s.names = unsafe.String(unsafe.SliceData(b), len(b))
	if !slices.IsSorted(s.ends) || int(s.ends[h.Symbols-1]) != len(s.names) || !s.holds(s.byName) || !s.holds(s.sorted) {
		return errIndex
	}
	found := &Image{flat: im.flat, segs: im.segs, Release: h.Release}
	if !found.hasMarks(func(name string) (uint64, bool) { at, ok := h.Marks[name]; return at, ok }) {
		return errIndex
	}
	for _, done := range []interface{ Do(func()) }{&s.nameOnce, &s.addrOnce, &s.startOnce} {
		done.Do(func() {})
	}
	im.Release, im.Banner, im.BuildID, im.marks, im.Symbols = h.Release, h.Banner, h.BuildID, h.Marks, s
	return nil
}

// holds reports whether all indices are valid.
func (s *Symbols) holds(indices []int32) bool {
	return !slices.ContainsFunc(indices, func(i int32) bool { return uint(i) >= uint(s.Len()) })
}

// bytesIn returns the memory of the elements of s.
func bytesIn[T uint64 | uint32 | int32](s []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(one)))
}

// table sets to to the first n elements of b and returns the rest. The tables are
// ordered by alignment.
func table[T uint64 | uint32 | int32 | byte](b []byte, to *[]T, n int) []byte {
	var one T
	*to = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
	return b[n*int(unsafe.Sizeof(one)):]
}
