package debuginfo

import (
	"debug/dwarf"
	"fmt"
	"strings"

	"github.com/go-delve/delve/pkg/dwarf/godwarf"
)

// ctype has the properties of a C type that are needed to show a value. It does not
// follow members, unlike packages that read complete types: from task_struct they
// would read half the kernel's types.
type ctype struct {
	name     string // C spelling
	size     int    // bytes, 0 if unknown
	tag      dwarf.Tag
	encoding int64
	inner    *ctype       // the target of a pointer
	off      dwarf.Offset // of the entry without qualifiers and typedefs
	label    string       // tag of a struct, union or enum
}

// Encodings of base types: DWARF version 5, section 7.8.
const (
	encBoolean      = 0x02
	encFloat        = 0x04
	encSigned       = 0x05
	encSignedChar   = 0x06
	encUnsignedChar = 0x08
)

func (t ctype) signed() bool {
	return t.tag == dwarf.TagBaseType && (t.encoding == encSigned || t.encoding == encSignedChar)
}

func (t ctype) pointer() bool { return t.tag == dwarf.TagPointerType }

// scalar reports whether values of the type are numbers.
func (t ctype) scalar() bool {
	switch t.tag {
	case dwarf.TagBaseType:
		return t.encoding != encFloat && t.size <= 8
	case dwarf.TagPointerType, dwarf.TagEnumerationType:
		return t.size <= 8
	}
	return false
}

// structName returns the tag of the structure that it is or points to.
func (t ctype) structName() string {
	if t.pointer() && t.inner != nil {
		t = *t.inner
	}
	if t.tag == dwarf.TagStructType {
		return t.label
	}
	return ""
}

// typeOf returns the type of a variable.
func (u *unit) typeOf(v godwarf.Entry) ctype {
	off, ok := v.Val(dwarf.AttrType).(dwarf.Offset)
	if !ok {
		return ctype{name: "void"}
	}
	t := u.ctype(off, "", 0)
	t.name = strings.ReplaceAll(strings.TrimSpace(t.name), "* *", "**")
	return t
}

// deepest limits the nesting of types.
const deepest = 24

// ctype reads the type at off, for a declaration with this declarator.
func (u *unit) ctype(off dwarf.Offset, declarator string, depth int) ctype {
	rd := u.data.Reader()
	rd.Seek(off)
	e, err := rd.Next()
	if err != nil || e == nil || depth > deepest {
		return ctype{name: "?"}
	}
	name, _ := e.Val(dwarf.AttrName).(string)
	size, _ := e.Val(dwarf.AttrByteSize).(int64)
	enc, _ := e.Val(dwarf.AttrEncoding).(int64)
	next, hasNext := e.Val(dwarf.AttrType).(dwarf.Offset)
	spelled := func(s string) string { return strings.TrimSpace(s + " " + declarator) }
	of := func(declarator string) ctype {
		if !hasNext {
			return ctype{name: strings.TrimSpace("void " + declarator)}
		}
		return u.ctype(next, declarator, depth+1)
	}
	plain := ctype{size: int(size), tag: e.Tag, encoding: enc, off: off, label: name}
	switch e.Tag {
	case dwarf.TagPointerType:
		inner := of("")
		star := "*" + declarator
		if inner.tag == dwarf.TagArrayType || inner.tag == dwarf.TagSubroutineType {
			star = "(" + star + ")"
		}
		plain.name, plain.inner = of(star).name, &inner
		if plain.size == 0 {
			plain.size = 8
		}
		return plain
	case dwarf.TagArrayType:
		n := u.elements(rd, e)
		t := of(fmt.Sprintf("%s[%d]", declarator, n))
		plain.name, plain.size = t.name, t.size*n
		return plain
	case dwarf.TagSubroutineType:
		var params []string
		for e.Children {
			p, err := rd.Next()
			if err != nil || p == nil || p.Tag == 0 || len(params) > deepest {
				break
			}
			if p.Tag == dwarf.TagFormalParameter {
				params = append(params, u.typeOf(p).name)
			}
		}
		if params == nil {
			params = []string{"void"}
		}
		plain.name = of(declarator + "(" + strings.Join(params, ", ") + ")").name
		return plain
	case dwarf.TagTypedef:
		t := of("")
		t.name = spelled(name)
		return t
	case dwarf.TagConstType, dwarf.TagVolatileType, dwarf.TagRestrictType, dwarf.TagAtomicType:
		word := map[dwarf.Tag]string{dwarf.TagConstType: "const", dwarf.TagVolatileType: "volatile", dwarf.TagRestrictType: "restrict", dwarf.TagAtomicType: "_Atomic"}[e.Tag]
		t := of(declarator)
		if t.tag == dwarf.TagPointerType {
			return of(" " + word + " " + declarator)
		}
		t.name = word + " " + t.name
		return t
	}
	words := map[dwarf.Tag]string{dwarf.TagStructType: "struct ", dwarf.TagUnionType: "union ", dwarf.TagEnumerationType: "enum "}
	if w, ok := words[e.Tag]; ok && name == "" {
		name = "{…}"
		plain.name = spelled(w + name)
	} else {
		plain.name = spelled(w + name)
	}
	return plain
}

// elements returns the number of elements of an array, 0 if the array has no bound.
func (u *unit) elements(rd *dwarf.Reader, array *dwarf.Entry) int {
	n := 1
	for array.Children {
		e, err := rd.Next()
		if err != nil || e == nil || e.Tag == 0 {
			break
		}
		count, ok := e.Val(dwarf.AttrCount).(int64)
		if upper, isUpper := e.Val(dwarf.AttrUpperBound).(int64); isUpper && !ok {
			count = upper + 1
		}
		if count < 0 || count > 1<<30 || n > 1<<30 {
			return 0
		}
		n *= int(count)
	}
	return n
}

// enumerator returns the name of a value of an enumeration, "" if it has none.
func (u *unit) enumerator(t ctype, v int64) string {
	rd := u.data.Reader()
	rd.Seek(t.off)
	e, err := rd.Next()
	if err != nil || e == nil || !e.Children {
		return ""
	}
	for {
		e, err := rd.Next()
		if err != nil || e == nil || e.Tag == 0 {
			return ""
		}
		if c, ok := e.Val(dwarf.AttrConstValue).(int64); ok && c == v {
			name, _ := e.Val(dwarf.AttrName).(string)
			return name
		}
	}
}

// text formats a number as gdb prints a value of the type.
func (u *unit) text(t ctype, v uint64) string {
	shift := 0
	if t.size > 0 && t.size < 8 {
		shift = 64 - 8*t.size
	}
	unsigned, signed := v<<shift>>shift, int64(v<<shift)>>shift
	switch {
	case t.pointer():
		return fmt.Sprintf("%#x", unsigned)
	case t.tag == dwarf.TagEnumerationType:
		for _, try := range []int64{signed, int64(unsigned)} {
			if name := u.enumerator(t, try); name != "" {
				return name
			}
		}
		return fmt.Sprint(signed)
	case t.encoding == encBoolean && unsigned <= 1:
		return fmt.Sprint(unsigned == 1)
	case t.encoding == encSignedChar, t.encoding == encUnsignedChar:
		s := fmt.Sprint(unsigned)
		if t.encoding == encSignedChar {
			s = fmt.Sprint(signed)
		}
		if unsigned >= ' ' && unsigned < 0x7f {
			s += fmt.Sprintf(" '%c'", rune(unsigned))
		}
		return s
	case t.signed():
		return fmt.Sprint(signed)
	}
	return fmt.Sprint(unsigned)
}
