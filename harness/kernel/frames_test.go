package kernel

import (
	"encoding/binary"
	"testing"

	"github.com/go-delve/delve/pkg/dwarf/frame"
	"github.com/go-delve/delve/pkg/dwarf/regnum"
	"github.com/google/go-cmp/cmp"
)

// What is worked out for one function is what the whole kernel's table says.
func TestFramesOfOneFunction(t *testing.T) {
	eachKernel(t, func(t *testing.T, im *Image) {
		raw, err := im.debugFrame(everything())
		if err != nil {
			t.Fatal(err)
		}
		whole, err := frame.Parse(raw, binary.LittleEndian, 0, 8, 0)
		if err != nil {
			t.Fatal(err)
		}
		type rules struct {
			Missing bool
			CFA     frame.DWRule
			Regs    map[uint64]frame.DWRule
			Signal  string
		}
		say := func(fde *frame.FrameDescriptionEntry, err error, pc uint64) rules {
			if err != nil {
				return rules{Missing: true}
			}
			ctx, err := fde.EstablishFrame(pc)
			if err != nil {
				t.Fatalf("%#x: %v", pc, err)
			}
			return rules{CFA: ctx.CFA, Regs: ctx.Regs, Signal: fde.CIE.Augmentation}
		}
		starts, tried := im.Symbols.functionStarts(), 0
		for i := 0; i < len(starts); i += 97 {
			for _, pc := range []uint64{starts[i] - 1, starts[i], starts[i] + 1, starts[i] + 40} {
				one, err1 := im.frameAt(pc)
				all, err2 := whole.FDEForPC(pc)
				if diff := cmp.Diff(say(all, err2, pc), say(one, err1, pc)); diff != "" {
					t.Fatalf("at %#x, whole kernel and one function (-whole +one):\n%s", pc, diff)
				}
				if err1 == nil {
					tried++
				}
			}
		}
		if tried < 500 {
			t.Errorf("only %d addresses had an entry", tried)
		}
	})
}

// A function begins with no frame of its own and its return address in ra, weak ones
// as well: what is known of the function before it must not go on into it.
func TestFunctionsBeginAnew(t *testing.T) {
	eachKernel(t, func(t *testing.T, im *Image) {
		if im.Arch != "riscv64" {
			return // the others say themselves what their frames are
		}
		tried := map[byte]int{}
		for i := range im.Symbols.Len() {
			sym := im.Symbols.symbol(i)
			if sym.Type != 'W' && i%31 != 0 {
				continue // some of those there are very many of
			}
			fde, err := im.frameAt(sym.Addr)
			if !sym.IsText() || err != nil || fde.CIE.Augmentation != "" {
				continue
			}
			ctx, err := fde.EstablishFrame(sym.Addr)
			if err != nil {
				t.Fatalf("%s: %v", sym.Name, err)
			}
			if rule, saved := ctx.Regs[regnum.RISCV64_LR]; saved && rule.Rule == frame.RuleUndefined {
				continue // it has no caller
			} else if saved || ctx.CFA.Reg != regnum.RISCV64_SP || ctx.CFA.Offset != 0 {
				t.Errorf("%s (%c): CFA %+v, registers %+v at its first instruction, want sp and none saved", sym.Name, sym.Type, ctx.CFA, ctx.Regs)
			}
			tried[sym.Type]++
		}
		if tried['W'] < 50 || tried['t'] < 500 || tried['T'] < 500 {
			t.Errorf("functions tried by letter: %v, want many of each", tried)
		}
	})
}
