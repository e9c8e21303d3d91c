package debuginfo

import (
	"cmp"
	"debug/dwarf"
	"fmt"
	"io"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/go-delve/delve/pkg/dwarf/godwarf"
)

// unit is a decoded compilation unit.
type unit struct {
	data *dwarf.Data
	root *dwarf.Entry
	low  uint64 // the base of its location lists
	v5   bool
	// addrBase and listBase are offsets of its parts of .debug_addr and
	// .debug_loclists.
	addrBase, listBase uint64
	first, end         dwarf.Offset // of its entries in data
	header             dwarf.Offset // base of offsets within the unit

	funcs []function // by address
	rows  []row      // by address, once lined
	files []*dwarf.LineFile
	lined bool // the line table has been read
	trees map[dwarf.Offset]*godwarf.Tree
	strip string // prefix to remove from file names
}

// function is a range of code of one function.
type function struct {
	low, high uint64
	off       dwarf.Offset
}

// Attributes and tags that package debug/dwarf lacks.
const (
	attrLoclistsBase = dwarf.Attr(0x8c)
	attrCallReturnPC = dwarf.Attr(0x7d)
	attrCallValue    = dwarf.Attr(0x7e)
	tagCallSite      = dwarf.Tag(0x48)
	tagCallSiteParam = dwarf.Tag(0x49)
)

// unit returns the i'th unit. The caller holds f.mu.
func (f *File) unit(i uint32) (*unit, error) {
	if u, ok := f.units[uint64(i)]; ok {
		return u, nil
	}
	u, err := f.decode(f.index, i)
	if err != nil {
		return nil, err
	}
	if err := u.list(); err != nil {
		return nil, err
	}
	f.units[uint64(i)] = u
	return u, nil
}

// decode decodes a unit. Unless the file has references between units, it reads only
// the unit's own data.
func (f *File) decode(x *index, i uint32) (*unit, error) {
	by, r := f.sections.by, x.units[i]
	h, err := readHeader(by[".debug_info"], r.Off)
	if err != nil {
		return nil, err
	}
	info, start := by[".debug_info"][r.Off:r.End], dwarf.Offset(h.first)
	if x.crossed {
		info, start = by[".debug_info"], dwarf.Offset(r.Off)+dwarf.Offset(h.first)
	}
	data := f.whole
	if data == nil {
		if data, err = open(by, info); err != nil {
			return nil, fmt.Errorf("the unit at %#x: %w", r.Off, err)
		}
		if x.crossed {
			f.whole = data
		}
	}
	u := &unit{data: data, trees: map[dwarf.Offset]*godwarf.Tree{}, v5: h.version >= 5, first: start, end: dwarf.Offset(len(info))}
	if x.crossed {
		u.end, u.header = dwarf.Offset(r.End), dwarf.Offset(r.Off)
	}
	rd := data.Reader()
	rd.Seek(start)
	if u.root, err = rd.Next(); err != nil || u.root == nil {
		return nil, fmt.Errorf("the unit at %#x: %w", r.Off, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	u.low, _ = u.root.Val(dwarf.AttrLowpc).(uint64)
	if b, ok := u.root.Val(dwarf.AttrAddrBase).(int64); ok {
		u.addrBase = uint64(b)
	}
	if b, ok := u.root.Val(attrLoclistsBase).(int64); ok {
		u.listBase = uint64(b)
	}
	u.strip = sourceRoot(u.root)
	return u, nil
}

func open(by map[string][]byte, info []byte) (*dwarf.Data, error) {
	data, err := dwarf.New(by[".debug_abbrev"], nil, nil, info, by[".debug_line"], nil, by[".debug_ranges"], by[".debug_str"])
	if err != nil {
		return nil, err
	}
	for _, name := range []string{".debug_addr", ".debug_line_str", ".debug_str_offsets", ".debug_rnglists"} {
		if err := data.AddSection(name, by[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return data, nil
}

// sourceRoot returns the longest folder that contains both the unit's file and the
// folder in which it was compiled. It is removed from the names of files.
func sourceRoot(root *dwarf.Entry) string {
	name, _ := root.Val(dwarf.AttrName).(string)
	dir, _ := root.Val(dwarf.AttrCompDir).(string)
	if !path.IsAbs(name) || !path.IsAbs(dir) {
		return dir
	}
	common := "/"
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		next := path.Join(common, part)
		if dir != next && !strings.HasPrefix(dir, strings.TrimSuffix(next, "/")+"/") {
			break
		}
		common = next
	}
	if common == "/" {
		return ""
	}
	return common
}

// shown returns a file's name relative to the kernel's source.
func (u *unit) shown(name string) string {
	name = path.Clean(name)
	if u.strip != "" {
		if rest, ok := strings.CutPrefix(name, path.Clean(u.strip)+"/"); ok {
			return rest
		}
	}
	return name
}

// list finds the unit's functions.
func (u *unit) list() error {
	return u.top(func(e *dwarf.Entry) error {
		if e.Tag != dwarf.TagSubprogram {
			return nil
		}
		ranges, err := u.data.Ranges(e)
		if err != nil {
			return err
		}
		for _, r := range ranges {
			if r[0] < r[1] && r[0] != 0 {
				u.funcs = append(u.funcs, function{r[0], r[1], e.Offset})
			}
		}
		return nil
	}, func() {
		slices.SortFunc(u.funcs, func(a, b function) int { return cmp.Compare(a.low, b.low) })
	})
}

// top visits the entries of the unit's top level.
func (u *unit) top(visit func(*dwarf.Entry) error, done func()) error {
	rd := u.data.Reader()
	rd.Seek(u.first)
	if _, err := rd.Next(); err != nil {
		return err
	}
	if !u.root.Children {
		done()
		return nil
	}
	for {
		e, err := rd.Next()
		if err != nil {
			return err
		}
		if e == nil || e.Tag == 0 || e.Offset >= u.end {
			done()
			return nil
		}
		if err := visit(e); err != nil {
			return err
		}
		if e.Children {
			rd.SkipChildren()
		}
	}
}

// function returns the tree of the function at an address, nil if there is none.
func (u *unit) function(pc uint64) (*godwarf.Tree, error) {
	i := sort.Search(len(u.funcs), func(i int) bool { return u.funcs[i].low > pc })
	if i == 0 || pc >= u.funcs[i-1].high {
		return nil, nil
	}
	return u.tree(u.funcs[i-1].off)
}

func (u *unit) tree(off dwarf.Offset) (*godwarf.Tree, error) {
	if t, ok := u.trees[off]; ok {
		return t, nil
	}
	t, err := godwarf.LoadTree(off, u.data, 0)
	if err != nil {
		return nil, fmt.Errorf("the function at entry %#x: %w", off, err)
	}
	u.trees[off] = t
	return t, nil
}
