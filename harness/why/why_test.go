package why

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/kernel/kerneltest"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/prepare"
	"kernellab/harness/probe"
	"kernellab/harness/stores"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

const (
	child  = 0xff600000_02ceb000
	parent = 0xff600000_087e0000
)

func question(t *testing.T) Question {
	t.Helper()
	regs := kerneltest.Struct{Name: "pt_regs", Size: 8, Members: []kerneltest.Member{{Name: "epc", Size: 8}}}
	s := machinetest.Spec(t, machinetest.Guest{Functions: []string{"copy_thread(int a)", "ret_from_fork(int a)"}, Structs: []kerneltest.Struct{regs}})
	return Question{Target: prepare.Target{Arch: s.Arch, Image: s.Image}, Depth: 9}
}

func word(n uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	return b
}

// stored is a write of one word.
func stored(extent int, kind stores.Kind, old, new, addr uint64, from *stores.Source) write {
	w := write{
		extent: extent, old: word(old), new: word(new), times: 1, covered: make([]bool, 8),
		store: stores.Store{PC: 0x40 + addr%64, Addr: addr, Size: 8, Kind: kind, From: from},
	}
	if from != nil {
		w.shift = from.Addr - addr
		for i := range w.covered {
			w.covered[i] = true
		}
	}
	return w
}

func TestFollow(t *testing.T) {
	asked := probe.Extent{Addr: child, Size: 8, Name: "thread.sp"}
	source := probe.Extent{Addr: parent, Size: 8, Name: "thread.sp"}
	from := &stores.Source{Addr: parent, Size: 8}
	constant := stored(0, stores.Constant, 5, 0, child, nil)
	copied := stored(0, stores.Copy, 1, 5, child, from)
	made := stored(1, stores.Computed, 4, 5, parent, nil)
	for _, tt := range []struct {
		name   string
		depth  int
		path   []probe.Extent
		writes []write
		want   []string // the values that were written, latest first
		before string
		source *probe.Extent
		open   bool
	}{
		{"no write", 9, []probe.Extent{asked}, nil, nil, "7", nil, true},
		{"no copy", 9, []probe.Extent{asked}, []write{stored(0, stores.Computed, 7, 8, child, nil), constant}, []string{"0", "8"}, "7", nil, false},
		{"depth", 1, []probe.Extent{asked}, []write{stored(0, stores.Computed, 7, 8, child, nil), constant}, []string{"0"}, "", nil, false},
		{"a copy under a constant", 9, []probe.Extent{asked}, []write{copied, constant}, []string{"0", "5"}, "", &source, false},
		{"its source", 9, []probe.Extent{asked, source}, []write{stored(1, stores.Constant, 3, 4, parent, nil), made, copied, constant}, []string{"0", "5", "5"}, "", nil, false},
		{"a source that was written before", 9, []probe.Extent{asked, source}, []write{copied, constant}, []string{"0", "5"}, "7", nil, true},
		{"a source that is written after the copy", 9, []probe.Extent{asked, source}, []write{made, copied, stored(1, stores.Computed, 5, 6, parent, nil), constant}, []string{"0", "5", "5"}, "", nil, false},
		{"a part of a copy", 9, []probe.Extent{asked}, []write{func() write { w := copied; w.covered = make([]bool, 8); return w }()}, []string{"5"}, "7", nil, false},
		{"a copy of itself", 9, []probe.Extent{asked}, []write{stored(0, stores.Copy, 1, 5, child, &stores.Source{Addr: child + 4, Size: 8})}, []string{"5"}, "", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := question(t)
			q.Depth = tt.depth
			w := &watcher{q: q, extents: tt.path, writes: tt.writes}
			for range tt.path {
				w.initial = append(w.initial, word(7))
				w.latest, w.final = append(w.latest, word(1)), append(w.final, word(1))
			}
			v, next, open := q.follow(w, tt.path)
			var got []string
			for _, wr := range v.Writes {
				got = append(got, wr.New)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.source, next); diff != "" || open != tt.open || v.Before != tt.before || v.Note != "" {
				t.Errorf("open %v, before %q, note %q, source (-want +got):\n%s", open, v.Before, v.Note, diff)
			}
		})
	}
}

