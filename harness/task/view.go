package task

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kernellab/harness/kernel"
)

// View reads a guest at one stop. It caches the guest's memory, so it must not be used
// after the guest has run again. Damaged memory cannot make it loop or grow without
// bound: lists, paths, arrays and strings have limits, and exceeding one is an error.
type View struct {
	*Reader
	pages  map[uint64]*page
	fields map[string]fieldResult

	direct uint64 // address of physical address 0 in the direct map
	levels int    // of page tables; 0 until they are known
}

type page struct {
	data [pageSize]byte
	err  error
}

type fieldResult struct {
	f   kernel.Field
	err error
}

// View returns a View of the stopped guest.
func (r *Reader) View() *View {
	return &View{Reader: r, pages: map[uint64]*page{}, fields: map[string]fieldResult{}}
}

// maxPages limits the pages that a View caches. Reading all tasks needs far fewer.
const maxPages = 1 << 14

// PointerError is returned for an invalid address.
type PointerError struct {
	What string
	Addr uint64
}

func (e *PointerError) Error() string {
	if e.Addr == 0 {
		return e.What + " is NULL"
	}
	return fmt.Sprintf("%s is a wild pointer, %#x", e.What, e.Addr)
}

// errTooMuch is returned when a limit is exceeded.
var errTooMuch = errors.New("more than possible; the memory is damaged")

// Read reads kernel memory, from the cache where possible.
func (v *View) Read(ctx context.Context, addr uint64, buf []byte) error {
	if int64(addr) >= 0 || addr+uint64(len(buf)) < addr {
		return &PointerError{"the address", addr}
	}
	for len(buf) > 0 {
		p, err := v.page(ctx, addr&^(pageSize-1))
		if err != nil {
			return err
		}
		n := copy(buf, p.data[addr&(pageSize-1):])
		buf, addr = buf[n:], addr+uint64(n)
	}
	return nil
}

func (v *View) page(ctx context.Context, base uint64) (*page, error) {
	if p, ok := v.pages[base]; ok {
		return p, p.err
	}
	if len(v.pages) == maxPages {
		return nil, fmt.Errorf("read %#x: %w", base, errTooMuch)
	}
	p := &page{}
	p.err = v.Reader.Read(ctx, base, p.data[:])
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	v.pages[base] = p
	return p, p.err
}

func (v *View) word(ctx context.Context, addr uint64) (uint64, error) {
	var buf [8]byte
	err := v.Read(ctx, addr, buf[:])
	return binary.LittleEndian.Uint64(buf[:]), err
}

// text reads a string that ends with a zero byte, of at most limit bytes.
func (v *View) text(ctx context.Context, addr uint64, limit int) (string, error) {
	var out []byte
	for len(out) < limit {
		n := min(limit-len(out), pageSize-int(addr&(pageSize-1)))
		buf := make([]byte, n)
		if err := v.Read(ctx, addr, buf); err != nil {
			return string(out), err
		}
		if i := bytes.IndexByte(buf, 0); i >= 0 {
			return string(append(out, buf[:i]...)), nil
		}
		out, addr = append(out, buf...), addr+uint64(n)
	}
	return string(out), fmt.Errorf("a string at %#x of over %d bytes: %w", addr-uint64(len(out)), limit, errTooMuch)
}

// field finds a member like Image.Field, or an element of an array: member[index].
func (v *View) field(typ, path string) (kernel.Field, error) {
	key := typ + "." + path
	if r, ok := v.fields[key]; ok {
		return r.f, r.err
	}
	name, index := path, 0
	if at := strings.IndexByte(path, '['); at >= 0 && strings.HasSuffix(path, "]") {
		name = path[:at]
		index, _ = strconv.Atoi(path[at+1 : len(path)-1])
	}
	f, err := v.im.Field(typ, name)
	if err == nil && name != path {
		if f.Count <= index {
			err = fmt.Errorf("%s has %d elements", key, f.Count)
		} else {
			f.Size /= f.Count
			f.Offset, f.Count = f.Offset+index*f.Size, 0
		}
	}
	v.fields[key] = fieldResult{f, err}
	return f, err
}

// object is a structure in the guest's memory.
type object struct {
	v    *View
	typ  string
	addr uint64
}

func (v *View) object(typ string, addr uint64) object { return object{v, typ, addr} }

// valid returns an error if the object's address is invalid.
func (o object) valid(what string) error {
	if int64(o.addr) >= 0 || o.addr%4 != 0 || o.addr > ^uint64(pageSize) {
		return &PointerError{what, o.addr}
	}
	return nil
}

func (o object) has(path string) bool {
	_, err := o.v.field(o.typ, path)
	return err == nil
}

