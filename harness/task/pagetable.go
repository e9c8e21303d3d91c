package task

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// AbsentError is returned for memory of a process that no page frame has.
type AbsentError struct {
	Addr    uint64
	Swapped bool // the page is in swap or being moved
}

func (e *AbsentError) Error() string {
	if e.Swapped {
		return fmt.Sprintf("the page of %#x is not in memory: it is swapped out or being moved", e.Addr)
	}
	return fmt.Sprintf("the page of %#x is not present", e.Addr)
}

// paging reads the number of levels of the page tables and the direct map's offset.
func (v *View) paging(ctx context.Context) error {
	if v.levels != 0 {
		return nil
	}
	p := v.arch.Paging
	name, member, isMember := strings.Cut(p.Direct, ":")
	sym, err := v.im.Symbols.Lookup(name)
	if err != nil {
		return fmt.Errorf("find the direct map: %w", err)
	}
	if isMember {
		typ, path, _ := strings.Cut(member, ".")
		v.direct, err = v.object(typ, sym.Addr).number(ctx, path)
	} else {
		v.direct, err = v.word(ctx, sym.Addr)
	}
	if err != nil {
		return fmt.Errorf("find the direct map: %w", err)
	}
	levels := p.Levels
	for _, name := range p.Deeper {
		if len(v.im.Symbols.Named(name)) == 0 {
			continue // the kernel was built without that mode
		}
		set, err := v.variable(ctx, name, 1)
		if err != nil {
			return fmt.Errorf("find the depth of the page tables: %w", err)
		}
		if set != 0 {
			levels++
		}
	}
	v.levels = levels
	return nil
}

// Entry is the entry of a process's page tables for an address: the one that maps the
// page or, where no page is mapped, the first one on the way down that is not present.
type Entry struct {
	Address uint64 // where the entry is, in the kernel's direct map
	Value   uint64
	Size    uint64 // bytes of the process's memory that the entry is for
	Present bool
	// Of an entry that is present, as its bits say:
	Writable, User, Accessed, Dirty bool
	Frame                           uint64 // number of the page frame at the address
	// Direct is the kernel's address of the memory at the address, in the direct map.
	Direct uint64
}

// Entry walks the page tables of the mm_struct at mm for an address of the process.
func (v *View) Entry(ctx context.Context, mm, addr uint64) (Entry, error) {
	space := v.object("mm_struct", mm)
	if err := space.valid("the address space"); err != nil {
		return Entry{}, err
	}
	if err := v.paging(ctx); err != nil {
		return Entry{}, err
	}
	if addr>>(11+9*uint(v.levels)) != 0 {
		return Entry{}, &PointerError{"the process's address", addr}
	}
	p := v.arch.Paging
	table, err := space.number(ctx, "pgd")
	if err != nil {
		return Entry{}, err
	}
	for level := v.levels - 1; ; level-- {
		shift := 12 + 9*uint(level)
		e := Entry{Address: table + addr>>shift&511*8, Size: 1 << shift}
		if e.Value, err = v.word(ctx, e.Address); err != nil {
			return Entry{}, fmt.Errorf("page table of level %d for %#x: %w", level+1, addr, err)
		}
		if e.Value&p.Present == 0 {
			return e, nil
		}
		base := e.Value & p.Frame << p.FrameShift
		if level > 0 && e.Value&p.Leaf == 0 {
			table = v.direct + base
			continue
		}
		e.Present, e.Writable, e.User = true, e.Value&p.Writable != 0, e.Value&p.User != 0
		e.Accessed, e.Dirty = e.Value&p.Accessed != 0, e.Value&p.Dirty != 0
		// In a huge page's entry the low bits of the frame are attributes.
		physical := base&^(e.Size-1) + addr&(e.Size-1)
		e.Frame, e.Direct = physical/pageSize, v.direct+physical
		return e, nil
	}
}

// ReadUser reads memory of the process whose mm_struct is at mm, whether or not it is
// running. The error is an *AbsentError for a page that is not present.
func (v *View) ReadUser(ctx context.Context, mm, addr uint64, buf []byte) error {
	for len(buf) > 0 {
		e, err := v.Entry(ctx, mm, addr)
		switch {
		case err != nil:
			return err
		case !e.Present:
			return &AbsentError{addr, e.Value != 0}
		}
		n := min(len(buf), pageSize-int(addr&(pageSize-1)))
		if err := v.Read(ctx, e.Direct, buf[:n]); err != nil {
			return err
		}
		buf, addr = buf[n:], addr+uint64(n)
	}
	return nil
}

