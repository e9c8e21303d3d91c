package kernel

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// named makes an image whose functions have the names, and a data symbol.
func named(t *testing.T, names ...string) *Image {
	t.Helper()
	s := synth{encoding: "base", tokensFirst: true, seqs: 3}
	syms := s.symbols(300)
	for i, name := range names {
		syms[10+2*i].Name = name
	}
	syms[5] = Symbol{"release_task", syms[5].Addr, 'd'}
	im, err := Parse(s.image(syms))
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func TestResolve(t *testing.T) {
	cases := []struct {
		name  string
		have  []string
		point string
		want  string // symbol
		says  string // in Why, or in the error
	}{
		{"by its name", []string{"copy_process"}, "copy_process", "copy_process", "of that name"},
		{"look-alikes are no match", []string{"klp_copy_process", "uprobe_copy_process", "__pfx_copy_process", "copy_process.cold"}, "copy_process", "", "klp_copy_process"},
		{"a variant", []string{"finish_task_switch.isra.0"}, "finish_task_switch", "finish_task_switch.isra.0", "variant"},
		{"twice a variant", []string{"copy_process.isra.0.constprop.2"}, "copy_process", "copy_process.isra.0.constprop.2", "variant"},
		{"the function before its part", []string{"do_exit", "do_exit.part.0"}, "do_exit", "do_exit", "of that name"},
		{"two of one name", []string{"copy_thread", "copy_thread"}, "copy_thread", "", "ambiguous"},
		{"two variants", []string{"do_wait.isra.0", "do_wait.constprop.0"}, "do_wait", "", "do_wait.constprop.0"},
		{"its name before", []string{"_do_fork"}, "kernel_clone", "_do_fork", "before 5.10"},
		{"a stand-in", []string{"arch_dup_task_struct"}, "dup_task_struct", "arch_dup_task_struct", "inlined"},
		{"data is no place", nil, "release_task", "", "none is a text symbol"},
		{"another architecture's", []string{"__x64_sys_fork"}, "sys_fork", "", "x86_64 only"},
		{"the earlier candidate", []string{"ret_from_fork", "ret_from_fork_user_asm"}, "ret_from_fork", "ret_from_fork_user_asm", "6.16"},
		{"no such point", nil, "sys_clon", "", "sys_clone"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := named(t, c.have...).Resolve(c.point)
			says := r.Why
			if err != nil {
				says = err.Error()
			}
			if r.Symbol != c.want || (err == nil) != (c.want != "") || !strings.Contains(says, c.says) {
				t.Errorf("got %q (%q), want %q with %q in it", r.Symbol, says, c.want, c.says)
			}
		})
	}
}

func TestResolveErrors(t *testing.T) {
	_, err := named(t, "klp_copy_process").Resolve("copy_process")
	var none *PointError
	if !errors.As(err, &none) {
		t.Fatalf("got %v, want a PointError", err)
	}
	want := &PointError{Point: "copy_process", Kernel: "9.8.7-synth (riscv64)", Candidates: []string{"copy_process"}, LookAlikes: []string{"klp_copy_process"}}
	if diff := cmp.Diff(want, none); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	im := named(t, "copy_process", "copy_process")
	_, err = im.Resolve("copy_process")
	var several *AmbiguousError
	if !errors.As(err, &several) || len(several.Symbols) != 2 || several.Symbols[0].Addr == several.Symbols[1].Addr {
		t.Errorf("got %v, want an AmbiguousError with both", err)
	}
	if _, err := im.Symbols.Lookup("do_something_7_with_31"); err != nil {
		t.Error(err)
	}
	var missing *NotFoundError
	if _, err := im.Symbols.Lookup("do_something_29"); !errors.As(err, &missing) || len(missing.LookAlikes) == 0 {
		t.Errorf("got %v, want a NotFoundError with look-alikes", err)
	}
	if _, err := im.Field("task_struct", "pid"); !errors.Is(err, ErrNoTypes) {
		t.Errorf("got %v, want ErrNoTypes", err)
	}
}

func TestPointsTable(t *testing.T) {
	if _, err := parsePoints(pointsYAML); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"unknown key":   "- {point: a, means: b, candidats: [{symbol: a}]}",
		"no candidates": "- {point: a, means: b}",
		"twice":         "- {point: a, means: b, candidates: [{symbol: a}]}\n- {point: a, means: b, candidates: [{symbol: a}]}",
		"unknown arch":  "- {point: a, means: b, candidates: [{symbol: a, arch: vax}]}",
		"no meaning":    "- {point: a, candidates: [{symbol: a}]}",
	} {
		if _, err := parsePoints([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAt(t *testing.T) {
	const base = riscvLinkBase
	s := &Symbols{}
	for _, sym := range []Symbol{
		{"current_task", 0x1fbc0, 'A'}, {"_text", base, 'T'}, {"startup", base, 'T'}, {"__pfx_f", base + 0x30, 't'},
		{"f", base + 0x40, 't'}, {"F_alias", base + 0x40, 'T'}, {"_end", base + 0x80, 'B'},
	} {
		s.names += sym.Name
		s.ends = append(s.ends, uint32(len(s.names)))
		s.types = append(s.types, sym.Type)
		s.addrs = append(s.addrs, sym.Addr)
	}
	for addr, want := range map[uint64]string{
		0x1fbc0: "current_task", 0x1fbc8: "", 0x10: "", base - 1: "",
		base: "startup", base + 0x2f: "startup", base + 0x38: "__pfx_f",
		base + 0x40: "F_alias", base + 0x7f: "F_alias", base + 0x80: "_end", base + 0x81: "",
	} {
		if sym, off, ok := s.At(addr); sym.Name != want || ok != (want != "") || ok && sym.Addr+off != addr {
			t.Errorf("%#x is %q+%#x (%v), want %q", addr, sym.Name, off, ok, want)
		}
	}
}
