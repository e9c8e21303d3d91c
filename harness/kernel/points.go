package kernel

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"kernellab/harness/arch"
	"kernellab/internal/nearest"
)

//go:embed points.yaml
var pointsYAML []byte

// Resolved is a logical point's place in one kernel.
type Resolved struct {
	Point  string
	Means  string // what happens there, one line
	Symbol string
	Addr   uint64
	Why    string // one sentence: which candidate it is and why
	// Params are the function's parameters. When Syscall is set they are the
	// system call's, and their values are in Regs.
	Params  []Param
	Returns string // C spelling of what it returns; empty when unknown
	// Syscall says that the first parameter is a struct pt_regs * and the
	// arguments are in its members.
	Syscall bool
	Regs    []string // members of struct pt_regs, one for each of Params
	StandIn bool     // not the function named, but called whenever it runs
	Asm     bool     // assembly without parameters
	// Inlined says that Addr is where the function's code begins within In, which
	// it was inlined into: known from a vmlinux. Its arguments are where
	// Image.Arguments finds them.
	Inlined bool
	In      string
}

type pointSpec struct {
	Point      string              `yaml:"point"`
	Means      string              `yaml:"means"`
	Candidates []candidate         `yaml:"candidates"`
	Syscall    string              `yaml:"syscall"`
	Params     map[string][]string `yaml:"params"`
}

type candidate struct {
	Symbol  string `yaml:"symbol"`
	Arch    string `yaml:"arch"`
	Why     string `yaml:"why"`
	Regs    bool   `yaml:"regs"`
	Asm     bool   `yaml:"asm"`
	StandIn bool   `yaml:"stand_in"`
}

func parsePoints(data []byte) ([]pointSpec, error) {
	var specs []pointSpec
	if err := yaml.UnmarshalWithOptions(data, &specs, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("points.yaml: %w", err)
	}
	seen := make(map[string]bool)
	for _, p := range specs {
		switch {
		case p.Point == "" || p.Means == "":
			return nil, fmt.Errorf("points.yaml: point %q needs a name and what it means", p.Point)
		case seen[p.Point]:
			return nil, fmt.Errorf("points.yaml: point %s is there twice", p.Point)
		case len(p.Candidates) == 0:
			return nil, fmt.Errorf("points.yaml: point %s has no candidates", p.Point)
		}
		seen[p.Point] = true
		for _, c := range p.Candidates {
			known := c.Arch == "" || slices.Contains(arch.Names(), c.Arch)
			if c.Symbol == "" || !known {
				return nil, fmt.Errorf("points.yaml: point %s: candidate %q needs a symbol and, if any, a known arch, not %q", p.Point, c.Symbol, c.Arch)
			}
		}
	}
	return specs, nil
}

// pointTable is the table, read once: it never changes.
var pointTable = sync.OnceValues(func() ([]pointSpec, error) { return parsePoints(pointsYAML) })

// Points lists the known logical points, in the table's order.
func Points() []string {
	specs, err := pointTable()
	if err != nil {
		return nil // the package's tests parse the table
	}
	names := make([]string, len(specs))
	for i, p := range specs {
		names[i] = p.Point
	}
	return names
}

// Resolve finds a logical point's place in this kernel. A name that is not in the
// table is a function of the kernel that goes by that name; sys_NAME is the entry
// of a system call. The error is a
// *PointError when it has none, an *AmbiguousError when the chosen candidate's
// name belongs to several functions.
//
// With a vmlinux, a function that is inlined at one place resolves to that place.
func (im *Image) Resolve(point string) (Resolved, error) { return im.ResolveFor(point, Needs{}) }

// Needs are what a place has to have, for whoever stops there.
type Needs struct {
	Args   []string // arguments that are read
	Called bool     // it is entered by a call, so that it has a return
}

// ResolveFor is Resolve where an inlined function without what is needed is
// passed over for the next candidate, such as a stand-in. So what a lab reads is
// the same with a vmlinux and without.
func (im *Image) ResolveFor(point string, needs Needs) (Resolved, error) {
	im.resolveLock.Lock()
	defer im.resolveLock.Unlock()
	key := point
	if im.debug != nil {
		key = fmt.Sprintf("%s %q %t", point, needs.Args, needs.Called)
	}
	if r, ok := im.resolutions[key]; ok {
		return r, nil
	}
	r, err := im.resolve(point, needs)
	if err == nil {
		if im.resolutions == nil {
			im.resolutions = map[string]Resolved{}
		}
		im.resolutions[key] = r
	}
	return r, err
}

