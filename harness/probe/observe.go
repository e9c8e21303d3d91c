package probe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kernellab/harness/kernel"
	"kernellab/harness/rsp"
	"kernellab/harness/trace"
)

// observe reads what every stop is recorded with: the task, the registers and
// the arguments. The scope it returns is what the point's reads see.
func (d *driver) observe(ctx context.Context, p *point, regs map[string]uint64, stop rsp.Stop) (*scope, trace.Event, error) {
	event := trace.Event{
		Kind: trace.KindStop, Elapsed: time.Since(d.Began),
		Point: p.Name, Symbol: p.Symbol, Address: trace.Word(p.Addr),
		CPU: cpu(stop.Thread), Registers: map[string]trace.Word{},
	}
	current, err := d.reader.Current(ctx, regs)
	if err != nil {
		return nil, event, fmt.Errorf("find the running task: %w", err)
	}
	task, err := d.reader.Task(ctx, current)
	if err != nil {
		return nil, event, err
	}
	event.Task = &task
	for _, name := range d.Arch.Registers.Record {
		if v, ok := regs[name]; ok {
			event.Registers[name] = trace.Word(v)
		}
	}
	s := &scope{
		reader: d.reader, view: d.reader.View(), im: d.Image, user: d.Arch.Syscall.User,
		tasks: map[string]uint64{"current": current, Parent: 0, Child: 0},
		args:  map[string]value{}, roles: map[string]uint64{}, regs: regs,
	}
	for role, name := range d.Arch.Registers.Roles() {
		s.roles[role] = regs[name]
	}
	values, err := d.arguments(ctx, p, regs)
	if err != nil {
		return nil, event, err
	}
	for i, v := range values {
		param := p.Params[i]
		event.Args = append(event.Args, trace.Arg{Name: param.Name, Type: param.Type, Value: trace.Word(v)})
		arg := value{v: v}
		if param.Pointer {
			arg.strct = param.Struct
		}
		s.args[param.Name] = arg
	}
	return s, event, nil
}

// cpu returns the vCPU of a thread as QEMU's stub names it: "p01.02", counted
// from 1, is CPU 1.
func cpu(thread string) int {
	if _, tid, ok := strings.Cut(thread, "."); ok {
		thread = tid
	}
	n, err := strconv.ParseInt(thread, 16, 32)
	if err != nil || n < 1 {
		return 0
	}
	return int(n) - 1
}

// arguments returns the values of the point's parameters, as many as are passed
// in registers.
func (d *driver) arguments(ctx context.Context, p *point, regs map[string]uint64) ([]uint64, error) {
	names := d.Arch.Registers.Args
	if p.Syscall {
		return d.reader.SyscallArgs(ctx, regs[names[0]], len(p.Params))
	}
	var values []uint64
	for i, param := range p.Params {
		if i == len(names) {
			break
		}
		values = append(values, narrow(regs[names[i]], param))
	}
	return values, nil
}

// narrow cuts a register to the width of the parameter in it: the bits above are
// not defined by the calling convention.
func narrow(v uint64, p kernel.Param) uint64 {
	if p.Size <= 0 || p.Size >= 8 {
		return v
	}
	shift := 64 - 8*p.Size
	if p.Signed {
		return uint64(int64(v<<shift) >> shift)
	}
	return v << shift >> shift
}

// read takes the point's reads. One that the guest's memory or this kernel's
// types do not allow is recorded with its reason; one that the stub could not
// answer at all ends the run.
func (d *driver) read(ctx context.Context, p *point, s *scope, event *trace.Event) error {
	event.Reads = map[string]trace.Word{}
	for _, r := range p.Reads {
		v, err := s.eval(ctx, r.Expr)
		var refused *rsp.Error
		var op *rsp.OpError
		if errors.As(err, &op) && !errors.As(err, &refused) {
			return fmt.Errorf("read %s: %w", r.Name, err)
		}
		if err == nil {
			event.Reads[r.Name] = trace.Word(v)
			continue
		}
		if event.Unread == nil {
			event.Unread = map[string]string{}
		}
		event.Unread[r.Name] = err.Error()
	}
	return nil
}
