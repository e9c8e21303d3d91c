package debuginfo

import (
	"debug/dwarf"
	"errors"
	"slices"
)

const attrStrOffsetsBase = 0x72

// header is the header of a unit.
type header struct {
	off, end uint64 // in .debug_info, the initial length included
	version  int
	kind     int
	abbrev   uint64
	addrSize int
	width    int // bytes of an offset
	first    int // offset of the first entry from off
}

// Kinds of unit.
const (
	unitCompile = 0x01
	unitPartial = 0x03
)

// headers lists the units of .debug_info that describe code.
func headers(info []byte) ([]header, error) {
	var all []header
	for off := uint64(0); off < uint64(len(info)); {
		h, err := readHeader(info, off)
		if err != nil {
			return nil, err
		}
		if h.kind == unitCompile || h.kind == unitPartial {
			all = append(all, h)
		}
		off = h.end
	}
	return all, nil
}

func readHeader(info []byte, off uint64) (header, error) {
	c := cursor{b: info[off:]}
	h := header{off: off, kind: unitCompile}
	n, width := c.length()
	h.width = width
	h.end = off + uint64(c.pos) + n
	if c.spent || n == 0 || h.end <= off || h.end > uint64(len(info)) {
		return h, damaged("the unit at %#x has %d bytes by its header, but .debug_info has %d", off, n, len(info))
	}
	if h.version = int(c.uint(2)); h.version >= 5 {
		h.kind = int(c.uint(1))
		h.addrSize = int(c.uint(1))
		h.abbrev = c.uint(width)
	} else {
		h.abbrev = c.uint(width)
		h.addrSize = int(c.uint(1))
	}
	h.first = c.pos
	switch {
	case c.spent || h.version < 2 || h.version > 5 || off+uint64(h.first) > h.end:
		return h, damaged("the unit at %#x has DWARF version %d", off, h.version)
	case h.addrSize != 8:
		return h, damaged("the unit at %#x has addresses of %d bytes", off, h.addrSize)
	}
	return h, nil
}

// spec is an attribute of an abbreviation.
type spec struct{ attr, form uint32 }

// abbrev is the form of entries with one abbreviation code.
type abbrev struct {
	tag      dwarf.Tag
	children bool
	specs    []spec
	fixed    int // size of all attributes in bytes, -1 if it varies
	sibling  int // offset of DW_AT_sibling in attributes of fixed size, -1 for none
}

// maxAbbrevs limits the codes of a table.
const maxAbbrevs = 1 << 16

// parseAbbrevs reads one table of abbreviations, indexed by code.
func parseAbbrevs(data []byte, h header) ([]*abbrev, error) {
	if h.abbrev > uint64(len(data)) {
		return nil, damaged("the abbreviations at %#x are after the section's end", h.abbrev)
	}
	c := cursor{b: data[h.abbrev:]}
	var table []*abbrev
	for {
		code := c.uleb()
		if c.spent {
			return nil, damaged("the abbreviations at %#x have no end", h.abbrev)
		}
		if code == 0 {
			return table, nil
		}
		if code > maxAbbrevs {
			return nil, damaged("abbreviation %d at %#x is over %d", code, h.abbrev, maxAbbrevs)
		}
		a := &abbrev{tag: dwarf.Tag(c.uleb()), children: c.uint(1) != 0, sibling: -1}
		for {
			s := spec{uint32(c.uleb()), uint32(c.uleb())}
			if s.form == formImplicitConst {
				c.uleb()
			}
			switch s.form {
			case formGNURefAlt, formGNUStrpAlt, formRefSup4, formRefSup8, formStrpSup:
				return nil, errSplit
			}
			if s == (spec{}) {
				break
			}
			if c.spent {
				return nil, damaged("the abbreviations at %#x have no end", h.abbrev)
			}
			n := width(s.form, h)
			if s.attr == uint32(dwarf.AttrSibling) && a.fixed >= 0 && s.form == formRef4 {
				a.sibling = a.fixed
			}
			if n < 0 {
				a.fixed = -1
			} else if a.fixed >= 0 {
				a.fixed += n
			}
			a.specs = append(a.specs, s)
		}
		for uint64(len(table)) <= code {
			table = append(table, nil)
		}
		table[code] = a
	}
}

// errSplit is returned for a file from which dwz has moved parts.
var errSplit = errors.New("a part of it is in another file (.gnu_debugaltlink), which is not supported; give a vmlinux that dwz has not changed")

