package debuginfo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"

	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
)

// indexMagic begins an index file and names its version.
const indexMagic = "lab.debug-index/1\n"

// index maps addresses and functions to units.
type index struct {
	size    uint64 // of .debug_info, as a check
	crossed bool   // entries refer to other units
	units   []unitRange
	spans   []span // by address

	// names has the names of functions, sorted. lists has, for each, the units with
	// code of the function, as differences. The ends are offsets into them.
	named              bool // the names have been read
	names, lists       []byte
	nameEnds, listEnds []uint32
}

// unitRange is the position of a unit in .debug_info.
type unitRange struct{ Off, End uint64 }

// span is a range of code of one unit.
type span struct {
	Low, High uint64
	Unit      uint32
}

// loadIndex reads the index of this build from its file. If there is none it makes an
// index of the addresses; makeNames adds the names.
func (f *File) loadIndex() (*index, error) {
	size := uint64(len(f.sections.by[".debug_info"]))
	if path := f.indexPath(); path != "" {
		if data, err := regular.ReadFile(path, maxSection); err == nil {
			if x, err := decodeIndex(data); err == nil && x.size == size && x.fits() {
				return x, nil
			}
		}
	}
	units, err := headers(f.sections.by[".debug_info"])
	if err != nil {
		return nil, &FormatError{Path: f.Path, Reason: "list its units", Err: err}
	}
	x := &index{size: size}
	for _, h := range units {
		x.units = append(x.units, unitRange{h.off, h.end})
	}
	x.crossed = crossed(f.sections.by[".debug_abbrev"], units)
	if err := f.addresses(x); err != nil {
		return nil, &FormatError{Path: f.Path, Reason: "read the addresses of its units", Err: err}
	}
	return x, nil
}

// indexPath returns the path of the index file, "" for none.
func (f *File) indexPath() string {
	if f.dir == "" || f.BuildID == "" {
		return ""
	}
	return filepath.Join(f.dir, f.BuildID+".index")
}

// fits reports whether the offsets and indices in x are valid.
func (x *index) fits() bool {
	for _, u := range x.units {
		if u.Off >= u.End || u.End > x.size {
			return false
		}
	}
	return !slices.ContainsFunc(x.spans, func(s span) bool { return int(s.Unit) >= len(x.units) })
}

// makeNames scans every unit for the names of functions, on all processors, and
// writes the index file. It ignores errors of writing.
func (f *File) makeNames() error {
	by, x := f.sections.by, f.index
	if x.named {
		return nil
	}
	info := by[".debug_info"]
	units, err := headers(info)
	if err != nil {
		return err
	}
	workers := runtime.GOMAXPROCS(0)
	found := make([]map[string][]uint32, workers)
	errs := make([]error, workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		found[w] = map[string][]uint32{}
		s := scanner{info: info, abbrevs: by[".debug_abbrev"], str: by[".debug_str"], lineStr: by[".debug_line_str"], strOffsets: by[".debug_str_offsets"]}
		wg.Go(func() {
			defer guard(f.Path, &errs[w])
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(units) {
					return
				}
				errs[w] = s.functions(units[i], func(name []byte) {
					list := found[w][string(name)]
					if n := len(list); n == 0 || list[n-1] != uint32(i) {
						found[w][string(name)] = append(list, uint32(i))
					}
				})
				release(info[units[i].off:units[i].end])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, more := range found[1:] {
		for name, list := range more {
			found[0][name] = append(found[0][name], list...)
		}
	}
	x.pack(found[0])
	if path := f.indexPath(); path != "" {
		_ = atomicfile.WriteBytes(path, 0o600, x.encode())
	}
	return nil
}

// release frees the memory of pages of a mapping that are not read again soon.
func release(data []byte) {
	page := os.Getpagesize()
	if len(data) < 4*page {
		return
	}
	// Only whole pages: data need not start at a page boundary.
	skip := page - int(addressOf(data)%uintptr(page))
	inner := data[skip : len(data)-page]
	inner = inner[:len(inner)/page*page]
	if len(inner) > 0 {
		_ = syscall.Madvise(inner, syscall.MADV_DONTNEED) // it is only a hint
	}
}

// pack sorts and encodes the names.
func (x *index) pack(found map[string][]uint32) {
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list := found[name]
		slices.Sort(list)
		last := uint32(0)
		for _, u := range slices.Compact(list) {
			x.lists = binary.AppendUvarint(x.lists, uint64(u-last))
			last = u
		}
		x.names = append(x.names, name...)
		x.nameEnds = append(x.nameEnds, uint32(len(x.names)))
		x.listEnds = append(x.listEnds, uint32(len(x.lists)))
	}
	x.named = true
}

// addresses sets the spans, from .debug_aranges or, for units that are not in it, from
// the units themselves.
func (f *File) addresses(x *index) error {
	at := make(map[uint64]uint32, len(x.units))
	for i, u := range x.units {
		at[u.Off] = uint32(i)
	}
	known := make([]bool, len(x.units))
	add := func(i uint32, low, high uint64) {
		if low < high && low != 0 {
			x.spans = append(x.spans, span{low, high, i})
		}
	}
	for data := f.sections.by[".debug_aranges"]; len(data) > 0; {
		c := cursor{b: data}
		n, width := c.length()
		end := uint64(c.pos) + n
		c.take(2)
		unit, ok := at[c.uint(width)]
		addrSize := c.uint(2) // and the segment size, 0
		if c.spent || n == 0 || end > uint64(len(data)) || addrSize != 8 || !ok {
			return damaged("the section .debug_aranges ends early or refers to no unit")
		}
		c.pos = (c.pos + 15) &^ 15
		for c.pos+16 <= int(end) {
			low, size := c.uint(8), c.uint(8)
			if low == 0 && size == 0 {
				break
			}
			known[unit] = true
			add(unit, low, low+size)
		}
		data = data[end:]
	}
	for i := range x.units {
		if known[i] {
			continue
		}
		u, err := f.decode(x, uint32(i))
		if err != nil {
			return err
		}
		ranges, err := u.data.Ranges(u.root)
		if err != nil {
			return fmt.Errorf("ranges of the unit at %#x: %w", x.units[i].Off, err)
		}
		for _, r := range ranges {
			add(uint32(i), r[0], r[1])
		}
	}
	slices.SortFunc(x.spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.Low, b.Low), cmp.Compare(a.High, b.High)) })
	return nil
}

