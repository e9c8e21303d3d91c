package kernel

import (
	"bytes"
	"slices"
	"strings"
	"unsafe"
)

// scripts/kallsyms.c writes the kallsyms tables. Names are sequences of tokens.
// token_table has the 256 tokens as strings and token_index their offsets. The tables
// are adjacent, in one of two orders:
//
//	to 6.3:   offsets, relative_base, num_syms, names, markers,
//	          [seqs_of_names], token_table, token_index
//	from 6.4: num_syms, names, markers, token_table, token_index,
//	          offsets, [relative_base], seqs_of_names
//
// No header points at them, so this package searches for them. In every kernel the
// tokens of the digits are adjacent and single characters. All 256 entries of the
// index must agree with token_table, and the markers with every 256th name. Of the
// layouts of the addresses only one makes known symbols agree with the image.
type kallsyms struct {
	flat   []byte
	tokens [256]string

	tableStart, indexEnd int // of token_table and token_index

	countPos, count    int // num_syms
	namesPos, namesEnd int
	wideLengths        bool // lengths of 128 and more take two bytes
}

const (
	indexSize  = 256 * 2
	minSymbols = 64      // a smaller table is a coincidence
	maxSymbols = 4 << 20 // twenty times what a stock kernel has
	maxNameLen = 0x3fff  // the limit of a two-byte length
)

func align8(n int) int { return (n + 7) &^ 7 }

// findTokens looks for token_table and token_index, from position from on.
func (k *kallsyms) findTokens(from int) (next int, ok bool) {
	digits := []byte("0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00")
	for from < len(k.flat) {
		i := bytes.Index(k.flat[from:], digits)
		if i < 0 {
			return 0, false
		}
		pos := from + i
		from = pos + 1
		if k.readTokens(pos) {
			return from, true
		}
	}
	return 0, false
}

// readTokens reads both tables, given the position of the token of '0'.
func (k *kallsyms) readTokens(zero int) bool {
	const maxTable = 256 * 512
	var rel [256]int
	pos := zero
	for c := int('0'); c < 256; c++ {
		rel[c] = pos
		n := bytes.IndexByte(k.flat[pos:min(pos+512, len(k.flat))], 0)
		if n < 0 {
			return false
		}
		k.tokens[c] = string(k.flat[pos : pos+n])
		pos += n + 1
	}
	// The index is aligned to 8 in memory, but not necessarily in the file.
	for idx := pos; idx < pos+8; idx++ {
		if idx+indexSize > len(k.flat) {
			return false
		}
		at := func(c int) int { return int(le.Uint16(k.flat[idx+2*c:])) }
		start := zero - at('0')
		if at(0) != 0 || start < 0 || zero-start > maxTable {
			continue
		}
		if k.checkIndex(start, zero, rel[:], at) {
			k.tableStart, k.indexEnd = start, idx+indexSize
			return true
		}
	}
	return false
}

func (k *kallsyms) checkIndex(start, zero int, rel []int, at func(int) int) bool {
	pos := start
	for c := range int('0') {
		n := bytes.IndexByte(k.flat[pos:zero], 0)
		if n < 0 || at(c) != pos-start {
			return false
		}
		k.tokens[c] = string(k.flat[pos : pos+n])
		pos += n + 1
	}
	for c := int('0'); c < 256; c++ {
		if at(c) != rel[c]-start {
			return false
		}
	}
	return pos == zero
}

// findNames searches backwards from the token table for the markers, and from there
// for the names and their count.
func (k *kallsyms) findNames() bool {
	// seqs_of_names takes at most four bytes for each symbol.
	lowest := max(0, k.tableStart-maxSymbols*5)
	for _, width := range [...]int{4, 8} { // 8 before 4.20
		for pos := k.tableStart &^ 3; pos >= lowest; pos -= 4 {
			if n := k.markersAt(pos, width); n > 0 && k.namesBefore(pos, width, n) {
				return true
			}
		}
	}
	return false
}

func (k *kallsyms) marker(pos, width, i int) int {
	p := pos + i*width
	if p+width > k.tableStart {
		return -1
	}
	if width == 8 {
		if v := le.Uint64(k.flat[p:]); v <= maxImage {
			return int(v)
		}
		return -1
	}
	return int(le.Uint32(k.flat[p:]))
}

