package labs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/trace"
)

// GDBKernel is what gdbscripts.Helper has to know of a kernel, as its variable of
// that name; the helper describes the fields.
type GDBKernel struct {
	Roles     map[string]string              `json:"roles"`
	Show      []string                       `json:"show"`
	Current   GDBCurrent                     `json:"current"`
	Constants map[string]int                 `json:"constants"`
	Places    map[string]GDBPlace            `json:"places"`
	Types     map[string]map[string]GDBField `json:"types"`
}

// GDBCurrent says how the running task is found in kernel mode.
type GDBCurrent struct {
	Register string   `json:"register"`
	PerCPU   []string `json:"percpu"`
}

// GDBPlace is where a kernel has a point.
type GDBPlace struct {
	Symbol  string            `json:"symbol"`
	Address uint64            `json:"address"`
	Args    map[string]GDBArg `json:"args"`
}

// GDBArg is where an argument is when its function is entered: in a register or, with
// an offset, in the memory that the register points to.
type GDBArg struct {
	Register string `json:"register"`
	Offset   *int   `json:"offset"`
	Size     int    `json:"size"`
	Signed   bool   `json:"signed"`
	Struct   string `json:"struct"` // what it points to, "" for a number
}

// GDBField is a member of a structure.
type GDBField struct {
	Offset int    `json:"offset"`
	Size   int    `json:"size"`
	Signed bool   `json:"signed"`
	Struct string `json:"struct"`
	Kind   string `json:"kind"`
}

// GDBKernel returns what the helper needs of a kernel for this lab: the places of its
// points, and of the types those members that its expressions name. The error is that
// of kernel.Image.Resolve for a point that the kernel has to have and lacks.
func (l Lab) GDBKernel(im *kernel.Image) (GDBKernel, error) {
	a, err := arch.Lookup(im.Arch)
	if err != nil {
		return GDBKernel{}, err
	}
	k := NewGDBKernel(a)
	structs := []string{"task_struct"}
	var exprs []string
	for _, t := range l.tasks[a.Name] {
		exprs = append(exprs, t.When)
	}
	for _, p := range l.points[a.Name] {
		exprs = append(exprs, p.When)
		for _, n := range slices.Concat(p.Finds, conditionReads(p, l.points[a.Name])) {
			exprs = append(exprs, n.Expr)
		}
		if _, ok := k.Places[p.Place]; ok || p.Absent != "" || p.ReturnOf != "" {
			continue
		}
		// gdb knows the arguments of a function that is called, not of one inlined.
		r, err := im.ResolveFor(p.Place, kernel.Needs{Called: true})
		if none := (*kernel.PointError)(nil); p.Optional && errors.As(err, &none) {
			continue
		}
		if err != nil {
			return GDBKernel{}, fmt.Errorf("lab %s: %w", l.Name, err)
		}
		if k.Places[p.Place], err = gdbPlace(im, a, r); err != nil {
			return GDBKernel{}, fmt.Errorf("lab %s: point %s: %w", l.Name, p.Name, err)
		}
		for _, param := range r.Params {
			structs = append(structs, param.Struct)
		}
	}
	k.addTypes(im, append(structs, structNames(exprs...)...), append(words(exprs...), "pid"))
	return k, nil
}

// NewGDBKernel returns what is the same in every kernel of an architecture.
func NewGDBKernel(a arch.Arch) GDBKernel {
	k := GDBKernel{
		Roles: a.Registers.Roles(), Constants: trace.Constants(),
		Current: GDBCurrent{Register: a.Current.Kernel, PerCPU: append([]string{}, a.Current.PerCPU...)},
		Places:  map[string]GDBPlace{}, Types: map[string]map[string]GDBField{},
	}
	r := a.Registers
	for _, name := range append([]string{r.SP, r.Link}, append(slices.Clone(r.Args[:3]), r.Return)...) {
		if name != "" && !slices.Contains(k.Show, name) {
			k.Show = append(k.Show, name)
		}
	}
	return k
}

// gdbPlace returns a point's place, with its arguments as the kernel's types have them.
func gdbPlace(im *kernel.Image, a arch.Arch, r kernel.Resolved) (GDBPlace, error) {
	place := GDBPlace{Symbol: r.Symbol, Address: r.Addr, Args: map[string]GDBArg{}}
	for i, param := range r.Params {
		arg := GDBArg{Size: param.Size, Signed: param.Signed}
		if param.Pointer {
			arg.Struct = param.Struct
		}
		switch {
		case r.Syscall && i < len(r.Regs):
			f, err := im.Field("pt_regs", r.Regs[i])
			if err != nil {
				return GDBPlace{}, err
			}
			arg.Register, arg.Offset = a.Registers.Args[0], &f.Offset
		case !r.Syscall && i < len(a.Registers.Args):
			arg.Register = a.Registers.Args[i]
		default:
			continue // on the stack
		}
		place.Args[param.Name] = arg
	}
	return place, nil
}

// addTypes adds the members of those names that structures have, and likewise of the
// structures that these members are or point to. What a kernel lacks is not in the
// map, and the helper refuses an expression that needs it.
func (k GDBKernel) addTypes(im *kernel.Image, structs, named []string) {
	for len(structs) > 0 {
		name := structs[0]
		structs = structs[1:]
		if _, ok := k.Types[name]; ok || name == "" {
			continue
		}
		k.Types[name] = map[string]GDBField{}
		for _, member := range named {
			f, err := im.Field(name, member)
			if err != nil || f.BitSize > 0 {
				continue
			}
			field := GDBField{Offset: f.Offset, Size: f.Size, Signed: f.Signed, Struct: f.Struct, Kind: "number"}
			switch {
			case f.Count > 0 && strings.HasPrefix(f.Type, "char["):
				field.Kind = "text"
			case f.Count > 0 || !f.Pointer && f.Struct != "":
				field.Kind = "inside"
			}
			k.Types[name][member] = field
			structs = append(structs, f.Struct)
		}
	}
}

// words returns the names in expressions, those of structures in quotes included.
func words(exprs ...string) []string {
	return nameInExpr.FindAllString(strings.Join(exprs, " "), -1)
}

var nameInExpr = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// structNames returns the structures that as(X, "STRUCT") names in expressions.
func structNames(exprs ...string) []string {
	var out []string
	for _, m := range quotedName.FindAllStringSubmatch(strings.Join(exprs, " "), -1) {
		out = append(out, m[1])
	}
	return out
}

var quotedName = regexp.MustCompile(`["']([A-Za-z_][A-Za-z0-9_]*)["']`)