// at returns the units that have code at an address, normally one.
func (x *index) at(pc uint64) []uint32 {
	var found []uint32
	i := sort.Search(len(x.spans), func(i int) bool { return x.spans[i].Low > pc })
	for back := 0; i > 0 && back < 8; back++ {
		i--
		if s := x.spans[i]; pc < s.High && !slices.Contains(found, s.Unit) {
			found = append(found, s.Unit)
		}
	}
	return found
}

// unitsOf returns the units that have code of a function.
func (x *index) unitsOf(name string) []uint32 {
	text := func(i int) []byte { return slice(x.names, x.nameEnds, i) }
	i := sort.Search(len(x.nameEnds), func(i int) bool { return string(text(i)) >= name })
	if i == len(x.nameEnds) || string(text(i)) != name {
		return nil
	}
	var units []uint32
	last := uint64(0)
	for list := slice(x.lists, x.listEnds, i); len(list) > 0; {
		d, n := binary.Uvarint(list)
		if n <= 0 || last+d >= uint64(len(x.units)) {
			return units
		}
		last += d
		units = append(units, uint32(last))
		list = list[n:]
	}
	return units
}

func slice(data []byte, ends []uint32, i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = ends[i-1]
	}
	return data[start:ends[i]]
}

// indexHead is the fixed part of an index file.
type indexHead struct {
	Size, Crossed                       uint64
	Units, Spans, Names, NameLen, Lists uint32
}

func (x *index) encode() []byte {
	h := indexHead{
		Size: x.size, Units: uint32(len(x.units)), Spans: uint32(len(x.spans)),
		Names: uint32(len(x.nameEnds)), NameLen: uint32(len(x.names)), Lists: uint32(len(x.lists)),
	}
	if x.crossed {
		h.Crossed = 1
	}
	b := []byte(indexMagic)
	for _, part := range []any{h, x.units, x.spans, x.nameEnds, x.listEnds, x.names, x.lists} {
		b, _ = binary.Append(b, le, part) // values of fixed size cause no error
	}
	return le.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func decodeIndex(data []byte) (*index, error) {
	bad := errors.New("the index is damaged")
	n := len(data) - 4
	if n < len(indexMagic) || !bytes.HasPrefix(data, []byte(indexMagic)) || crc32.ChecksumIEEE(data[:n]) != le.Uint32(data[n:]) {
		return nil, bad
	}
	b := data[len(indexMagic):n]
	var h indexHead
	used, err := binary.Decode(b, le, &h)
	if err != nil {
		return nil, bad
	}
	b = b[used:]
	if want := 16*uint64(h.Units) + 20*uint64(h.Spans) + 8*uint64(h.Names) + uint64(h.NameLen) + uint64(h.Lists); want != uint64(len(b)) {
		return nil, bad
	}
	x := &index{
		size: h.Size, crossed: h.Crossed != 0, units: make([]unitRange, h.Units), spans: make([]span, h.Spans),
		nameEnds: make([]uint32, h.Names), listEnds: make([]uint32, h.Names),
	}
	for _, part := range []any{x.units, x.spans, x.nameEnds, x.listEnds} {
		used, err := binary.Decode(b, le, part)
		if err != nil {
			return nil, bad
		}
		b = b[used:]
	}
	x.names, x.lists, x.named = b[:h.NameLen], b[h.NameLen:], true
	if !ascending(x.nameEnds, len(x.names)) || !ascending(x.listEnds, len(x.lists)) {
		return nil, bad
	}
	return x, nil
}

func ascending(ends []uint32, size int) bool {
	return slices.IsSorted(ends) && (len(ends) == 0 || int(ends[len(ends)-1]) == size)
}
