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

// ErrNoBuildID says that the image has no build id to compare with a vmlinux's.
var ErrNoBuildID = errors.New("the kernel image has no build id, so lab cannot verify that a vmlinux is of the same build")

// UseDebug opens the vmlinux at path for source lines, inlined functions and
// variables. dir is a folder for its index, "" for none. For a vmlinux of another
// build the error is a *debuginfo.MismatchError. UseDebug must be called before
// several goroutines use the Image.
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
	im.queries.useVmlinux(which)
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
		return nil, errors.Join(fmt.Errorf("vmlinux %s is for %s, but the kernel is for %s", path, f.Machine, im.machine.elf), f.Close())
	}
	return f, nil
}

// CheckDebug returns an error unless the vmlinux at path is of the image's build and
// has debug information. It writes the vmlinux's index to dir.
func (im *Image) CheckDebug(path, dir string) error {
	f, err := im.openDebug(path, dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Prepare(), f.Close())
}

// DebugFile returns the path of the vmlinux in use, "" if there is none.
func (im *Image) DebugFile() string {
	if im.debug == nil {
		return ""
	}
	return im.debug.Path
}

// Source returns the source positions of an address: those in the functions inlined
// there, innermost first, and last the one in the function that contains the address.
// It returns nil if there is no vmlinux, or if that has no information or is damaged.
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
// function that Source returns for it. Without a vmlinux it returns nil.
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

// past returns the address after the nops at the beginning of a function, if pc is in
// them, and pc otherwise. The kernel may replace the nops by calls. On riscv64 the
// function's debug information begins after them; its arguments do not change there.
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

// bytesOf returns a function that reads bytes with read.
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

// dwarfNumbers returns registers by DWARF's numbers.
func (im *Image) dwarfNumbers(regs map[string]uint64) map[uint64]uint64 {
	out := map[uint64]uint64{}
	for n := range uint64(32) {
		if v, ok := regs[im.registerName(n)]; ok {
			out[n] = v
		}
	}
	return out
}

// refine corrects the registers of the caller, next. The unwinder found those in
// ruled. The debug information says where the other registers were saved. Where it
// does not, as in assembly, refine removes them, because their values are unknown.
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
