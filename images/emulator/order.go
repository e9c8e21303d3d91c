package emulator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"kernellab/images"
	"kernellab/internal/command"
)

// Most of the time that QEMU takes to start is the dynamic loader's, which looks
// each of some ten thousand symbols up in the program and then in one library
// after another, in the order in which they were named: the C library comes last
// of fifty. Libraries that are preloaded come first. So those in which most symbols
// are found are preloaded, which halves the time for that and changes nothing else.

// preloaded is how many libraries are. More gain nothing.
const preloaded = 8

// binding is a symbol that the dynamic loader has found.
type binding struct {
	from, to string // file names
	symbol   string // with its version
}

// bindingLine is what the loader of the GNU C library prints for LD_DEBUG=bindings.
var bindingLine = regexp.MustCompile("(?m)^ *[0-9]+:\tbinding file (.+) \\[[0-9]+\\] to (.+) \\[[0-9]+\\]: normal symbol (.+)$")

func parseBindings(out []byte) []binding {
	var all []binding
	for _, m := range bindingLine.FindAllSubmatch(out, -1) {
		all = append(all, binding{from: filepath.Base(string(m[1])), to: filepath.Base(string(m[2])), symbol: string(m[3])})
	}
	return all
}

// bindings returns the symbols that are looked up when a command starts; with every,
// also those that are usually looked up when they are first used.
func bindings(ctx context.Context, words []string, every bool) ([]binding, error) {
	env := slices.Concat(os.Environ(), frozenClock(), []string{"LD_DEBUG=bindings"})
	if every {
		env = append(env, "LD_BIND_NOW=1")
	}
	out, err := command.Command{Path: words[0], Args: append(words[1:], "--version"), Env: env}.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("see which libraries are used: %w", err)
	}
	return parseBindings(out), nil
}

// preloads returns what q should preload after clockLibrary. Every symbol
// is found where it was: a library that has one too which is in a preloaded library,
// as libm has a few of libc's, is preloaded before that one.
func preloads(ctx context.Context, q QEMU, programs []string) (string, error) {
	order, err := busiest(ctx, q, programs)
	if err != nil {
		return "", err
	}
	for range preloaded {
		with := q
		with.preload = strings.Join(order, " ")
		moved := false
		for _, program := range programs {
			before, err := located(ctx, q.start(program))
			if err != nil {
				return "", err
			}
			after, err := located(ctx, with.start(program))
			if err != nil {
				return "", err
			}
			for _, u := range slices.SortedFunc(maps.Keys(before), compareUses) {
				lib := before[u]
				at := slices.Index(order, after[u])
				if after[u] == lib || slices.Contains(order, lib) || at < 0 {
					moved = moved || after[u] != lib
					continue
				}
				order, moved = slices.Insert(order, at, lib), true
			}
		}
		if !moved {
			return with.preload, nil
		}
	}
	return "", nil // the order matters in a way that is not understood
}

// busiest returns the libraries in which most symbols are found, of those that all
// programs use.
func busiest(ctx context.Context, q QEMU, programs []string) ([]string, error) {
	found, users := map[string]int{}, map[string]int{}
	for _, program := range programs {
		all, err := bindings(ctx, q.start(program), false)
		if err != nil {
			return nil, err
		}
		used := map[string]bool{}
		for _, b := range all {
			if b.to != program {
				found[b.to]++
				used[b.to] = true
			}
		}
		for lib := range used {
			users[lib]++
		}
	}
	maps.DeleteFunc(found, func(lib string, _ int) bool {
		return users[lib] < len(programs) || lib == q.loader || lib == clockLibrary || !images.Exists(filepath.Join(q.Dir, qemuLib, lib)) // as the kernel's vDSO
	})
	order := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(found[b]-found[a], cmp.Compare(a, b))
	})
	return order[:min(len(order), preloaded)], nil
}

// use is a symbol that a file needs.
type use struct{ file, symbol string }

func compareUses(a, b use) int {
	return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.symbol, b.symbol))
}

// located returns the file that each symbol is found in when a command starts.
func located(ctx context.Context, words []string) (map[use]string, error) {
	all, err := bindings(ctx, words, true)
	found := map[use]string{}
	for _, b := range all {
		found[use{b.from, b.symbol}] = b.to
	}
	return found, err
}