// A change that no watchpoint saw is said.
func TestUnseen(t *testing.T) {
	w := &watcher{q: question(t), latest: [][]byte{word(1)}, initial: [][]byte{word(1)}, final: [][]byte{word(2)}}
	v, _, _ := w.q.follow(w, []probe.Extent{{Addr: child, Size: 8}})
	if !strings.Contains(v.Note, "direct map") {
		t.Errorf("note %q", v.Note)
	}
}

// Stores of one loop are one write; a second filling, another function's, another call's
// and another kind's are not.
func TestMerge(t *testing.T) {
	first := stored(0, stores.Copy, 0, 1, child, &stores.Source{Addr: parent, Size: 8})
	first.sp = 100
	next := func(change func(*write)) write {
		w := stored(0, stores.Copy, 1, 2, child+8, &stores.Source{Addr: parent + 8, Size: 8})
		w.sp = 100
		change(&w)
		return w
	}
	for name, tt := range map[string]struct {
		change func(*write)
		want   bool
	}{
		"the next word":  {func(*write) {}, true},
		"another source": {func(w *write) { w.shift++ }, false},
		"another call":   {func(w *write) { w.sp++ }, false},
		"another task":   {func(w *write) { w.task.PID++ }, false},
		"another place":  {func(w *write) { w.store.PC += 4096 }, false},
		"another kind":   {func(w *write) { w.store.Kind = stores.Computed }, false},
		"the same word":  {func(w *write) { w.store.Addr -= 8 }, false},
		"another extent": {func(w *write) { w.extent++ }, false},
		"after a stop":   {func(w *write) { w.after = "copy_thread" }, false},
	} {
		if got := first.takes(next(tt.change)); got != tt.want {
			t.Errorf("%s: taken %v, want %v", name, got, tt.want)
		}
	}
	first.merge(next(func(*write) {}))
	if first.times != 2 || first.new[0] != 2 || first.old[0] != 0 {
		t.Errorf("merged: %+v", first)
	}
}

func TestText(t *testing.T) {
	q := question(t)
	sym, err := q.Target.Image.Symbols.Lookup("ret_from_fork")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		x    probe.Extent
		b    []byte
		want string
	}{
		{probe.Extent{Text: true}, []byte("fork\x00old"), `"fork"`},
		{probe.Extent{}, nil, "not mapped"},
		{probe.Extent{}, word(92), "92"},
		{probe.Extent{}, word(child), "0xff60000002ceb000"},
		{probe.Extent{}, word(sym.Addr), trace.Word(sym.Addr).String() + " (ret_from_fork+0x0)"},
		{probe.Extent{}, word(^uint64(0) - 37), "0xffffffffffffffda (-38)"},
		{probe.Extent{Signed: true}, word(^uint64(0))[:4], "-1"},
		{probe.Extent{Signed: true}, word(^uint64(0)), "-1"},
		{probe.Extent{Bits: 3, BitOffset: 2}, []byte{0b10110}, "5"},
		{probe.Extent{}, append(word(child), word(parent)...), "0xff60000002ceb000 0xff600000087e0000"},
	} {
		if got := q.text(tt.x, tt.b); got != tt.want {
			t.Errorf("%+v of % x is %q, want %q", tt.x, tt.b, got, tt.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for what, want := range map[string]*probe.Extent{
		"0xffff888005a3e000":   {Addr: 0xffff888005a3e000, Size: 8, Name: "memory"},
		"0xffff888005a3e000:4": {Addr: 0xffff888005a3e000, Size: 4, Name: "memory"},
		"0xffff888005a3e0001":  nil,
		"0xffff888005a3e000:0": nil,
	} {
		got, err := Question{What: what}.extents(t.Context(), nil)
		switch {
		case want == nil && !usage.Is(err):
			t.Errorf("%s: %v, want a mistake of usage", what, err)
		case want != nil && (err != nil || cmp.Diff([]probe.Extent{*want}, got) != ""):
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	if err := (Question{Lab: labs.Lab{}}).Check("fork-new", "x86_64"); !usage.Is(err) {
		t.Errorf("no point: %v", err)
	}
}
