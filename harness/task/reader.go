// Package task reads tasks, their stacks and their saved registers from a
// stopped guest. The offsets and sizes of kernel structures come from the kernel's
// BTF; none is a constant here.
//
// It reports which parts could not be read, and why. It neither stops nor resumes the
// guest.
package task

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/trace"
)

// Machine is a stopped guest: an *rsp.Client.
type Machine interface {
	ReadMemory(ctx context.Context, addr uint64, buf []byte) error
	ReadRegister(ctx context.Context, name string) (uint64, error)
	WriteRegister(ctx context.Context, name string, v uint64) error
}

// pageSize is the size of a page on every architecture here.
const pageSize = 4096

// Reader reads the structures of one kernel. The guest must be stopped while it is
// used, and one goroutine at a time may use it.
type Reader struct {
	m    Machine
	im   *kernel.Image
	arch arch.Arch

	percpu   uint64 // address of the per-CPU variable that holds current
	identity span   // of a task_struct, with pid, tgid and comm
	pid      kernel.Field
	tgid     kernel.Field
	comm     kernel.Field
	fields   map[string]trace.Field // members read for the first time since TakeFields
	known    map[string]bool        // all members read so far
	top      string                 // type at the top of a user task's stack
	topSize  int
	regsSize int

	stackSize uint64 // THREAD_SIZE, 0 until it is read
}

// span is a part of a structure: size bytes from offset.
type span struct{ offset, size int }

// NewReader returns a Reader of im's structures in m.
func NewReader(m Machine, im *kernel.Image, a arch.Arch) (*Reader, error) {
	r := &Reader{m: m, im: im, arch: a, fields: map[string]trace.Field{}, known: map[string]bool{}}
	if err := r.findCurrent(); err != nil {
		return nil, err
	}
	for name, f := range map[string]*kernel.Field{"pid": &r.pid, "tgid": &r.tgid, "comm": &r.comm} {
		var err error
		if *f, err = r.Member("task_struct", name); err != nil {
			return nil, fmt.Errorf("read tasks of %s: %w", im.Release, err)
		}
	}
	first := min(r.pid.Offset, r.tgid.Offset, r.comm.Offset)
	last := max(r.pid.Offset+r.pid.Size, r.tgid.Offset+r.tgid.Size, r.comm.Offset+r.comm.Size)
	r.identity = span{first, last - first}
	var err error
	if r.regsSize, err = im.SizeOf("pt_regs"); err != nil {
		return nil, fmt.Errorf("read tasks of %s: %w", im.Release, err)
	}
	for _, name := range a.Stack.Top {
		if size, err := im.SizeOf(name); err == nil {
			r.top, r.topSize = name, size
			return r, nil
		}
	}
	return nil, fmt.Errorf("read tasks of %s: its BTF has none of %v", im.Release, a.Stack.Top)
}

func (r *Reader) findCurrent() error {
	vars := r.arch.Current.PerCPU
	if len(vars) == 0 {
		return nil
	}
	for _, name := range vars {
		if found := r.im.Symbols.Named(name); len(found) == 1 {
			r.percpu = found[0].Addr
			return nil
		}
	}
	var errs []error
	for _, name := range vars { // the errors name similar symbols
		_, err := r.im.Symbols.Lookup(name)
		errs = append(errs, err)
	}
	return fmt.Errorf("find the running task of %s: %w", r.im.Release, errors.Join(errs...))
}

// CurrentAt returns the address of the per-CPU variable that holds the running task, for
// a CPU in the kernel. Where a register holds it, there is none.
func (r *Reader) CurrentAt(ctx context.Context, regs map[string]uint64) (uint64, error) {
	if len(r.arch.Current.PerCPU) == 0 {
		return 0, fmt.Errorf("%s keeps the running task in a register", r.arch.Name)
	}
	base, err := r.register(ctx, regs, r.arch.Current.Kernel)
	return base + r.percpu, err
}

