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

// Resolved is the place of a logical point in one kernel.
type Resolved struct {
	Point  string
	Means  string // what happens there, in one line
	Symbol string
	Addr   uint64
	Why    string // why Symbol was chosen, in one sentence
	// Params are the function's parameters. When Syscall is set they are the
	// system call's, and their values are in Regs.
	Params  []Param
	Returns string // C spelling of the return type; empty when unknown
	// Syscall says that the function's only parameter is a struct pt_regs *, which
	// has the arguments.
	Syscall bool
	Regs    []string // members of struct pt_regs, one for each of Params
	StandIn bool     // not the point's function, but one that runs whenever it does
	Asm     bool     // assembly without parameters
	// Inlined says that Addr is the start of the function's code where it was inlined
	// into function In, according to a vmlinux. Image.Arguments reads its arguments.
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
			return nil, fmt.Errorf("points.yaml: point %q needs a name and a meaning", p.Point)
		case seen[p.Point]:
			return nil, fmt.Errorf("points.yaml: point %s is listed twice", p.Point)
		case len(p.Candidates) == 0:
			return nil, fmt.Errorf("points.yaml: point %s has no candidates", p.Point)
		}
		seen[p.Point] = true
		for _, c := range p.Candidates {
			known := c.Arch == "" || slices.Contains(arch.Names(), c.Arch)
			if c.Symbol == "" || !known {
				return nil, fmt.Errorf("points.yaml: point %s: candidate %q with arch %q needs a symbol, and a known arch or none", p.Point, c.Symbol, c.Arch)
			}
		}
	}
	return specs, nil
}

// pointTable returns the parsed points.yaml.
var pointTable = sync.OnceValues(func() ([]pointSpec, error) { return parsePoints(pointsYAML) })

// Points lists the known logical points, in the table's order.
func Points() []string {
	specs, err := pointTable()
	if err != nil {
		return nil // a test parses the table
	}
	names := make([]string, len(specs))
	for i, p := range specs {
		names[i] = p.Point
	}
	return names
}

// Resolve finds a logical point's place in this kernel. A name that the table lacks
// means the kernel function with that name, and sys_NAME the entry of a system call.
// If there is no place, the error is a *PointError. If the chosen candidate's name
// belongs to several functions, it is an *AmbiguousError.
//
// With a vmlinux, a function that is inlined at one place resolves to that place.
func (im *Image) Resolve(point string) (Resolved, error) { return im.ResolveFor(point, Needs{}) }

// Needs says what a lab needs at a place.
type Needs struct {
	Args   []string // arguments that it reads
	Called bool     // the place must be entered by a call, so that it returns
}

// ResolveFor is Resolve, but if a function is inlined at a place that does not meet
// needs, it tries the next candidate, such as a stand-in. So a lab can read the same
// with and without a vmlinux.
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
	var skipped string // why an inlined function was skipped
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
			skipped = cmp.Or(skipped, why)
			continue
		case 1:
			r, err := im.resolved(p, c, found[0], tried.Candidates)
			if skipped != "" && err == nil {
				r.Why += "; " + skipped
			}
			return r, err
		}
		return Resolved{}, fmt.Errorf("point %s: %w", point, &AmbiguousError{Name: c.Symbol, Symbols: found})
	}
	if len(tried.Candidates) == 0 { // all candidates are for other architectures
		for _, c := range p.Candidates {
			tried.Candidates = append(tried.Candidates, c.Symbol+" ("+c.Arch+" only)")
		}
	}
	tried.LookAlikes = im.Symbols.lookAlikes(strings.TrimPrefix(point, "sys_"), 6)
	return Resolved{}, tried
}

// unlisted returns a point that is not in the table: a system call, with the names
// that SYSCALL_DEFINE makes, or a function.
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

// String returns the release and architecture, such as "6.1.0 (x86_64)".
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
	// A kernel's types may lack a function's prototype. The place is valid, but has no
	// parameters.
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
	// A stand-in's reason already mentions the missing function.
	if n := len(tried) - 1; n > 0 && !c.StandIn {
		s += fmt.Sprintf("; this kernel has no %s", strings.Join(tried[:n], ", "))
	}
	return s
}

// syscallParams returns a system call's parameters: those of __do_sys_NAME, or
// else of __se_sys_NAME, or else the table's.
func (im *Image) syscallParams(p pointSpec) ([]Param, string, error) {
	for _, prefix := range []string{"__do_sys_", "__se_sys_"} {
		has, err := im.prototype(prefix + p.Syscall)
		if err != nil {
			continue
		}
		if len(has.Params) == 1 && has.Params[0].Struct == "pt_regs" || prefix == "__se_sys_" && len(p.Params) > 0 {
			continue // the parameters of __se_sys_ are all longs
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

// tableParam parses a C declaration of the table, such as "int *child_tidptr".
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
	case p.Type == "unsigned int":
		p.Size = 4
	default:
		return Param{}, fmt.Errorf("points.yaml: parameter %q has a type of unknown size", decl)
	}
	return p, nil
}

// compilerSuffix matches the suffixes that GCC's interprocedural passes append to
// functions that they changed.
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

// functions returns the text symbols with a name. If there are none, it returns those
// with the name and a compiler's suffix.
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

// nearestNames returns the n names most similar to name.
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
