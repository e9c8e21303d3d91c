package debuginfo

import (
	"debug/dwarf"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/go-delve/delve/pkg/dwarf/godwarf"
)

// Frame is a function's activation on a stack, as an unwinder found it.
type Frame struct {
	PC uint64
	// Exact says that PC is the next instruction; else it is a return address.
	Exact bool
	Regs  map[uint64]uint64 // what is known, by DWARF's numbers
	CFA   uint64            // the stack pointer in the caller; 0 when not known
}

// lookup is an address in the function the frame is of.
func (fr Frame) lookup() uint64 {
	if fr.Exact {
		return fr.PC
	}
	return fr.PC - 1
}

// Memory reads the guest's memory.
type Memory func(addr uint64, buf []byte) error

// Variable is an argument or a local of a function.
type Variable struct {
	Name, Type string // C spelling
	Arg        bool
	// Text is the value as gdb shows it, or for what is no number where it
	// lies; "" when Missing says why there is none.
	Text    string
	Missing string
	Value   uint64 // of a number, as wide as its type
	Number  bool
	Address uint64 // where it lies in memory, 0 in a register
}

// errOptimizedOut is of a variable that has no place at an address.
var errOptimizedOut = errors.New("optimized out")

// Variables returns the arguments and locals in frame n of a stack, those of
// each function in turn: the functions are what Lookup returns. stack is from
// the innermost frame outwards; the caller of frame n, when it is there, gives
// the values that arguments had at the entry.
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
// those of functions inlined into it left out.
func visible(t *godwarf.Tree, pc uint64, found func(*godwarf.Tree)) {
	for _, c := range t.Children {
		switch c.Tag {
		case dwarf.TagFormalParameter, dwarf.TagVariable:
			// What is declared here and lives elsewhere is no local.
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

// variable evaluates one.
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

// place is where a value is: in memory, or known as it is.
type place struct {
	addr   uint64
	inMem  bool
	bytes  []byte
	pieces bool // put together of several places
}

// show fills in the value at a place.
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
			return fmt.Errorf("%d bytes at %#x can not be read: %w", typ.size, p.addr, err)
		}
	}
	word := make([]byte, 8)
	copy(word, data[:min(len(data), max(typ.size, 1))])
	v.Value, v.Number = le.Uint64(word), true
	v.Text = ev.unit.text(typ, v.Value)
	return nil
}
