package kernel

import (
	"cmp"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Symbol is one entry of kallsyms.
type Symbol struct {
	Name string
	Addr uint64 // link address; per-CPU symbols of x86_64 may be offsets
	Type byte   // the letter /proc/kallsyms shows: upper case is global
}

// IsText reports whether the symbol is code. Weak symbols are: weak data has its own
// letter.
func (s Symbol) IsText() bool { return isText(s.Type) }

func isText(letter byte) bool { return strings.IndexByte("tTwW", letter) >= 0 }

// Symbols is the kernel's symbol table. It is safe for concurrent use.
type Symbols struct {
	names  string   // all names, one after another
	ends   []uint32 // where each name ends
	types  []byte
	addrs  []uint64
	layout string // the name of the kallsyms layout

	nameOnce sync.Once
	byName   []int32 // symbol indices by name, then in table order

	addrOnce sync.Once
	sorted   []int32 // symbol indices by address, then by rank

	startOnce sync.Once
	starts    []uint64
}

// Len returns the number of symbols.
func (s *Symbols) Len() int { return len(s.ends) }

func (s *Symbols) name(i int) string {
	start := uint32(0)
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.names[start:s.ends[i]]
}

func (s *Symbols) symbol(i int) Symbol {
	return Symbol{Name: s.name(i), Addr: s.addrs[i], Type: s.types[i]}
}

// All yields every symbol in the table's order, which is by address.
func (s *Symbols) All() iter.Seq[Symbol] {
	return func(yield func(Symbol) bool) {
		for i := range s.Len() {
			if !yield(s.symbol(i)) {
				return
			}
		}
	}
}

// Named returns the symbols with exactly this name, in table order.
func (s *Symbols) Named(name string) []Symbol {
	var found []Symbol
	for sym := range s.from(name) {
		if sym.Name != name {
			break
		}
		found = append(found, sym)
	}
	return found
}

// from yields the symbols with this name and later ones, in the order of names.
func (s *Symbols) from(name string) iter.Seq[Symbol] {
	s.nameOnce.Do(s.indexNames)
	first, _ := slices.BinarySearchFunc(s.byName, name, func(i int32, name string) int { return strings.Compare(s.name(int(i)), name) })
	return func(yield func(Symbol) bool) {
		for _, i := range s.byName[first:] {
			if !yield(s.symbol(int(i))) {
				return
			}
		}
	}
}

func (s *Symbols) indexNames() {
	s.byName = s.indices()
	slices.SortFunc(s.byName, func(a, b int32) int {
		return cmp.Or(strings.Compare(s.name(int(a)), s.name(int(b))), cmp.Compare(a, b))
	})
}

// indices returns the indices of all symbols, in table order.
func (s *Symbols) indices() []int32 {
	all := make([]int32, s.Len())
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// Lookup returns the symbol with a name. The error is an *AmbiguousError if there are
// several, a *NotFoundError if there is none.
func (s *Symbols) Lookup(name string) (Symbol, error) {
	found := s.Named(name)
	switch len(found) {
	case 0:
		return Symbol{}, &NotFoundError{What: "symbol", Name: name, LookAlikes: s.lookAlikes(name, 6)}
	case 1:
		return found[0], nil
	}
	return Symbol{}, &AmbiguousError{Name: name, Symbols: found}
}

// addrsOf returns the addresses of all symbols with these names.
func (s *Symbols) addrsOf(names ...string) map[uint64]bool {
	addrs := make(map[uint64]bool)
	for _, name := range names {
		for _, sym := range s.Named(name) {
			addrs[sym.Addr] = true
		}
	}
	return addrs
}

// lookAlikes returns up to n names that contain name, the shortest first.
func (s *Symbols) lookAlikes(name string, n int) []string {
	if len(name) < 3 {
		return nil
	}
	var found []string
	for i := range s.Len() {
		if have := s.name(i); strings.Contains(have, name) && !strings.HasPrefix(have, "__pfx_") {
			found = append(found, have)
		}
	}
	slices.SortFunc(found, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	found = slices.Compact(found)
	return found[:min(n, len(found))]
}

// kernelHalf is the lowest kernel address. Lower addresses are the offsets of
// x86_64's per-CPU symbols.
const kernelHalf = 1 << 63

// At returns the symbol that contains an address, and the offset into it. Of
// several symbols at one address it prefers a global function. It
// reports false outside the kernel, such as in a module.
func (s *Symbols) At(addr uint64) (Symbol, uint64, bool) {
	s.addrOnce.Do(s.indexAddrs)
	i := sort.Search(len(s.sorted), func(i int) bool { return s.addrs[s.sorted[i]] > addr })
	if i == 0 {
		return Symbol{}, 0, false
	}
	sym := s.symbol(int(s.sorted[i-1]))
	if sym.Addr != addr {
		if i == len(s.sorted) {
			return Symbol{}, 0, false // past _end
		}
		if next := s.addrs[s.sorted[i]]; sym.Addr < kernelHalf && next >= kernelHalf {
			return Symbol{}, 0, false // between the per-CPU area and the kernel
		}
	}
	return sym, addr - sym.Addr, true
}

// Extent returns the number of bytes from a symbol's address to the next symbol, the
// size that the kernel prints after "symbol+offset/". It is 0 for the last symbol.
func (s *Symbols) Extent(addr uint64) uint64 {
	s.addrOnce.Do(s.indexAddrs)
	i := sort.Search(len(s.sorted), func(i int) bool { return s.addrs[s.sorted[i]] > addr })
	if i == len(s.sorted) {
		return 0
	}
	return s.addrs[s.sorted[i]] - addr
}

func (s *Symbols) indexAddrs() {
	s.sorted = s.indices()
	slices.SortStableFunc(s.sorted, func(a, b int32) int {
		return cmp.Or(cmp.Compare(s.addrs[a], s.addrs[b]), cmp.Compare(s.rank(int(a)), s.rank(int(b))))
	})
}

// rank orders the symbols at one address. At prefers the highest.
func (s *Symbols) rank(i int) int {
	name, sym := s.name(i), s.types[i]
	r := 0
	if sym == 'T' || sym == 't' {
		r += 8
	}
	if sym >= 'A' && sym <= 'Z' && sym != 'W' {
		r += 4
	}
	if !strings.HasPrefix(name, "__pfx_") && !strings.HasPrefix(name, "__cfi_") {
		r += 16
	}
	if !isBoundary(name) {
		r += 32
	}
	return r
}

// isBoundary reports whether name is a mark of the linker script, which shares an
// address with a function or variable.
func isBoundary(name string) bool {
	switch name {
	case "_text", "_stext", "_etext", "_sinittext", "_einittext", "_end", "_start", "_sdata", "_edata":
		return true
	}
	return strings.HasSuffix(name, "_start") && strings.HasPrefix(name, "__") ||
		strings.HasSuffix(name, "_end") && strings.HasPrefix(name, "__") ||
		strings.HasPrefix(name, "__start_") || strings.HasPrefix(name, "__stop_") ||
		strings.HasPrefix(name, "__end_")
}
