package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// Field is a member of a struct or union.
type Field struct {
	Name      string // the last component of the path
	Offset    int    // bytes from the start of the outermost struct
	Size      int    // bytes; for a bit field, of the whole bytes it touches
	BitOffset int    // of a bit field, from the least significant bit at Offset
	BitSize   int    // 0 unless a bit field
	Signed    bool   // a signed integer
	Type      string // C spelling: "struct task_struct *"
	Struct    string // name of the struct or union that it is or points to
	Pointer   bool
	Count     int // number of elements of an array
}

// Param is one parameter of a function.
type Param struct {
	Name    string
	Type    string // C spelling
	Struct  string // name of the struct or union that it is or points to
	Pointer bool
	Size    int // bytes
	Signed  bool
}

// spec loads the BTF on first use.
func (im *Image) spec() (*btf.Spec, error) {
	im.typesOnce.Do(func() {
		raw := im.rawBTF()
		if raw == nil {
			im.typesErr = ErrNoTypes
			return
		}
		im.types, im.typesErr = btf.LoadSpecFromReader(bytes.NewReader(raw))
		if im.typesErr != nil {
			im.typesErr = &FormatError{Layer: "BTF", Reason: "the kernel's type information is damaged", Err: im.typesErr}
		}
	})
	return im.types, im.typesErr
}

func (im *Image) rawBTF() []byte {
	if raw, ok := im.between("__start_BTF", "__stop_BTF"); ok && strings.HasPrefix(string(raw), btfMagic) {
		return raw
	}
	// Without KALLSYMS_ALL the table lacks the two symbols.
	return im.section(".BTF")
}

// section returns the contents of an ELF section, nil when there is none.
func (im *Image) section(name string) []byte {
	f, err := elf.NewFile(bytes.NewReader(im.flat))
	if err != nil {
		return nil
	}
	defer f.Close()
	s := f.Section(name)
	if s == nil || s.Type == elf.SHT_NOBITS || s.Offset > uint64(len(im.flat)) || s.Size > uint64(len(im.flat))-s.Offset {
		return nil
	}
	return im.flat[s.Offset : s.Offset+s.Size]
}

// composites returns the structs and unions with a name, and typedefs of them.
func (im *Image) composites(name string) ([]btf.Type, error) {
	spec, err := im.spec()
	if err != nil {
		return nil, err
	}
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "struct "), "union ")
	all, err := spec.AnyTypesByName(bare)
	if err != nil && !errors.Is(err, btf.ErrNotFound) {
		return nil, fmt.Errorf("type %q: %w", name, err)
	}
	var found []btf.Type
	for _, t := range all {
		if members(t) != nil {
			found = append(found, t)
		}
	}
	if len(found) == 0 {
		return nil, &NotFoundError{What: "struct", Name: name}
	}
	return found, nil
}

func members(t btf.Type) []btf.Member {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return t.Members
	case *btf.Union:
		return t.Members
	}
	return nil
}

func (im *Image) field(structName, path string) (Field, error) {
	types, err := im.composites(structName)
	if err != nil {
		return Field{}, err
	}
	var first error
	var found []Field
	for _, t := range types {
		f, err := walkPath(t, "struct "+strings.TrimPrefix(structName, "struct "), path)
		switch {
		case err != nil && first == nil:
			first = err
		case err == nil && !slices.Contains(found, f):
			found = append(found, f)
		}
	}
	switch len(found) {
	case 0:
		return Field{}, first
	case 1:
		return found[0], nil
	}
	return Field{}, fmt.Errorf("struct %s is defined %d times in this kernel's types and %q differs between them: offsets %d and %d",
		structName, len(types), path, found[0].Offset, found[1].Offset)
}

func walkPath(t btf.Type, where, path string) (Field, error) {
	var f Field
	base := 0
	for name := range strings.SplitSeq(path, ".") {
		ms := members(t)
		if ms == nil {
			return Field{}, fmt.Errorf("%s is %s, which has no member %q; if it is a pointer, read it first", where, spell(t), name)
		}
		m, bits, ok := findMember(ms, name, 0)
		if !ok {
			return Field{}, &NotFoundError{What: "member of " + where, Name: name, LookAlikes: nearestMembers(ms, name)}
		}
		f = describe(m.Type)
		f.Name = name
		f.bits(m, bits)
		base += bits / 8
		f.Offset = base
		t, where = m.Type, where+"."+name
	}
	return f, nil
}

// bits sets the extent of a bit field, which begins at an offset in bits.
func (f *Field) bits(m btf.Member, offset int) {
	if m.BitfieldSize > 0 {
		f.BitSize = int(m.BitfieldSize)
		f.BitOffset = offset % 8
		f.Size = (f.BitOffset + f.BitSize + 7) / 8
	}
}

// findMember finds a member, also in anonymous structs and unions, and returns its
// offset in bits.
func findMember(ms []btf.Member, name string, depth int) (btf.Member, int, bool) {
	const maxDepth = 16
	for _, m := range ms {
		if m.Name == name {
			return m, int(m.Offset), true
		}
	}
	for _, m := range ms {
		if m.Name != "" || depth == maxDepth {
			continue
		}
		if inner, off, ok := findMember(members(m.Type), name, depth+1); ok {
			return inner, int(m.Offset) + off, true
		}
	}
	return btf.Member{}, 0, false
}

func memberNames(ms []btf.Member, depth int) []string {
	var names []string
	for _, m := range ms {
		switch {
		case m.Name != "":
			names = append(names, m.Name)
		case depth < 16:
			names = append(names, memberNames(members(m.Type), depth+1)...)
		}
	}
	return names
}

