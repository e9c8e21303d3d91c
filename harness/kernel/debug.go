package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"kernellab/harness/kernel/debuginfo"
)

// ErrNoBuildID is returned when nothing can show that a vmlinux belongs to an
// image.
var ErrNoBuildID = errors.New("the kernel image carries no build id, so nothing shows that a vmlinux is of the same build")

// UseDebug opens the vmlinux at path for source lines, inlined functions and
// variables. dir is a folder for what is worked out of it once, "" for none. A
// vmlinux of another build is a *debuginfo.MismatchError. It is to be called
// before the Image is used by several goroutines.
func (im *Image) UseDebug(path, dir string) error {
	f, err := im.openDebug(path, dir)
	if err != nil {
		return err
	}
	im.debug = f
	which := path
	if info, err := os.Stat(path); err == nil {
		which = fmt.Sprintf("%s, %d bytes of %s", path, info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
	}
	im.answers.of(which)
	return nil
}

func (im *Image) openDebug(path, dir string) (*debuginfo.File, error) {
	if im.BuildID == "" {
		return nil, ErrNoBuildID
	}
	f, err := debuginfo.Open(path, debuginfo.Options{BuildID: im.BuildID, Dir: dir})
	if err != nil {
		return nil, err
	}
	if f.Machine != im.machine.elf {
		return nil, errors.Join(fmt.Errorf("vmlinux %s is for %s, the kernel for %s", path, f.Machine, im.machine.elf), f.Close())
	}
	return f, nil
}

// CheckDebug reports whether the vmlinux at path is of the image's build and has
// debug information, and makes the index of it in dir.
func (im *Image) CheckDebug(path, dir string) error {
	f, err := im.openDebug(path, dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Prepare(), f.Close())
}

// DebugFile is the path of the vmlinux in use, "" without one.
func (im *Image) DebugFile() string {
	if im.debug == nil {
		return ""
	}
	return im.debug.Path
}

// Source returns where an address is in the source: the functions inlined there,
// innermost first, and the one it is really in last. It is empty without a
// vmlinux, and where that says nothing or is damaged.
func (im *Image) Source(pc uint64) []debuginfo.Location {
	if im.debug == nil {
		return nil
	}
	found, err := im.source(im.past(pc))
	if err != nil {
		return nil
	}
	return found
}

// Variables returns the arguments and locals in frame n of a stack, for each
// function that Source gives for it. Without a vmlinux there are none.
func (im *Image) Variables(stack []Frame, n int, read ReadWord) ([][]debuginfo.Variable, error) {
	if im.debug == nil {
		return nil, nil
	}
	var frames []debuginfo.Frame
	for _, f := range stack {
		d := im.activation(f)
		if d.CFA == 0 {
			if next, ok, err := im.Caller(f, read); ok && err == nil {
				d.CFA = next.Regs[im.registerName(im.machine.sp)]
			}
		}
		frames = append(frames, d)
	}
	return im.debug.Variables(frames, n, bytesOf(read))
}

func (im *Image) activation(f Frame) debuginfo.Frame {
	d := debuginfo.Frame{PC: f.PC, Exact: f.Interrupted, Regs: im.dwarfNumbers(f.Regs), CFA: f.CFA}
	if d.Exact {
		d.PC = im.past(d.PC)
	}
	return d
}

// past moves over the instructions that do nothing at a function's beginning,
// which the kernel has there to patch calls in. On riscv64 the debug information
// of the function begins behind them; its arguments are the same before.
func (im *Image) past(pc uint64) uint64 {
	const most = 32
	sym, off, ok := im.Symbols.At(pc)
	if len(im.machine.nops) == 0 || !ok || off >= most {
		return pc
	}
	code, ok := im.at(sym.Addr, most)
	if !ok {
		return pc
	}
	end := uint64(0)
	for {
		i := slices.IndexFunc(im.machine.nops, func(nop []byte) bool { return bytes.HasPrefix(code[end:], nop) })
		if i < 0 {
			break
		}
		end += uint64(len(im.machine.nops[i]))
	}
	if off >= end {
		return pc
	}
	return sym.Addr + end
}

// bytesOf reads bytes by words, which is how the guest's memory is kept.
func bytesOf(read ReadWord) debuginfo.Memory {
	return func(addr uint64, buf []byte) error {
		for done := 0; done < len(buf); {
			at := addr + uint64(done)
			w, err := read(at &^ 7)
			if err != nil {
				return err
			}
			done += copy(buf[done:], le.AppendUint64(nil, w)[at&7:])
		}
		return nil
	}
}

// dwarfNumbers gives registers DWARF's numbers.
func (im *Image) dwarfNumbers(regs map[string]uint64) map[uint64]uint64 {
	out := map[uint64]uint64{}
	for n := range uint64(32) {
		if v, ok := regs[im.registerName(n)]; ok {
			out[n] = v
		}
	}
	return out
}

// refine puts right what is known of the caller's registers. The unwinder
// follows the stack pointer and the frame pointer; the debug information says
// where the other registers were saved. Where it does not, in assembly, they are
// no longer known.
// ruled are those that the unwinder found itself.
func (im *Image) refine(f Frame, next *Frame, ruled map[uint64]bool, read ReadWord) {
	if im.debug == nil {
		return
	}
	kept := map[string]uint64{}
	for n := range ruled {
		if v, ok := next.Regs[im.registerName(n)]; ok {
			kept[im.registerName(n)] = v
		}
	}
	d := im.activation(f)
	regs, cfa, ok := im.debug.Caller(d, bytesOf(read))
	if ok && cfa == next.Regs[im.registerName(im.machine.sp)] {
		for n, v := range regs {
			if name := im.registerName(n); n != im.machine.ra && !ruled[n] {
				kept[name] = v
			}
		}
	}
	next.Regs = kept
}