// Top returns the type at the very top of a user task's kernel stack, and its size in
// bytes.
func (r *Reader) Top() (name string, size int) { return r.top, r.topSize }

// Read reads guest memory at a kernel address. If the gdbstub cannot read the kernel's
// memory in the CPU's present mode, Read changes the mode and restores it.
func (r *Reader) Read(ctx context.Context, addr uint64, buf []byte) error {
	err := r.m.ReadMemory(ctx, addr, buf)
	quirk := r.arch.Memory
	if err == nil || quirk.Register == "" || ctx.Err() != nil {
		return err
	}
	old, rerr := r.m.ReadRegister(ctx, quirk.Register)
	if rerr != nil {
		return err
	}
	mode := old&^quirk.Clear | quirk.Set
	if mode == old {
		return err
	}
	if werr := r.m.WriteRegister(ctx, quirk.Register, mode); werr != nil {
		return err
	}
	err = r.m.ReadMemory(ctx, addr, buf)
	if werr := r.m.WriteRegister(ctx, quirk.Register, old); werr != nil {
		return fmt.Errorf("restore %s after reading %#x: %w", quirk.Register, addr, werr)
	}
	return err
}

// Uint reads an unsigned little-endian number of size bytes (1, 2, 4 or 8).
func (r *Reader) Uint(ctx context.Context, addr uint64, size int) (uint64, error) {
	var buf [8]byte
	if size != 1 && size != 2 && size != 4 && size != 8 {
		return 0, fmt.Errorf("read a number of %d bytes: the size must be 1, 2, 4 or 8", size)
	}
	if err := r.Read(ctx, addr, buf[:size]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(buf[:]), nil
}

// Member returns a member of a structure by its path, and records that it is read.
func (r *Reader) Member(structName, path string) (kernel.Field, error) {
	f, err := r.im.Field(structName, path)
	if err == nil {
		r.Record(structName+"."+path, f)
	}
	return f, err
}

// Record records that a member is read, by its path from the outermost structure.
func (r *Reader) Record(path string, f kernel.Field) {
	if r.known[path] {
		return
	}
	r.known[path] = true
	r.fields[path] = trace.Field{Offset: f.Offset, Size: f.Size, Type: f.Type, Bits: f.BitSize}
}

// MarkKnown records, by their paths, members that have been read before. TakeFields does
// not return them.
func (r *Reader) MarkKnown(fields map[string]trace.Field) {
	for path := range fields {
		r.known[path] = true
		delete(r.fields, path)
	}
}

// TakeFields returns the members read for the first time since its last call, by path.
func (r *Reader) TakeFields() map[string]trace.Field {
	taken := r.fields
	r.fields = map[string]trace.Field{}
	return taken
}

// Field reads the scalar or pointer f of the structure at base. A signed field
// is sign-extended, a bit field is shifted to its place.
func (r *Reader) Field(ctx context.Context, base uint64, f kernel.Field) (uint64, error) {
	v, err := r.Uint(ctx, base+uint64(f.Offset), f.Size)
	if err != nil {
		return 0, err
	}
	return decode(v, f), nil
}

func decode(v uint64, f kernel.Field) uint64 {
	bits := f.Size * 8
	if f.BitSize > 0 {
		v >>= f.BitOffset
		bits = f.BitSize
	}
	shift := 64 - bits
	if f.Signed {
		return uint64(int64(v<<shift) >> shift)
	}
	return v << shift >> shift
}

// Current returns the address of the running task's task_struct.
func (r *Reader) Current(ctx context.Context, regs map[string]uint64) (uint64, error) {
	c := r.arch.Current
	name := c.Kernel
	if user := int64(regs[r.arch.Registers.PC]) >= 0; user {
		name = c.User
	}
	base, err := r.register(ctx, regs, name)
	if err != nil {
		return 0, err
	}
	if base == 0 && c.Early {
		if base, err = r.register(ctx, regs, c.User); err != nil {
			return 0, err
		}
	}
	if len(c.PerCPU) == 0 {
		return base, nil
	}
	return r.Uint(ctx, base+r.percpu, 8)
}

// register returns a register from regs, or reads one that regs lacks.
func (r *Reader) register(ctx context.Context, regs map[string]uint64, name string) (uint64, error) {
	if v, ok := regs[name]; ok {
		return v, nil
	}
	return r.m.ReadRegister(ctx, name)
}

// Task reads the pid, tgid and name of the task at addr.
func (r *Reader) Task(ctx context.Context, addr uint64) (trace.Task, error) {
	buf := make([]byte, r.identity.size)
	if err := r.Read(ctx, addr+uint64(r.identity.offset), buf); err != nil {
		return trace.Task{}, fmt.Errorf("read the task at %#x: %w", addr, err)
	}
	at := func(f kernel.Field) []byte {
		from := f.Offset - r.identity.offset
		return buf[from : from+f.Size]
	}
	comm, _, _ := bytes.Cut(at(r.comm), []byte{0})
	return trace.Task{
		Address: trace.Word(addr),
		PID:     int(int32(binary.LittleEndian.Uint32(at(r.pid)))),
		TGID:    int(int32(binary.LittleEndian.Uint32(at(r.tgid)))),
		Comm:    string(comm),
	}, nil
}

// Stack returns the bounds of a task's kernel stack: the lowest address and the
// first one above it.
func (r *Reader) Stack(ctx context.Context, task uint64) (bottom, top uint64, err error) {
	read := func(path string) uint64 {
		var f kernel.Field
		var v uint64
		if err == nil {
			f, err = r.Member("task_struct", path)
		}
		if err == nil {
			v, err = r.Field(ctx, task, f)
		}
		return v
	}
	bottom = read("stack")
	area := read("stack_vm_area")
	if err != nil {
		return 0, 0, fmt.Errorf("read the stack of the task at %#x: %w", task, err)
	}
	f, err := r.Member("vm_struct", "nr_pages")
	if err != nil {
		return 0, 0, fmt.Errorf("read the stack of the task at %#x: %w", task, err)
	}
	pages, err := r.Field(ctx, area, f)
	if err != nil {
		return 0, 0, fmt.Errorf("read the stack of the task at %#x: %w", task, err)
	}
	if pages == 0 || pages > 64 {
		return 0, 0, fmt.Errorf("read the stack of the task at %#x: a kernel stack cannot have %d pages", task, pages)
	}
	return bottom, bottom + pages*pageSize, nil
}

// UserRegs returns the address of the struct pt_regs with a task's user registers, at
// the top of its kernel stack.
func (r *Reader) UserRegs(ctx context.Context, task uint64) (uint64, error) {
	_, top, err := r.Stack(ctx, task)
	if err != nil {
		return 0, err
	}
	return top - uint64(r.topSize), nil
}

// SyscallArgs reads the first count arguments of a system call from the struct pt_regs
// at addr.
func (r *Reader) SyscallArgs(ctx context.Context, addr uint64, count int) ([]uint64, error) {
	members := r.arch.Syscall.Args
	if count > len(members) {
		return nil, fmt.Errorf("read system call arguments: %d is more than the %d that %s passes", count, len(members), r.arch.Name)
	}
	buf := make([]byte, r.regsSize)
	if err := r.Read(ctx, addr, buf); err != nil {
		return nil, fmt.Errorf("read system call arguments: %w", err)
	}
	args := make([]uint64, count)
	for i := range args {
		f, err := r.Member("pt_regs", members[i])
		if err != nil {
			return nil, fmt.Errorf("read system call arguments: %w", err)
		}
		if f.Size != 8 || f.Offset+8 > len(buf) {
			return nil, fmt.Errorf("read system call arguments: pt_regs.%s is not a register", members[i])
		}
		args[i] = binary.LittleEndian.Uint64(buf[f.Offset:])
	}
	return args, nil
}