// markersAt returns the number of increasing markers at pos, or 0 if pos cannot be
// the start of the markers. It may count a few words after the markers.
func (k *kallsyms) markersAt(pos, width int) int {
	if k.marker(pos, width, 0) != 0 {
		return 0
	}
	n := 1
	for prev := 0; ; n++ {
		v := k.marker(pos, width, n)
		// 256 names have at least one token each, and at most maxNameLen.
		if v < prev+2*256 || v > prev+256*(maxNameLen+2) {
			break
		}
		prev = v
	}
	if k.marker(pos, width, 1) > pos || (n == 1 && k.tableStart-pos > 64) {
		return 0
	}
	return n
}

// namesBefore searches for num_syms and names before the markers at pos.
func (k *kallsyms) namesBefore(pos, width, markers int) bool {
	// The last few markers may belong to the next table, so try fewer, too.
	for n := markers; n > 0 && n > markers-4; n-- {
		last := k.marker(pos, width, n-1)
		high := pos - last - 2
		low := max(8, high-256*512)
		for start := high; start >= low; start-- {
			for _, gap := range [...]int{8, 4} {
				count := int(le.Uint32(k.flat[start-gap:]))
				if (count+255)/256 != n || count < minSymbols || count > maxSymbols {
					continue
				}
				if k.walkNames(start, count, pos, width) {
					k.countPos, k.count, k.namesPos = start-gap, count, start
					return true
				}
			}
		}
	}
	return false
}

// walkNames checks count names from start against the markers. It tries both
// meanings of a length byte of 128 or more.
func (k *kallsyms) walkNames(start, count, markers, width int) bool {
	for _, wide := range [...]bool{true, false} {
		pos := start
		ok := true
		for i := range count {
			if i&255 == 0 && k.marker(markers, width, i>>8) != pos-start {
				ok = false
				break
			}
			n, used := k.nameLen(pos, wide)
			pos += used + n
			if n == 0 || pos > markers {
				ok = false
				break
			}
		}
		if ok && markers-pos < 8 {
			k.wideLengths, k.namesEnd = wide, pos
			return true
		}
	}
	return false
}

func (k *kallsyms) nameLen(pos int, wide bool) (n, used int) {
	if pos+1 >= len(k.flat) {
		return 0, 1
	}
	n = int(k.flat[pos])
	if wide && n&0x80 != 0 {
		return n&0x7f | int(k.flat[pos+1])<<7, 2
	}
	return n, 1
}

// maxExpanded limits the size of all decoded names together.
const maxExpanded = 256 << 20

// expand decodes all names. The first character of each is the symbol's type.
func (k *kallsyms) expand() (*Symbols, error) {
	s := &Symbols{ends: make([]uint32, k.count), types: make([]byte, k.count)}
	// Tokens average 2 to 3 characters.
	arena := make([]byte, 0, (k.namesEnd-k.namesPos)*3)
	pos := k.namesPos
	for i := range k.count {
		n, used := k.nameLen(pos, k.wideLengths)
		pos += used
		typed := false
		for _, c := range k.flat[pos : pos+n] {
			t := k.tokens[c]
			if !typed && t != "" {
				s.types[i], t, typed = t[0], t[1:], true
			}
			arena = append(arena, t...)
		}
		if len(arena) > maxExpanded {
			return nil, notKernel("kallsyms", "the names take more than %d bytes", maxExpanded)
		}
		s.ends[i] = uint32(len(arena))
		pos += n
	}
	// The arena is never written again, so the string may share it.
	s.names = unsafe.String(unsafe.SliceData(arena), len(arena))
	return s, nil
}

// recoverSymbols finds the kallsyms tables in the image and decodes them.
func (im *Image) recoverSymbols() (*Symbols, error) {
	k := &kallsyms{flat: im.flat}
	var found bool
	for from := 0; ; {
		next, ok := k.findTokens(from)
		if !ok {
			break
		}
		from, found = next, true
		if !k.findNames() {
			continue
		}
		s, err := k.expand()
		if err != nil {
			return nil, err
		}
		if im.resolveAddresses(k, s) {
			return s, nil
		}
	}
	if !found {
		return nil, notKernel("kallsyms", "the image has no symbol tables; the kernel must be built with CONFIG_KALLSYMS=y and the file must be complete")
	}
	return nil, notKernel("kallsyms", "the image has a token table, but with no known layout of the other tables its symbols agree with the image (%s); add this kernel's layout to harness/kernel/kallsyms.go", im.Release)
}

// layout is one way to read the addresses.
type layout struct {
	name string
	addr func(i int) uint64
}