// number reads a scalar or pointer member.
func (o object) number(ctx context.Context, path string) (uint64, error) {
	f, err := o.v.field(o.typ, path)
	if err != nil {
		return 0, err
	}
	if f.Size < 1 || f.Size > 8 {
		return 0, fmt.Errorf("%s.%s is not a number: it has %d bytes", o.typ, path, f.Size)
	}
	var buf [8]byte
	if err := o.v.Read(ctx, o.addr+uint64(f.Offset), buf[:f.Size]); err != nil {
		return 0, fmt.Errorf("%s.%s: %w", o.typ, path, err)
	}
	f.Size = max(f.Size, 1)
	if f.BitSize == 0 && !f.Signed {
		return binary.LittleEndian.Uint64(buf[:]), nil
	}
	return decode(binary.LittleEndian.Uint64(buf[:]), f), nil
}

// first reads the first of several members that this kernel has.
func (o object) first(ctx context.Context, paths ...string) (uint64, error) {
	for _, p := range paths[:len(paths)-1] {
		if o.has(p) {
			return o.number(ctx, p)
		}
	}
	return o.number(ctx, paths[len(paths)-1])
}

// raw reads a member's bytes.
func (o object) raw(ctx context.Context, path string) ([]byte, error) {
	f, err := o.v.field(o.typ, path)
	if err != nil {
		return nil, err
	}
	if f.Size < 0 || f.Size > pageSize {
		return nil, fmt.Errorf("%s.%s has %d bytes: %w", o.typ, path, f.Size, errTooMuch)
	}
	buf := make([]byte, f.Size)
	if err := o.v.Read(ctx, o.addr+uint64(f.Offset), buf); err != nil {
		return nil, fmt.Errorf("%s.%s: %w", o.typ, path, err)
	}
	return buf, nil
}

// member returns an embedded structure, or the structure that a pointer points to. The
// error is a *PointerError for a NULL or invalid pointer.
func (o object) member(ctx context.Context, path string) (object, error) {
	f, err := o.v.field(o.typ, path)
	if err != nil {
		return object{}, err
	}
	if !f.Pointer {
		return object{o.v, f.Struct, o.addr + uint64(f.Offset)}, nil
	}
	p, err := o.number(ctx, path)
	if err != nil {
		return object{}, err
	}
	to := object{o.v, f.Struct, p}
	return to, to.valid(o.typ + "." + path)
}

// follow follows several members, as in o.files->fdt.
func (o object) follow(ctx context.Context, paths ...string) (object, error) {
	var err error
	for _, p := range paths {
		if o, err = o.member(ctx, p); err != nil {
			return o, err
		}
	}
	return o, nil
}

// container returns the structure of type typ that has o as its member.
func (o object) container(typ, member string) (object, error) {
	f, err := o.v.field(typ, member)
	return object{o.v, typ, o.addr - uint64(f.Offset)}, err
}

// list walks a struct list_head at head and returns the structures of type typ that
// are linked by member, at most limit. With an error it also returns those found until
// then.
func (v *View) list(ctx context.Context, head uint64, typ, member string, limit int) ([]object, error) {
	var out []object
	f, err := v.field(typ, member)
	if err != nil {
		return nil, err
	}
	next, err := v.field("list_head", "next")
	if err != nil {
		return nil, err
	}
	prev, err := v.field("list_head", "prev")
	if err != nil {
		return nil, err
	}
	where := fmt.Sprintf("the list %s.%s at %#x", typ, member, head)
	seen := map[uint64]bool{head: true}
	for at := head; ; {
		to, err := v.word(ctx, at+uint64(next.Offset))
		if err != nil {
			return out, fmt.Errorf("%s: %w", where, err)
		}
		if err := v.object("list_head", to).valid(where); err != nil {
			return out, err
		}
		back, err := v.word(ctx, to+uint64(prev.Offset))
		if err != nil {
			return out, fmt.Errorf("%s: %w", where, err)
		}
		switch {
		case back != at:
			return out, fmt.Errorf("%s is broken after %d entries: the entry at %#x does not point back", where, len(out), to)
		case to == head:
			return out, nil
		case seen[to]:
			return out, fmt.Errorf("%s loops after %d entries", where, len(out))
		case len(out) == limit:
			return out, fmt.Errorf("%s after %d entries: %w", where, limit, errTooMuch)
		}
		seen[to] = true
		out = append(out, v.object(typ, to-uint64(f.Offset)))
		at = to
	}
}

// variable reads a kernel variable of size bytes.
func (v *View) variable(ctx context.Context, name string, size int) (uint64, error) {
	sym, err := v.im.Symbols.Lookup(name)
	if err != nil {
		return 0, err
	}
	var buf [8]byte
	err = v.Read(ctx, sym.Addr, buf[:size])
	return binary.LittleEndian.Uint64(buf[:]), err
}
