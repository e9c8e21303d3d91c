package kerneltest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// MadeBase is the link address of a made kernel image, that of riscv64.
const MadeBase = 0xffffffff80000000

// madeText is the size of the code of a made image, in bytes.
const madeText = 0x8000

// MadeRelease is the release of a made kernel.
const MadeRelease = "9.8.7-made"

// Struct is a type of a made kernel.
type Struct struct {
	Name    string
	Size    int // bytes
	Members []Member
}

// Member is a signed number of Size bytes at Offset. With Count it is an array of
// numbers, with To a pointer to the struct To, and with In the struct In itself.
type Member struct {
	Name                string
	Offset, Size, Count int
	To, In              string
}

// types collects the types of a made kernel.
type types map[string]*btf.Struct

// named returns a struct by its name, and adds an empty one if there is none.
func (all types) named(name string) *btf.Struct {
	if all[name] == nil {
		all[name] = &btf.Struct{Name: name}
	}
	return all[name]
}

func number(size int) *btf.Int {
	return &btf.Int{Name: fmt.Sprintf("s%d", 8*size), Size: uint32(size), Encoding: btf.Signed}
}

// define sets the members of a struct.
func (all types) define(s Struct) {
	t := all.named(s.Name)
	t.Size = uint32(s.Size)
	for _, m := range s.Members {
		var of btf.Type
		switch {
		case m.To != "":
			of = &btf.Pointer{Target: all.named(m.To)}
		case m.In != "":
			of = all.named(m.In)
		case m.Count > 0:
			of = &btf.Array{Index: number(m.Size), Type: number(m.Size), Nelems: uint32(m.Count)}
		default:
			of = number(m.Size)
		}
		t.Members = append(t.Members, btf.Member{Name: m.Name, Type: of, Offset: btf.Bits(8 * m.Offset)})
	}
}

// function parses "name" or "name(TYPE PARAM, ...)", where TYPE is int, long or
// "struct S *". For a name alone proto is nil.
func (all types) function(declared string) (name string, proto *btf.Func, err error) {
	name, list, ok := strings.Cut(strings.TrimSuffix(declared, ")"), "(")
	if !ok {
		return name, nil, nil
	}
	call := &btf.FuncProto{Return: number(8)}
	for param := range strings.SplitSeq(list, ", ") {
		words := strings.Fields(strings.ReplaceAll(param, "*", "* "))
		p := btf.FuncParam{Name: words[len(words)-1]}
		switch {
		case len(words) == 2 && words[0] == "int":
			p.Type = number(4)
		case len(words) == 2 && words[0] == "long":
			p.Type = number(8)
		case len(words) == 4 && words[0] == "struct" && words[2] == "*":
			p.Type = &btf.Pointer{Target: all.named(words[1])}
		default:
			return "", nil, fmt.Errorf("make %s: the parameter %q is not an int, long or struct S *", name, param)
		}
		call.Params = append(call.Params, p)
	}
	return name, &btf.Func{Name: name, Type: call, Linkage: btf.GlobalFunc}, nil
}

// Made makes a small kernel image, a RISC-V Image with types in BTF and kallsyms as of
// 6.12. It has the named functions, of one nop each. A function may be declared with
// its parameters: "f(int fd, struct file *to)". Package kernel can read the image, but
// it cannot run.
func Made(functions []string, structs []Struct) ([]byte, error) {
	known := types{}
	var described []btf.Type
	for _, s := range structs {
		known.define(s)
		described = append(described, known.named(s.Name))
	}
	functions = slices.Clone(functions)
	for i, declared := range functions {
		name, proto, err := known.function(declared)
		if err != nil {
			return nil, err
		}
		if functions[i] = name; proto != nil {
			described = append(described, proto)
		}
	}
	builder, err := btf.NewBuilder(described, nil)
	if err != nil {
		return nil, fmt.Errorf("make types: %w", err)
	}
	spec, err := builder.Marshal(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make types: %w", err)
	}
	le := binary.LittleEndian
	image := make([]byte, madeText)
	copy(image, "MZ")
	copy(image[0x30:], "RISCV\x00\x00\x00RSC\x05")
	var names []string // with their types before them, by address
	var offsets []uint32
	add := func(at int, name string) {
		names, offsets = append(names, name), append(offsets, uint32(at))
	}
	add(0, "T_text")
	add(0x40, "T_stext")
	for len(functions) < 64 { // package kernel expects at least 64 symbols
		functions = append(functions, fmt.Sprintf("filler_%d", len(functions)))
	}
	for i, name := range functions {
		at := 0x100 + 16*i
		if at+16 > madeText {
			return nil, fmt.Errorf("make a kernel image: %d functions, at most %d fit", len(functions), (madeText-0x100)/16)
		}
		copy(image[at:], "\x13\x00\x00\x00") // nop
		add(at, "T"+name)
	}
	add(madeText, "T_etext")
	add(madeText, "Dlinux_banner")
	image = append(image, "Linux version "+MadeRelease+" (builder@host) #1 SMP\n\x00"...)
	align := func() {
		for len(image)%8 != 0 {
			image = append(image, 0)
		}
	}
	align()
	add(len(image), "D__start_BTF")
	image = append(image, spec...)
	add(len(image), "D__stop_BTF")
	add(0x4000000, "B_end")

	align()
	image = le.AppendUint32(image, uint32(len(names)))
	align()
	var markers []uint32
	var packed []byte
	for i, name := range names {
		if i%256 == 0 {
			markers = append(markers, uint32(len(packed)))
		}
		packed = append(append(packed, byte(len(name))), name...) // every character is a token
	}
	image = append(image, packed...)
	align()
	image, _ = binary.Append(image, le, markers)
	align()
	var index []uint16
	start := len(image)
	for c := range 256 {
		index = append(index, uint16(len(image)-start))
		if c > ' ' && c < 0x7f {
			image = append(image, byte(c))
		}
		image = append(image, 0)
	}
	align()
	image, _ = binary.Append(image, le, index)
	align()
	image, _ = binary.Append(image, le, offsets)
	align()
	image = le.AppendUint64(image, MadeBase)
	image = append(image, make([]byte, 3*len(names))...) // seqs of names
	le.PutUint64(image[0x10:], uint64(len(image)))
	return append(image, make([]byte, 64)...), nil
}
