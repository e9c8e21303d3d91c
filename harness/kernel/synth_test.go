package kernel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// synth describes a kernel image to be made: a raw RISC-V Image with kallsyms
// tables of one layout, the way scripts/kallsyms.c writes them.
type synth struct {
	tokensFirst bool   // the order since 6.4
	encoding    string // "percpu", "base", "place" or "absolute"
	seqs        int    // bytes of seqs_of_names for each symbol
	markers8    bool   // markers of 8 bytes, before 4.20
	longNames   bool   // lengths of 128 and more take two bytes
	shift       int    // misalignment of the tables in the file
}

const synthBanner = "Linux version 9.8.7-synth (builder@host) #1 SMP"

// symbols makes n symbols, sorted by address, among them those the recovery
// relies on.
func (s synth) symbols(n int) []Symbol {
	syms := make([]Symbol, 0, n+8)
	if s.encoding == "percpu" {
		syms = append(syms, Symbol{"__per_cpu_start", 0, 'A'}, Symbol{"current_task", 0x1fbc0, 'A'})
	}
	syms = append(syms, Symbol{"_text", riscvLinkBase, 'T'}, Symbol{"_stext", riscvLinkBase + 0x40, 'T'})
	for i := range n {
		name := fmt.Sprintf("do_something_%d_with_%x", i, i*i)
		if s.longNames && i%97 == 0 {
			name += strings.Repeat("~very_long", 14)
		}
		syms = append(syms, Symbol{name, riscvLinkBase + 0x100 + uint64(i)*16, "tTtt"[i%4]})
	}
	end := riscvLinkBase + 0x100 + uint64(n)*16
	syms = append(syms, Symbol{"_etext", end, 'T'})
	return append(syms, Symbol{"linux_banner", riscvLinkBase + uint64(bannerAt(syms)), 'D'}, Symbol{"_end", riscvLinkBase + 0x4000000, 'B'})
}

// bannerAt is where the banner stands in the file: on the page after the code.
func bannerAt(syms []Symbol) int {
	for _, s := range syms {
		if s.Name == "_etext" {
			return (int(s.Addr-riscvLinkBase) + 0xfff) &^ 0xfff
		}
	}
	return 0x1000
}

// tokens are the 256 tokens: the characters that names use stand for
// themselves, a few other codes for frequent strings.
func synthTokens() [256]string {
	var t [256]string
	for c := byte(' '); c < 0x7f; c++ {
		t[c] = string(rune(c))
	}
	for i, s := range []string{"do_something_", "_with_", "tdo_", "very_", "sys", "kernel"} {
		t[0x80+i] = s
	}
	return t
}

// compress encodes a symbol greedily.
func compress(tokens [256]string, s Symbol) []byte {
	text := string(s.Type) + s.Name
	var out []byte
	for len(text) > 0 {
		best := -1
		for c, t := range tokens {
			if t != "" && strings.HasPrefix(text, t) && (best < 0 || len(t) > len(tokens[best])) {
				best = c
			}
		}
		out = append(out, byte(best))
		text = text[len(tokens[best]):]
	}
	return out
}

