package contradiction

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/trace"
)

// stop checks a stop: what it says by itself first, then what it says beside the rest.
func (c *checker) stop(e *trace.Event) {
	p, ok := c.points[e.Point]
	if !ok {
		p, ok = c.instead[e.Point]
	}
	switch {
	case !ok:
		c.wrong("point", "the header has no such point")
	case p.Missing != "":
		c.wrong("point", "this kernel does not have it: %s", p.Missing)
	case e.Task == nil:
		c.wrong("task", "no task ran")
	case e.ByOther && e.Aside == "":
		c.wrong("by_other", "the stop is a step of the lab")
	case e.CPU < 0 || e.CPU >= c.header.Machine.CPUs:
		c.wrong("cpu", "the machine has %d processors", c.header.Machine.CPUs)
	}
	if c.err != nil {
		return
	}
	for _, check := range []func(*trace.Event, trace.Point){
		c.place, c.kept, c.current, c.arguments, c.values, c.members, c.frames, c.identities,
		c.roleHolds, c.images, c.life, c.births, c.planHolds, c.arming,
	} {
		if check(e, p); c.err != nil {
			return
		}
	}
}

// place checks where the guest stopped.
func (c *checker) place(e *trace.Event, p trace.Point) {
	pc := c.arch.Registers.PC
	switch {
	case p.Address != 0 && e.Address != p.Address:
		c.wrong("address", "%s is not where the header has the point, %s", e.Address, p.Address)
	case p.Address != 0 && e.Symbol != p.Symbol:
		c.wrong("symbol", "%q is not what the header has the point as, %q", e.Symbol, p.Symbol)
	case !kernelHalf(e.Address):
		c.wrong("address", "%s is not in the kernel", e.Address)
	case e.Registers[pc] != e.Address:
		c.wrong("registers."+pc, "%s is not the address of the stop, %s", e.Registers[pc], e.Address)
	}
}

// kept checks that each stop has the same registers, and a parent or none.
func (c *checker) kept(e *trace.Event, _ trace.Point) {
	if c.registers == nil {
		c.registers = sorted(e.Registers)
	}
	for _, name := range c.registers {
		if _, ok := e.Registers[name]; !ok {
			c.wrong("registers."+name, "the stops before it have this register")
		}
	}
	if len(e.Registers) > len(c.registers) {
		c.wrong("registers", "%d, and the stops before it have %d", len(e.Registers), len(c.registers))
	}
	if e.Aside != "" {
		if e.Parent != nil {
			c.wrong("parent", "it is not read at a stop that is no step of the lab")
		}
		return
	}
	alike := func(field string, all **bool, has bool) {
		if *all == nil {
			*all = &has
		}
		if **all != has {
			c.wrong(field, "some steps of the lab have it and some do not")
		}
	}
	alike("parent", &c.parents, e.Parent != nil)
	alike("stack", &c.stacks, len(e.Stack) > 0)
}

// current checks the task against the register that holds it, where one does. Other
// kernels have it in memory.
func (c *checker) current(e *trace.Event, _ trace.Point) {
	if at := c.arch.Current; len(at.PerCPU) == 0 {
		if v, ok := e.Registers[at.Kernel]; ok && v != 0 && v != e.Task.Address {
			c.wrong("task.address", "%s is not the task in %s, %s", e.Task.Address, at.Kernel, v)
		}
	}
}

// arguments checks the arguments of a function against the registers that carry them.
func (c *checker) arguments(e *trace.Event, p trace.Point) {
	if p.Address == 0 || p.Inlined != "" {
		return
	}
	registers := c.arch.Registers.Args
	if c.syscall(p) {
		registers = c.arch.Syscall.Args
	}
	if len(e.Args) > len(registers) {
		c.wrong("args", "%d arguments do not have room in %d registers", len(e.Args), len(registers))
		return
	}
	seen := map[string]bool{}
	for i, a := range e.Args {
		field := fmt.Sprintf("args[%d].", i)
		variadic := i == len(e.Args)-1 // its last parameter, "...", has neither name nor type
		if (a.Name == "" || a.Type == "") && !variadic || seen[a.Name] {
			c.wrong(field+"name", "an argument without a name or a type of its own")
		}
		seen[a.Name] = true
		v, ok := e.Registers[registers[i]]
		if c.syscall(p) || !ok {
			v = a.Value
		}
		if !carries(v, a) {
			c.wrong(field+"value", "%s of type %s is not what %s holds, %s", a.Value, a.Type, registers[i], v)
		}
	}
	for _, q := range slices.Backward(c.past) {
		if q.Kind == trace.KindStop && q.Address == e.Address {
			if len(q.Args) != len(e.Args) {
				c.wrong("args", "%d arguments, and another stop there has %d", len(e.Args), len(q.Args))
				return
			}
			for i, a := range e.Args {
				if b := q.Args[i]; a.Name != b.Name || a.Type != b.Type {
					c.wrong(fmt.Sprintf("args[%d].name", i), "%s %s, and another stop there has %s %s", a.Type, a.Name, b.Type, b.Name)
				}
			}
			break
		}
	}
}

// syscall reports whether a point is a system call's entry whose only argument is
// struct pt_regs.
func (c *checker) syscall(p trace.Point) bool {
	return p.Address != 0 && strings.HasPrefix(p.Symbol, c.arch.Syscall.Prefix+"sys_")
}