// nearestMembers returns the names most similar to name.
func nearestMembers(ms []btf.Member, name string) []string {
	return nearestNames(memberNames(ms, 0), name, 4)
}

func (im *Image) members(structName string) ([]Field, error) {
	types, err := im.composites(structName)
	if err != nil {
		return nil, err
	}
	return flatten(members(types[0]), 0, 0), nil
}

func flatten(ms []btf.Member, base, depth int) []Field {
	const maxDepth = 16
	var out []Field
	for _, m := range ms {
		at := base + int(m.Offset)/8
		under := btf.UnderlyingType(m.Type)
		_, union := under.(*btf.Union)
		switch {
		case m.Name == "" && depth == maxDepth:
		case m.Name == "" && union && unnamedStruct(members(under)):
			out = append(out, flatten(members(under)[:1], at, depth+1)...)
		case m.Name == "" && union:
			f := describe(under)
			f.Name, f.Offset = firstName(members(under), depth), at
			out = append(out, f)
		case m.Name == "":
			out = append(out, flatten(members(under), at, depth+1)...)
		default:
			f := describe(m.Type)
			f.Name, f.Offset = m.Name, at
			f.bits(m, int(m.Offset))
			out = append(out, f)
		}
	}
	return out
}

// unnamedStruct reports whether the first member is an anonymous struct.
func unnamedStruct(ms []btf.Member) bool {
	if len(ms) == 0 || ms[0].Name != "" {
		return false
	}
	_, ok := btf.UnderlyingType(ms[0].Type).(*btf.Struct)
	return ok
}

func firstName(ms []btf.Member, depth int) string {
	if names := memberNames(ms, depth); len(names) > 0 {
		return names[0]
	}
	return ""
}

// describe returns a Field with the properties of a type.
func describe(t btf.Type) Field {
	f := Field{Type: spell(t)}
	f.Size, _ = btf.Sizeof(t)
	elem := btf.UnderlyingType(t)
	for {
		a, ok := elem.(*btf.Array)
		if !ok {
			break
		}
		if f.Count == 0 {
			f.Count = 1
		}
		f.Count *= int(a.Nelems)
		elem = btf.UnderlyingType(a.Type)
	}
	switch t := elem.(type) {
	case *btf.Pointer:
		f.Pointer, f.Size = true, max(f.Size, 8)
		f.Struct = compositeName(t.Target)
	case *btf.Int:
		f.Signed = t.Encoding == btf.Signed
	case *btf.Enum:
		f.Signed = t.Signed
	default:
		f.Struct = compositeName(elem)
	}
	return f
}

// compositeName returns the name of a struct or union, or of the typedef of an
// anonymous one.
func compositeName(t btf.Type) string {
	for {
		switch tt := t.(type) {
		case *btf.Struct, *btf.Union, *btf.Fwd:
			return t.TypeName()
		case *btf.Typedef:
			if u := btf.UnderlyingType(tt); members(u) != nil && u.TypeName() == "" {
				return tt.Name
			}
			t = tt.Type
		default:
			u := btf.UnderlyingType(t)
			if u == t {
				return ""
			}
			t = stripQualifier(t)
		}
	}
}

func stripQualifier(t btf.Type) btf.Type {
	switch t := t.(type) {
	case *btf.Const:
		return t.Type
	case *btf.Volatile:
		return t.Type
	case *btf.Restrict:
		return t.Type
	case *btf.TypeTag:
		return t.Type
	}
	return btf.UnderlyingType(t)
}

func (im *Image) sizeOf(typeName string) (int, error) {
	spec, err := im.spec()
	if err != nil {
		return 0, err
	}
	bare := strings.TrimPrefix(strings.TrimPrefix(typeName, "struct "), "union ")
	all, err := spec.AnyTypesByName(bare)
	if err != nil && !errors.Is(err, btf.ErrNotFound) {
		return 0, fmt.Errorf("size of %q: %w", typeName, err)
	}
	size := -1
	for _, t := range all {
		switch t.(type) {
		case *btf.Func, *btf.Fwd, *btf.Var, *btf.Datasec:
			continue
		}
		n, err := btf.Sizeof(t)
		switch {
		case err != nil:
		case size >= 0 && size != n:
			return 0, fmt.Errorf("size of %q: this kernel has several types of that name, of %d and %d bytes", typeName, size, n)
		default:
			size = n
		}
	}
	if size < 0 {
		return 0, &NotFoundError{What: "type", Name: typeName}
	}
	return size, nil
}

func (im *Image) findPrototype(function string) (prototype, error) {
	spec, err := im.spec()
	if err != nil {
		return prototype{}, err
	}
	for _, name := range []string{function, stripSuffix(function)} {
		all, err := spec.AnyTypesByName(name)
		if err != nil && !errors.Is(err, btf.ErrNotFound) {
			return prototype{}, fmt.Errorf("parameters of %s: %w", function, err)
		}
		for _, t := range all {
			f, ok := t.(*btf.Func)
			if !ok {
				continue
			}
			proto, ok := f.Type.(*btf.FuncProto)
			if !ok {
				continue
			}
			params := make([]Param, len(proto.Params))
			for i, p := range proto.Params {
				d := describe(p.Type)
				params[i] = Param{p.Name, d.Type, d.Struct, d.Pointer, d.Size, d.Signed}
			}
			return prototype{params, spell(proto.Return)}, nil
		}
	}
	return prototype{}, &NotFoundError{What: "prototype in BTF of function", Name: function}
}
