package debuginfo

import (
	"debug/dwarf"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/go-delve/delve/pkg/dwarf/godwarf"
)

// Frame is a stack frame, as an unwinder found it.
type Frame struct {
	PC uint64
	// Exact says that PC is the next instruction. Otherwise it is a return address.
	Exact bool
	Regs  map[uint64]uint64 // the known registers, by DWARF's numbers
	CFA   uint64            // the caller's stack pointer, 0 if unknown
}

// lookup returns an address in the frame's function.
func (fr Frame) lookup() uint64 {
	if fr.Exact {
		return fr.PC
	}
	return fr.PC - 1
}

// Memory fills buf from the guest's memory at addr.
type Memory func(addr uint64, buf []byte) error

// Variable is an argument or a local of a function.
type Variable struct {
	Name, Type string // C spelling
	Arg        bool
	// Text is the value as gdb prints it, if it is a number, and otherwise its
	// address or first bytes. It is "" if there is no value.
	Text    string
	Missing string // why there is no value
	Value   uint64 // of a number, as wide as its type
	Number  bool
	Address uint64 // in memory, 0 in a register
}

// errOptimizedOut is the error of a variable that has no place at an address.
var errOptimizedOut = errors.New("optimized out")

// Variables returns the arguments and locals in frame n of a stack, separately for
// each function that Lookup returns. stack starts with the innermost frame. If the
// stack has the caller of frame n, its call site may have the values of arguments at
// the entry.
func (f *File) Variables(stack []Frame, n int, mem Memory) (_ [][]Variable, err error) {
	defer guard(f.Path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	f.mu.Lock()
	defer f.mu.Unlock()
	u, scopes, err := f.scopes(stack[n].lookup())
	if err != nil || len(scopes) == 0 {
		return nil, err
	}
	ev := evaluator{file: f, unit: u, function: scopes[len(scopes)-1], stack: stack[n:], mem: mem}
	var all [][]Variable
	for _, t := range scopes {
		vars := []Variable{}
		visible(t, ev.pc(), func(v *godwarf.Tree) { vars = append(vars, ev.variable(v)) })
		all = append(all, vars)
	}
	return all, nil
}

// visible calls found with the variables of a function that are in scope at pc,
// without those of functions inlined into it.
func visible(t *godwarf.Tree, pc uint64, found func(*godwarf.Tree)) {
	for _, c := range t.Children {
		switch c.Tag {
		case dwarf.TagFormalParameter, dwarf.TagVariable:
			if external, _ := c.Val(dwarf.AttrExternal).(bool); external {
				continue
			}
			if name, _ := c.Val(dwarf.AttrName).(string); name != "" {
				found(c)
			}
		case dwarf.TagLexDwarfBlock:
			own := c.Val(dwarf.AttrLowpc) != nil || c.Val(dwarf.AttrRanges) != nil
			if !own || c.ContainsPC(pc) {
				visible(c, pc, found)
			}
		}
	}
}

// variable evaluates a variable.
func (ev evaluator) variable(t *godwarf.Tree) (v Variable) {
	name, _ := t.Val(dwarf.AttrName).(string)
	v = Variable{Name: name, Arg: t.Tag == dwarf.TagFormalParameter}
	defer func() {
		if r := recover(); r != nil {
			v.Text, v.Missing = "", fmt.Sprintf("its debug information is damaged (%v)", r)
		}
	}()
	typ := ev.unit.typeOf(t)
	v.Type = typ.name
	place, err := ev.place(t)
	if err == nil {
		err = ev.show(&v, typ, place)
	}
	if err != nil {
		v.Text, v.Missing = "", err.Error()
	}
	return v
}

// place is the address of a value in memory, or the value itself.
type place struct {
	addr  uint64
	inMem bool
	bytes []byte
}

// show sets the value of v from a place.
func (ev evaluator) show(v *Variable, typ ctype, p place) error {
	if p.inMem {
		v.Address = p.addr
	}
	if !typ.scalar() {
		switch {
		case p.inMem:
			v.Text = fmt.Sprintf("{…} at %#x", p.addr)
		default:
			v.Text = fmt.Sprintf("{…} % x", p.bytes[:min(len(p.bytes), 16)])
		}
		return nil
	}
	data := p.bytes
	if p.inMem {
		data = make([]byte, typ.size)
		if err := ev.mem(p.addr, data); err != nil {
			return fmt.Errorf("read %d bytes at %#x: %w", typ.size, p.addr, err)
		}
	}
	word := make([]byte, 8)
	copy(word, data[:min(len(data), max(typ.size, 1))])
	v.Value, v.Number = le.Uint64(word), true
	v.Text = ev.unit.text(typ, v.Value)
	return nil
}