// crossed reports whether entries may refer to other units, as with link-time
// optimization.
func crossed(abbrevs []byte, units []header) bool {
	if len(units) == 0 {
		return false
	}
	// If any unit has such references, most have. So check a sample.
	step := max(1, len(units)/16)
	for i := 0; i < len(units); i += step {
		table, err := parseAbbrevs(abbrevs, units[i])
		if err != nil {
			continue // opening the unit returns the error
		}
		for _, a := range table {
			if a != nil && slices.ContainsFunc(a.specs, func(s spec) bool { return s.form == formRefAddr }) {
				return true
			}
		}
	}
	return false
}

// scanner lists the functions at a unit's top level.
type scanner struct {
	info, abbrevs, str, lineStr, strOffsets []byte
}

// functions calls found with the name of each function for which the unit has code,
// inlined or not.
func (s *scanner) functions(h header, found func(name []byte)) error {
	table, err := parseAbbrevs(s.abbrevs, h)
	if err != nil {
		return err
	}
	c := cursor{b: s.info[h.off:h.end], pos: h.first}
	strBase := uint64(8)
	for depth := 0; c.pos < len(c.b); {
		code := c.uleb()
		if code == 0 {
			if depth--; depth <= 0 {
				break
			}
			continue
		}
		var a *abbrev
		if code < uint64(len(table)) {
			a = table[code]
		}
		if a == nil || c.spent {
			return damaged("an entry near %#x has the unknown abbreviation %d", h.off+uint64(c.pos), code)
		}
		root := depth == 0
		if a.tag == dwarf.TagSubprogram && depth == 1 || root || a.fixed < 0 {
			next, err := s.entry(&c, a, h, &strBase, root, depth, found)
			if err != nil {
				return err
			}
			if a.children && !root && next > 0 {
				if next < c.pos || next > len(c.b) {
					return damaged("an entry near %#x has its sibling at %#x", h.off+uint64(c.pos), h.off+uint64(next))
				}
				c.pos = next
				continue
			}
		} else {
			at := c.pos
			c.take(uint64(a.fixed))
			if a.children && a.sibling >= 0 && !c.spent {
				next := int(le.Uint32(c.b[at+a.sibling:]))
				if next < c.pos || next > len(c.b) {
					return damaged("an entry near %#x has its sibling at %#x", h.off+uint64(c.pos), h.off+uint64(next))
				}
				c.pos = next
				continue
			}
		}
		if a.children {
			depth++
		} else if root {
			break
		}
	}
	if c.spent {
		return damaged("the unit at %#x is truncated", h.off)
	}
	return nil
}

// entry reads one entry's attributes and returns the position of its sibling, 0 if
// unknown. It calls found for a function at the unit's top level.
func (s *scanner) entry(c *cursor, a *abbrev, h header, strBase *uint64, root bool, depth int, found func([]byte)) (sibling int, err error) {
	var name []byte
	code := false
	for _, sp := range a.specs {
		switch {
		case sp.attr == uint32(dwarf.AttrSibling) && sp.form == formRef4:
			sibling = int(c.uint(4))
			continue
		case root && sp.attr == attrStrOffsetsBase && sp.form == formSecOffset:
			*strBase = c.uint(h.width)
			continue
		case a.tag == dwarf.TagSubprogram && sp.attr == uint32(dwarf.AttrName):
			if name, err = s.string(c, sp.form, h, *strBase); err != nil {
				return 0, err
			}
			continue
		case sp.attr == uint32(dwarf.AttrInline), sp.attr == uint32(dwarf.AttrLowpc), sp.attr == uint32(dwarf.AttrRanges):
			code = true
		}
		if err := c.skip(sp.form, h); err != nil {
			return 0, err
		}
	}
	if a.tag == dwarf.TagSubprogram && depth == 1 && code && len(name) > 0 {
		found(name)
	}
	return sibling, nil
}

func (s *scanner) string(c *cursor, form uint32, h header, base uint64) ([]byte, error) {
	at := func(section []byte, off uint64) []byte {
		if off >= uint64(len(section)) {
			return nil
		}
		t := cursor{b: section[off:]}
		return t.text()
	}
	var i uint64
	switch form {
	case formString:
		return c.text(), nil
	case formStrp:
		return at(s.str, c.uint(h.width)), nil
	case formLineStrp:
		return at(s.lineStr, c.uint(h.width)), nil
	case formStrx:
		i = c.uleb()
	case formStrx1, formStrx2, formStrx3, formStrx4:
		i = c.uint(int(form - formStrx1 + 1))
	default:
		return nil, c.skip(form, h)
	}
	off := base + i*uint64(h.width)
	if i > uint64(len(s.strOffsets)) || off+uint64(h.width) > uint64(len(s.strOffsets)) {
		return nil, damaged("string %d is not in .debug_str_offsets", i)
	}
	o := cursor{b: s.strOffsets[off:]}
	return at(s.str, o.uint(h.width)), nil
}