// carries reports whether an argument is what a register holds: the bits above its
// width are not defined.
func carries(register trace.Word, a trace.Arg) bool {
	bits, signed := width(a.Type)
	if bits == 64 {
		return a.Value == register
	}
	if bits != 0 {
		return a.Value == cut(register, bits, signed)
	}
	if a.Value == register {
		return true
	}
	for _, bits := range []int{8, 16, 32} {
		if a.Value == cut(register, bits, false) || a.Value == cut(register, bits, true) {
			return true
		}
	}
	return false
}

// cut returns the lower bits of a register, extended by zeros or by their sign.
func cut(v trace.Word, bits int, signed bool) trace.Word {
	shift := 64 - bits
	if signed {
		return trace.Word(int64(v<<shift) >> shift)
	}
	return v << shift >> shift
}

// width returns the width of a C type and its sign; 0 bits is not known.
func width(typ string) (bits int, signed bool) {
	if strings.HasSuffix(typ, "*") || strings.Contains(typ, "(*)(") {
		return 64, false
	}
	switch typ {
	case "long unsigned int", "unsigned long", "long int", "long", "long long unsigned int", "long long int", "size_t", "u64", "s64":
		return 64, false
	case "int", "pid_t", "s32":
		return 32, true
	case "unsigned int", "u32":
		return 32, false
	}
	return 0, false
}

// values checks the shape of what was read at a stop.
func (c *checker) values(e *trace.Event, _ trace.Point) {
	names := map[string]int{}
	for name := range e.Reads {
		names[name]++
	}
	for name := range e.Texts {
		names[name]++
	}
	for name, why := range e.Unread {
		if names[name]++; why == "" {
			c.wrong("unread."+name, "it does not say why")
		}
	}
	for _, name := range sorted(names) {
		if names[name] > 1 {
			c.wrong("reads."+name, "it has two values")
		}
	}
	if e.Aside == "" {
		for _, q := range c.past {
			if q.Point != e.Point || q.Aside != "" {
				continue
			}
			for _, name := range sorted(names) {
				if !has(q, name) {
					c.wrong("reads."+name, "event %d at this point does not have it", q.Seq)
				}
			}
			if n := len(q.Reads) + len(q.Texts) + len(q.Unread); n != len(names) {
				c.wrong("reads", "%d values, and event %d at this point has %d", len(names), q.Seq, n)
			}
			break
		}
		return
	}
	empty := map[string]bool{
		"reads": len(names) == 0, "finds": len(e.Finds) == 0, "arms": len(e.Arms) == 0, "disarms": len(e.Disarms) == 0,
		"stack": len(e.Stack) == 0, "stacks": len(e.Stacks) == 0, "role": e.Role == "", "round": e.Round == 0,
	}
	for _, field := range sorted(empty) {
		if !empty[field] {
			c.wrong(field, "the stop is no step of the lab: %s", e.Aside)
		}
	}
}

// has reports whether a value of that name was read at a stop, or could not be.
func has(e moment, name string) bool {
	_, number := e.Reads[name]
	_, text := e.Texts[name]
	_, not := e.Unread[name]
	return number || text || not
}

// members checks where this kernel keeps the members that were read.
func (c *checker) members(e *trace.Event, _ trace.Point) {
	if c.fields == nil {
		c.fields = map[string]trace.Field{}
	}
	for _, path := range sorted(e.Fields) {
		f, field := e.Fields[path], "fields."+path
		structure, _, ok := strings.Cut(path, ".")
		switch {
		case !ok:
			c.wrong(field, "no member of a structure")
		case f.Offset < 0 || f.Size <= 0 || f.Type == "":
			c.wrong(field, "%d bytes at %d of type %q are no member", f.Size, f.Offset, f.Type)
		case structure == "pt_regs" && f.Offset+f.Size > c.header.Sizes["pt_regs"]:
			c.wrong(field, "it lies beyond the structure's %d bytes", c.header.Sizes["pt_regs"])
		}
		if _, known := c.fields[path]; known {
			c.wrong(field, "an earlier stop has it")
		}
		bits, _ := width(f.Type)
		switch {
		case f.Bits < 0, bits != 0 && f.Bits > bits, f.Bits > 8*f.Size:
			c.wrong(field+".bits", "a member of type %s and %d bytes has no bit field of %d bits", f.Type, f.Size, f.Bits)
		case f.Bits == 0 && bits != 0 && f.Size != bits/8:
			c.wrong(field+".size", "%d bytes are not those of %s", f.Size, f.Type)
		}
		for other, g := range c.fields {
			// Members of a union may overlap; these are of none.
			if structure != "pt_regs" && !identity(path, other) || !strings.HasPrefix(other, structure+".") {
				continue
			}
			if f.Offset < g.Offset+g.Size && g.Offset < f.Offset+f.Size {
				c.wrong(field+".offset", "it overlaps %s", other)
			}
		}
		c.fields[path] = f
	}
}

// identity reports whether both members are of those that say who a task is.
func identity(a, b string) bool {
	who := []string{"task_struct.pid", "task_struct.tgid", "task_struct.comm"}
	return slices.Contains(who, a) && slices.Contains(who, b)
}

// index is a field of an element of a list.
func index(list string, i int, field string) string {
	return list + "[" + strconv.Itoa(i) + "]." + field
}