func (im *Image) resolve(point string, needs Needs) (Resolved, error) {
	specs, err := pointTable()
	if err != nil {
		return Resolved{}, err
	}
	i := slices.IndexFunc(specs, func(p pointSpec) bool { return p.Point == point })
	p := unlisted(point)
	if i >= 0 {
		p = specs[i]
	} else if !slices.ContainsFunc(p.Candidates, func(c candidate) bool { return len(im.Symbols.functions(c.Symbol)) > 0 || im.isInlined(c.Symbol) }) {
		return Resolved{}, &PointError{Point: point, Kernel: im.String(), LookAlikes: nearestNames(Points(), point, 4)}
	}
	tried := &PointError{Point: point, Kernel: im.String()}
	var passed string // why an inlined function was passed over
	for _, c := range p.Candidates {
		if c.Arch != "" && c.Arch != im.Arch {
			continue
		}
		tried.Candidates = append(tried.Candidates, c.Symbol)
		found := im.Symbols.functions(c.Symbol)
		switch len(found) {
		case 0:
			r, why, err := im.inlined(p, c, needs)
			if err != nil || r.Addr != 0 {
				return r, err
			}
			passed = cmp.Or(passed, why)
			continue
		case 1:
			r, err := im.resolved(p, c, found[0], tried.Candidates)
			if passed != "" && err == nil {
				r.Why += "; " + passed
			}
			return r, err
		}
		return Resolved{}, fmt.Errorf("point %s: %w", point, &AmbiguousError{Name: c.Symbol, Symbols: found})
	}
	if len(tried.Candidates) == 0 { // every candidate is another architecture's
		for _, c := range p.Candidates {
			tried.Candidates = append(tried.Candidates, c.Symbol+" ("+c.Arch+" only)")
		}
	}
	tried.LookAlikes = im.Symbols.lookAlikes(strings.TrimPrefix(point, "sys_"), 6)
	return Resolved{}, tried
}

// unlisted is a point that is not in the table: a system call by the names of
// SYSCALL_DEFINE, or a function by its own.
func unlisted(point string) pointSpec {
	p := pointSpec{Point: point, Candidates: []candidate{{Symbol: point}}}
	call, ok := strings.CutPrefix(point, "sys_")
	if !ok {
		return p
	}
	p.Syscall = call
	p.Candidates = nil
	for _, a := range arch.All() {
		p.Candidates = append(p.Candidates, candidate{Symbol: a.Syscall.Prefix + point, Arch: a.Name, Regs: true})
	}
	p.Candidates = append(p.Candidates, candidate{Symbol: "__se_" + point}, candidate{Symbol: point})
	return p
}

// String names the kernel the way errors and reports do.
func (im *Image) String() string { return im.Release + " (" + im.Arch + ")" }

func (im *Image) resolved(p pointSpec, c candidate, sym Symbol, tried []string) (Resolved, error) {
	r := Resolved{
		Point: p.Point, Means: p.Means, Symbol: sym.Name, Addr: sym.Addr,
		Why: why(p, c, sym, tried), Syscall: c.Regs, StandIn: c.StandIn, Asm: c.Asm,
	}
	var err error
	switch {
	case c.Asm:
	case p.Syscall != "":
		r.Params, r.Returns, err = im.syscallParams(p)
	default:
		var has prototype
		has, err = im.prototype(sym.Name)
		r.Params, r.Returns = has.Params, has.Returns
	}
	// A kernel may keep a function's prototype out of its types. The place is
	// right all the same; whoever needs a parameter finds none.
	var missing *NotFoundError
	if err != nil && !errors.As(err, &missing) && !errors.Is(err, ErrNoTypes) {
		return Resolved{}, fmt.Errorf("point %s: %w", p.Point, err)
	}
	if r.Syscall {
		a, err := arch.Lookup(im.Arch)
		if err != nil {
			return Resolved{}, fmt.Errorf("point %s: %w", p.Point, err)
		}
		n := min(len(r.Params), len(a.Syscall.Args))
		r.Regs = a.Syscall.Args[:n:n]
	}
	return r, nil
}