// layouts returns every layout of the addresses that fits into the file.
func (k *kallsyms) layouts(im *Image) []layout {
	var ls []layout
	size := align8(4 * k.count)
	add := func(where string, offsets, base int) {
		if offsets < 0 || offsets+4*k.count > len(k.flat) {
			return
		}
		off := func(i int) int32 { return int32(le.Uint32(k.flat[offsets+4*i:])) }
		if base >= 0 && base+8 <= len(k.flat) {
			b := le.Uint64(k.flat[base:])
			ls = append(ls,
				layout{where + ", absolute per-CPU", func(i int) uint64 {
					if o := off(i); o >= 0 {
						return uint64(o)
					}
					return b - 1 - uint64(int64(off(i)))
				}},
				layout{where + ", relative to a base", func(i int) uint64 { return b + uint64(uint32(off(i))) }})
			return
		}
		if start, ok := im.vaddr(uint64(offsets)); ok {
			ls = append(ls, layout{where + ", relative to place", func(i int) uint64 {
				return start + uint64(4*i) + uint64(int64(off(i)))
			}})
		}
	}
	// The link address is aligned to 8, the offset in the file may not be.
	for d := range 8 {
		after := k.indexEnd + d
		add("offsets after tokens", after, after+size)
		add("offsets after tokens", after, -1)
	}
	base := k.countPos - 8
	add("offsets before names", base-size, base)
	add("offsets before names", base-4*k.count, base)
	if start := k.countPos - 8*k.count; start >= 0 {
		ls = append(ls, layout{"absolute addresses", func(i int) uint64 { return le.Uint64(k.flat[start+8*i:]) }})
	}
	return ls
}

// resolveAddresses sets s.addrs with the only layout that agrees with the image.
func (im *Image) resolveAddresses(k *kallsyms, s *Symbols) bool {
	anchors := s.anchors("linux_banner", "_text", "_stext", "_etext", "_end",
		"__start_BTF", "__stop_BTF", "__start_notes", "__stop_notes",
		"__start_orc_unwind", "__stop_orc_unwind", "__start_orc_unwind_ip", "__stop_orc_unwind_ip")
	for _, l := range k.layouts(im) {
		if !im.agrees(l, anchors, s.Len()) {
			continue
		}
		s.addrs = make([]uint64, s.Len())
		for i := range s.addrs {
			s.addrs[i] = l.addr(i)
		}
		s.layout = l.name
		im.marks = make(map[string]uint64, len(anchors))
		for name, i := range anchors {
			im.marks[name] = s.addrs[i]
		}
		return true
	}
	return false
}

// anchors finds the first symbol of each name, without the index of all names.
func (s *Symbols) anchors(names ...string) map[string]int {
	found := make(map[string]int, len(names))
	for i := range s.Len() {
		name := s.name(i)
		if name == "" || name[0] != '_' && name[0] != 'l' {
			continue
		}
		if slices.Contains(names, name) {
			if _, dup := found[name]; !dup {
				found[name] = i
			}
		}
	}
	return found
}

// agrees reports whether known symbols agree with the image under a layout.
func (im *Image) agrees(l layout, anchors map[string]int, n int) bool {
	at := func(name string) (uint64, bool) {
		i, ok := anchors[name]
		if !ok {
			return 0, false
		}
		return l.addr(i), true
	}
	if !im.hasMarks(at) {
		return false
	}
	// The table is sorted, except for per-CPU symbols, which are at the position of
	// their template.
	outOfOrder := 0
	for i, prev := 0, uint64(0); i < n; i++ {
		a := l.addr(i)
		if a < prev {
			outOfOrder++
		}
		prev = a
	}
	return outOfOrder <= 8
}

// hasMarks reports whether the image agrees with the addresses of linker marks.
func (im *Image) hasMarks(at func(name string) (uint64, bool)) bool {
	// Without KALLSYMS_ALL there are only text symbols, and no banner.
	if banner, ok := at("linux_banner"); ok {
		want := bannerPrefix + im.Release + " ("
		if b, ok := im.at(banner, len(want)); !ok || string(b) != want {
			return false
		}
	}
	start, ok := at("_text")
	if !ok {
		if start, ok = at("_stext"); !ok {
			return false
		}
	}
	if _, ok := im.at(start, 1); !ok {
		return false
	}
	if end, ok := at("_etext"); !ok || end <= start {
		return false
	}
	if types, ok := at("__start_BTF"); ok {
		if b, ok := im.at(types, 4); !ok || !strings.HasPrefix(string(b), btfMagic) {
			return false
		}
	}
	return true
}

// btfMagic is BTF_MAGIC, little-endian, and the version.
const btfMagic = "\x9f\xeb\x01"