// maxArgs limits the size of a process's arguments. It is the kernel's limit,
// _STK_LIM / 4 * 3 in fs/exec.c.
const maxArgs = 6 << 20

// args reads a process's arguments from its own memory, as /proc/PID/cmdline
// shows them (fs/proc/base.c, get_mm_cmdline).
func (v *View) args(ctx context.Context, mm object) ([]string, error) {
	var at [4]uint64
	for i, m := range []string{"arg_start", "arg_end", "env_start", "env_end"} {
		var err error
		if at[i], err = mm.number(ctx, m); err != nil {
			return nil, err
		}
	}
	start, end, envStart, envEnd := at[0], at[1], at[2], at[3]
	if start >= end {
		return nil, nil
	}
	if end-start > maxArgs {
		return nil, fmt.Errorf("arguments of %d bytes: %w", end-start, errTooMuch)
	}
	buf := make([]byte, end-start)
	if err := v.ReadUser(ctx, mm.addr, start, buf); err != nil {
		return v.someArgs(ctx, mm, start, buf), err
	}
	if buf[len(buf)-1] == 0 {
		return split(buf), nil
	}
	// The process has overwritten its arguments, as setproctitle does, by one string
	// that may extend into the environment.
	if envStart == end && envEnd > end && envEnd-end <= maxArgs {
		more := make([]byte, min(envEnd-end, pageSize))
		if err := v.ReadUser(ctx, mm.addr, end, more); err != nil {
			return split(buf), err
		}
		buf = append(buf, more...)
	}
	buf, _, _ = bytes.Cut(buf, []byte{0})
	return []string{string(buf)}, nil
}

// someArgs returns the arguments before the first page that is not present.
func (v *View) someArgs(ctx context.Context, mm object, start uint64, buf []byte) []string {
	got := 0
	for got < len(buf) {
		n := min(len(buf)-got, pageSize-int((start+uint64(got))&(pageSize-1)))
		if v.ReadUser(ctx, mm.addr, start+uint64(got), buf[got:got+n]) != nil {
			break
		}
		got += n
	}
	if got == 0 {
		return nil
	}
	return split(buf[:got])
}

func split(buf []byte) []string {
	var out []string
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(buf, []byte{0}), []byte{0}) {
		out = append(out, string(arg))
	}
	return out
}

// perCPU fills buf from a CPU's copy of the per-CPU variable at offset.
func (v *View) perCPU(ctx context.Context, cpu int, offset uint64, buf []byte) error {
	bases, err := v.im.Symbols.Lookup("__per_cpu_offset")
	if err != nil {
		return err
	}
	if cpu < 0 || cpu > maxCPUs {
		return errors.New("there is no such CPU")
	}
	base, err := v.word(ctx, bases.Addr+8*uint64(cpu))
	if err != nil {
		return err
	}
	return v.Read(ctx, base+offset, buf)
}

const maxCPUs = 8192

// PreemptCount returns the preempt_count of the task that runs on a CPU. perCPU is false
// where the kernel keeps it in the task.
func (v *View) PreemptCount(ctx context.Context, cpu int) (n uint32, perCPU bool, err error) {
	if len(v.arch.Current.Preempt) == 0 {
		return 0, false, nil
	}
	n, err = v.preemptCount(ctx, object{}, cpu, true)
	return n, true, err
}

// preemptCount reads the preempt_count of a task. Kernels that keep it in a per-CPU
// variable have only that of the running task.
func (v *View) preemptCount(ctx context.Context, task object, cpu int, running bool) (uint32, error) {
	if len(v.arch.Current.Preempt) == 0 {
		n, err := task.number(ctx, "thread_info.preempt_count")
		return uint32(n), err
	}
	if !running {
		return 0, errors.New("this kernel keeps it only for the running task of each CPU")
	}
	for _, name := range v.arch.Current.Preempt {
		typ, member, isMember := strings.Cut(name, ".")
		sym, err := v.im.Symbols.Lookup(typ)
		if err != nil {
			continue
		}
		offset := sym.Addr
		if isMember {
			f, err := v.field(typ, member)
			if err != nil {
				continue
			}
			offset += uint64(f.Offset)
		}
		var buf [4]byte
		err = v.perCPU(ctx, cpu, offset, buf[:])
		return binary.LittleEndian.Uint32(buf[:]), err
	}
	return 0, errors.New("this kernel keeps it in an unknown variable")
}
