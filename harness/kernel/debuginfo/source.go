package debuginfo

import (
	"cmp"
	"debug/dwarf"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/go-delve/delve/pkg/dwarf/godwarf"
	"github.com/go-delve/delve/pkg/dwarf/reader"
)

// Location is the source position of an address in one function.
type Location struct {
	Function string
	Inlined  bool   // into the function of the next Location
	File     string // relative to the kernel's source; "" if unknown
	Line     int    // from 1; if the previous Location is inlined, that of its call
}

// Lookup returns the source positions of an address: those in the functions inlined
// there, innermost first, and last the one in the function that contains the address.
// Assembly has no functions: Lookup returns one Location with only a line then, or
// none.
func (f *File) Lookup(pc uint64) (_ []Location, err error) {
	defer guard(f.Path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	f.mu.Lock()
	defer f.mu.Unlock()
	u, scopes, err := f.scopes(pc)
	if err != nil || u == nil {
		return nil, err
	}
	return u.locations(pc, scopes)
}

// scopes returns the unit of an address and the functions that are active there,
// innermost first. The unit is nil if there is no information.
func (f *File) scopes(pc uint64) (*unit, []*godwarf.Tree, error) {
	var first *unit
	for _, i := range f.index.at(pc) {
		u, err := f.unit(i)
		if err != nil {
			return nil, nil, err
		}
		t, err := u.function(pc)
		if err != nil {
			return nil, nil, err
		}
		if t != nil {
			return u, append(reader.InlineStack(t, pc), t), nil
		}
		if first == nil {
			first = u
		}
	}
	return first, nil, nil
}

func (u *unit) locations(pc uint64, scopes []*godwarf.Tree) ([]Location, error) {
	file, line, err := u.line(pc)
	if err != nil {
		return nil, err
	}
	if len(scopes) == 0 {
		if line == 0 {
			return nil, nil
		}
		return []Location{{File: file, Line: line}}, nil
	}
	var all []Location
	for _, t := range scopes {
		name, _ := t.Val(dwarf.AttrName).(string)
		all = append(all, Location{Function: name, Inlined: t.Tag == dwarf.TagInlinedSubroutine, File: file, Line: line})
		file, line = "", 0
		if n, ok := t.Val(dwarf.AttrCallFile).(int64); ok {
			file = u.file(n)
		}
		if n, ok := t.Val(dwarf.AttrCallLine).(int64); ok {
			line = int(n)
		}
	}
	return all, nil
}

// Site is a place where a function begins.
type Site struct {
	Addr    uint64
	Inlined bool
	In      string // the function that contains Addr
	File    string
	Line    int    // of Addr, as Lookup returns it
	Call    string // file:line of the call of an inlined function
}

// Param is a parameter of a function.
type Param struct {
	Name, Type string // C spelling
	Size       int    // in bytes, 0 if unknown
	Signed     bool
	Pointer    bool
	Struct     string // tag of the struct that it is or points to
}

// maxUnits limits the number of units that Sites decodes.
const maxUnits = 64

// Sites returns the places where a function begins, sorted by address: its own entry
// and every place where it was inlined. An inlined function begins at its
// DW_AT_entry_pc or else at its lowest address. Sites also returns the function's
// parameters.
func (f *File) Sites(name string) (_ []Site, _ []Param, err error) {
	defer guard(f.Path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.makeNames(); err != nil {
		return nil, nil, &FormatError{Path: f.Path, Reason: "index it", Err: err}
	}
	units := f.index.unitsOf(name)
	if len(units) > maxUnits {
		return nil, nil, fmt.Errorf("%s is compiled into %d files, which is more than %d", name, len(units), maxUnits)
	}
	var sites []Site
	var params []Param
	for _, i := range units {
		u, err := f.unit(i)
		if err != nil {
			return nil, nil, err
		}
		some, p, err := u.sites(name)
		if err != nil {
			return nil, nil, err
		}
		sites = append(sites, some...)
		if params == nil {
			params = p
		}
	}
	slices.SortFunc(sites, func(a, b Site) int { return cmp.Compare(a.Addr, b.Addr) })
	return slices.CompactFunc(sites, func(a, b Site) bool { return a.Addr == b.Addr }), params, nil
}

func (u *unit) sites(name string) ([]Site, []Param, error) {
	wanted := map[dwarf.Offset]bool{} // the function's entries
	var trees []dwarf.Offset
	var params []Param
	err := u.top(func(e *dwarf.Entry) error {
		if e.Tag != dwarf.TagSubprogram {
			return nil
		}
		if n, _ := e.Val(dwarf.AttrName).(string); n == name {
			wanted[e.Offset] = true
		}
		if ranges, err := u.data.Ranges(e); err == nil && len(ranges) > 0 {
			trees = append(trees, e.Offset)
		}
		return nil
	}, func() {})
	if err != nil {
		return nil, nil, err
	}
	for off := range wanted {
		t, err := u.tree(off)
		if err != nil {
			return nil, nil, err
		}
		if p := u.params(t); len(p) > len(params) || params == nil {
			params = p
		}
	}
	var sites []Site
	for _, off := range trees {
		// Do not build trees of the many functions without code of it.
		if found, err := u.mentions(off, wanted); err != nil || !found {
			if err != nil {
				return nil, nil, err
			}
			continue
		}
		t, err := u.tree(off)
		if err != nil {
			return nil, nil, err
		}
		in, _ := t.Val(dwarf.AttrName).(string)
		if err := u.collect(t, name, in, &sites); err != nil {
			return nil, nil, err
		}
	}
	return sites, params, nil
}

// mentions reports whether the function at off is one of wanted, or one of wanted is
// inlined into it.
func (u *unit) mentions(off dwarf.Offset, wanted map[dwarf.Offset]bool) (bool, error) {
	rd := u.data.Reader()
	rd.Seek(off)
	for depth := 0; ; {
		e, err := rd.Next()
		if err != nil || e == nil {
			return false, err
		}
		origin, _ := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if wanted[e.Offset] || wanted[origin] {
			return true, nil
		}
		switch {
		case e.Tag == 0:
			depth--
		case e.Children:
			depth++
		}
		if depth <= 0 {
			return false, nil
		}
	}
}

// collect finds the sites of a function in a tree.
func (u *unit) collect(t *godwarf.Tree, name, in string, sites *[]Site) error {
	isIt := t.Tag == dwarf.TagInlinedSubroutine || t.Tag == dwarf.TagSubprogram
	if n, _ := t.Val(dwarf.AttrName).(string); isIt && n == name && len(t.Ranges) > 0 {
		s := Site{Addr: entryPC(t), Inlined: t.Tag == dwarf.TagInlinedSubroutine, In: in}
		var err error
		if s.File, s.Line, err = u.line(s.Addr); err != nil {
			return err
		}
		if n, ok := t.Val(dwarf.AttrCallLine).(int64); ok && s.Inlined {
			if call, ok := t.Val(dwarf.AttrCallFile).(int64); ok {
				s.Call = fmt.Sprintf("%s:%d", u.file(call), n)
			}
		}
		*sites = append(*sites, s)
	}
	for _, c := range t.Children {
		if err := u.collect(c, name, in, sites); err != nil {
			return err
		}
	}
	return nil
}

// entryPC returns the address where a function begins, inlined or not: DWARF version 5,
// section 2.18.
func entryPC(t *godwarf.Tree) uint64 {
	low := t.Ranges[0][0]
	if v, ok := t.Val(dwarf.AttrLowpc).(uint64); ok {
		low = v
	}
	switch v := t.Val(dwarf.AttrEntrypc).(type) {
	case uint64:
		return v
	case int64:
		return low + uint64(v)
	}
	return low
}

// params returns a function's parameters.
func (u *unit) params(t *godwarf.Tree) []Param {
	params := []Param{}
	for _, c := range t.Children {
		if c.Tag != dwarf.TagFormalParameter {
			continue
		}
		name, _ := c.Val(dwarf.AttrName).(string)
		typ := u.typeOf(c)
		params = append(params, Param{
			Name: name, Type: typ.name, Size: typ.size, Signed: typ.signed(), Pointer: typ.pointer(), Struct: typ.structName(),
		})
	}
	return params
}