func (s synth) image(syms []Symbol) []byte {
	img := make([]byte, bannerAt(syms)+256)
	copy(img, "MZ")
	copy(img[riscvMagic:], "RISCV\x00\x00\x00RSC\x05")
	copy(img[bannerAt(syms):], synthBanner+"\n\x00")
	align := func() {
		for len(img)%8 != s.shift {
			img = append(img, 0)
		}
	}
	align()
	tokens := synthTokens()
	var names []byte
	var markers []int
	for i, sym := range syms {
		if i%256 == 0 {
			markers = append(markers, len(names))
		}
		c := compress(tokens, sym)
		if s.longNames && len(c) > 0x7f {
			names = append(names, byte(len(c))|0x80, byte(len(c)>>7))
		} else {
			names = append(names, byte(len(c)))
		}
		names = append(names, c...)
	}
	offsets := func() {
		align()
		switch s.encoding {
		case "absolute":
			for _, sym := range syms {
				img = le.AppendUint64(img, sym.Addr)
			}
			return
		case "place":
			for _, sym := range syms {
				img = le.AppendUint32(img, uint32(sym.Addr-(riscvLinkBase+uint64(len(img)))))
			}
			return
		}
		for _, sym := range syms {
			switch {
			case s.encoding == "base":
				img = le.AppendUint32(img, uint32(sym.Addr-riscvLinkBase))
			case sym.Addr < kernelHalf:
				img = le.AppendUint32(img, uint32(sym.Addr))
			default:
				img = le.AppendUint32(img, uint32(riscvLinkBase-1-sym.Addr))
			}
		}
		align()
		img = le.AppendUint64(img, riscvLinkBase)
	}
	seqs := func() {
		align()
		for i := range syms {
			for b := range s.seqs {
				img = append(img, byte(i*2654435761>>(8*b)))
			}
		}
	}
	if !s.tokensFirst {
		offsets()
	}
	align()
	img = le.AppendUint32(img, uint32(len(syms)))
	align()
	img = append(img, names...)
	align()
	for _, m := range markers {
		if s.markers8 {
			img = le.AppendUint64(img, uint64(m))
		} else {
			img = le.AppendUint32(img, uint32(m))
		}
	}
	if !s.tokensFirst {
		seqs()
	}
	align()
	var index []uint16
	start := len(img)
	for _, t := range tokens {
		index = append(index, uint16(len(img)-start))
		img = append(img, t+"\x00"...)
	}
	align()
	img, _ = binary.Append(img, le, index)
	if s.tokensFirst {
		offsets()
		seqs()
	}
	le.PutUint64(img[riscvImageSize:], uint64(len(img)))
	return append(img, make([]byte, 64)...)
}

func synthVariants() map[string]synth {
	return map[string]synth{
		"absolute per-CPU, names last (5.10)":        {encoding: "percpu"},
		"absolute per-CPU, seqs of 4 bytes (6.1)":    {encoding: "percpu", seqs: 4, longNames: true},
		"absolute per-CPU, seqs of 3 bytes (6.2)":    {encoding: "percpu", seqs: 3, longNames: true},
		"base-relative, names last":                  {encoding: "base"},
		"base-relative, markers of 8 bytes":          {encoding: "base", markers8: true},
		"absolute addresses":                         {encoding: "absolute"},
		"absolute per-CPU, tokens first (6.4)":       {encoding: "percpu", tokensFirst: true, seqs: 3, longNames: true},
		"base-relative, tokens first (6.12)":         {encoding: "base", tokensFirst: true, seqs: 3, longNames: true},
		"place-relative, tokens first (7.0)":         {encoding: "place", tokensFirst: true, seqs: 3, longNames: true},
		"place-relative, tables not aligned in file": {encoding: "place", tokensFirst: true, seqs: 3, shift: 4},
	}
}

func TestKallsymsLayouts(t *testing.T) {
	for name, s := range synthVariants() {
		t.Run(name, func(t *testing.T) {
			want := s.symbols(3000)
			im, err := Parse(s.image(want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, slices.Collect(im.Symbols.All())); diff != "" {
				t.Errorf("symbols (-want +got):\n%s", diff)
			}
			if im.Release != "9.8.7-synth" || im.Banner != synthBanner || im.Arch != "riscv64" {
				t.Errorf("release %q, banner %q, arch %q", im.Release, im.Banner, im.Arch)
			}
		})
	}
}

// A table that does not agree with the image is an error, never a guess.
func TestKallsymsDisagree(t *testing.T) {
	s := synth{encoding: "base", tokensFirst: true}
	syms := s.symbols(1000)
	for i := range syms {
		if syms[i].Name == "linux_banner" {
			syms[i].Addr += 8
		}
	}
	_, err := Parse(s.image(syms))
	if err == nil || !strings.Contains(err.Error(), "no known layout") {
		t.Errorf("got %v, want an error that no layout agrees", err)
	}
}

func FuzzKallsyms(f *testing.F) {
	for _, s := range synthVariants() {
		syms := s.symbols(270)
		f.Add(s.image(syms)[bannerAt(syms):])
	}
	f.Fuzz(func(t *testing.T, tables []byte) {
		at := bannerAt(synth{}.symbols(270))
		img := make([]byte, at, at+len(tables))
		copy(img, "MZ")
		copy(img[riscvMagic:], "RISCV\x00\x00\x00RSC\x05")
		im, err := Parse(append(img, tables...))
		if err != nil {
			return
		}
		n := 0
		for sym := range im.Symbols.All() {
			if n++; n > 50 {
				break
			}
			if !slices.Contains(im.Symbols.Named(sym.Name), sym) {
				t.Errorf("%v is not among those of its name", sym)
			}
		}
	})
}