func why(p pointSpec, c candidate, sym Symbol, tried []string) string {
	var s string
	switch {
	case c.Why != "":
		s = c.Why
	case c.Symbol == p.Point:
		s = "the kernel has a function of that name"
	default:
		s = c.Symbol + " is what the kernel calls it"
	}
	if sym.Name != c.Symbol {
		s += fmt.Sprintf(", as the compiler's variant %s", sym.Name)
	}
	// A stand-in's reason speaks of the function itself.
	if n := len(tried) - 1; n > 0 && !c.StandIn {
		s += fmt.Sprintf("; this kernel has no %s", strings.Join(tried[:n], ", "))
	}
	return s
}

// syscallParams finds a system call's own parameters: those of __do_sys_NAME,
// else of __se_sys_NAME, else the table's.
func (im *Image) syscallParams(p pointSpec) ([]Param, string, error) {
	for _, prefix := range []string{"__do_sys_", "__se_sys_"} {
		has, err := im.prototype(prefix + p.Syscall)
		if err != nil {
			continue
		}
		if len(has.Params) == 1 && has.Params[0].Struct == "pt_regs" || prefix == "__se_sys_" && len(p.Params) > 0 {
			continue // __se_sys_ has longs for everything
		}
		return has.Params, has.Returns, nil
	}
	params := []Param{}
	for _, decl := range p.Params[im.Arch] {
		param, err := im.tableParam(decl)
		if err != nil {
			return nil, "", err
		}
		params = append(params, param)
	}
	return params, "long", nil
}

// tableParam reads a C declaration of the table, "int *child_tidptr".
func (im *Image) tableParam(decl string) (Param, error) {
	i := strings.LastIndexAny(decl, " *")
	if i < 0 {
		return Param{}, fmt.Errorf("points.yaml: parameter %q has no type", decl)
	}
	p := Param{Name: decl[i+1:], Type: strings.TrimSpace(decl[:i+1])}
	p.Pointer = strings.HasSuffix(p.Type, "*")
	words := strings.Fields(strings.TrimRight(p.Type, " *"))
	if j := slices.Index(words, "struct"); j >= 0 && j+1 < len(words) {
		p.Struct = words[j+1]
	}
	switch {
	case p.Pointer, strings.Contains(p.Type, "long"), p.Type == "size_t":
		p.Size = 8
	case p.Type == "int", p.Type == "pid_t":
		p.Size, p.Signed = 4, true
	default:
		return Param{}, fmt.Errorf("points.yaml: parameter %q has a type whose size is not known", decl)
	}
	return p, nil
}

// compilerSuffix matches what a compiler appends to a function that it changed
// but that is still the function: GCC's interprocedural passes.
const compilerSuffix = `(\.(isra|constprop|part)\.\d+)+$`

func stripSuffix(name string) string {
	i := strings.IndexByte(name, '.')
	if i <= 0 {
		return name
	}
	if ok, err := regexp.MatchString("^"+compilerSuffix, name[i:]); err != nil || !ok {
		return name
	}
	return name[:i]
}

// functions returns the text symbols of a name; when there is none, those of
// the name with a compiler's suffix.
func (s *Symbols) functions(name string) []Symbol {
	var found []Symbol
	for _, sym := range s.Named(name) {
		if sym.IsText() {
			found = append(found, sym)
		}
	}
	if len(found) > 0 {
		return found
	}
	for sym := range s.from(name + ".") {
		if !strings.HasPrefix(sym.Name, name+".") {
			break
		}
		if sym.IsText() && stripSuffix(sym.Name) == name {
			found = append(found, sym)
		}
	}
	return found
}

// nearestNames returns the n names most like the one asked for.
func nearestNames(names []string, name string, n int) []string {
	dist := make(map[string]int, len(names))
	for _, have := range names {
		dist[have] = nearest.Distance(have, name)
		if strings.Contains(have, name) || strings.Contains(name, have) {
			dist[have] = min(dist[have], 1)
		}
	}
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(dist[a], dist[b]) })
	return names[:min(n, len(names))]
}
