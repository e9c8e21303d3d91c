package probe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kernellab/harness/kernel"
	"kernellab/harness/rsp"
	"kernellab/harness/trace"
)

// observe reads the data that is recorded at every stop: the task and the registers. It
// returns the scope in which reads are evaluated.
func (d *driver) observe(ctx context.Context, regs map[string]uint64, stop rsp.Stop) (*scope, trace.Event, error) {
	event := trace.Event{
		Kind: trace.KindStop,
		CPU:  cpu(stop.Thread), Registers: map[string]trace.Word{},
	}
	var err error
	if event.Time, err = d.Guest.Clock(ctx); err != nil {
		return nil, event, err
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
		tasks: map[string]uint64{"current": current},
		cpu:   event.CPU,
		args:  map[string]value{}, roles: map[string]uint64{}, regs: regs,
	}
	for role, name := range d.Arch.Registers.Roles() {
		s.roles[role] = regs[name]
	}
	return s, event, nil
}

// setRound sets what a scope has of a round: the tasks of the roles, and the stops so far.
func (d *driver) setRound(s *scope, rd *round) {
	for _, role := range d.roles {
		s.tasks[role] = rd.tasks[role]
	}
	s.points, s.stops = d.Plan.names(), d.recording(rd, nil)
}

// cpu returns the CPU number of a thread of QEMU's stub. The stub counts from 1:
// "p01.02" is CPU 1.
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

// arguments reads the arguments of the function at whose entry the guest stopped, if
// they are passed in registers.
func (d *driver) arguments(ctx context.Context, p *point, s *scope, event *trace.Event) error {
	if p.Inlined {
		return d.inlinedArguments(ctx, p, s, event)
	}
	names := d.Arch.Registers.Args
	var values []uint64
	if p.Syscall {
		var err error
		if values, err = d.reader.SyscallArgs(ctx, s.regs[names[0]], len(p.Params)); err != nil {
			return err
		}
		for i, param := range p.Params {
			values[i] = narrow(values[i], param)
		}
	} else {
		for i, param := range p.Params {
			if i == len(names) {
				break
			}
			values = append(values, narrow(s.regs[names[i]], param))
		}
	}
	for i, v := range values {
		param := p.Params[i]
		event.Args = append(event.Args, trace.Arg{Name: param.Name, Type: param.Type, Value: trace.Word(v)})
		s.args[param.Name] = argument(v, param)
	}
	return nil
}

// inlinedArguments reads the arguments of an inlined function from the locations in the
// debug information. It leaves out arguments without a location.
func (d *driver) inlinedArguments(ctx context.Context, p *point, s *scope, event *trace.Event) error {
	vars, err := d.Image.Arguments(p.Resolved.Resolved, s.regs, func(addr uint64) (uint64, error) {
		return d.reader.Uint(ctx, addr, 8)
	})
	if err != nil {
		return err
	}
	for _, param := range p.Params {
		for _, v := range vars {
			if v.Name == param.Name && v.Number {
				value := narrow(v.Value, param)
				event.Args = append(event.Args, trace.Arg{Name: param.Name, Type: param.Type, Value: trace.Word(value)})
				s.args[param.Name] = argument(value, param)
			}
		}
	}
	return nil
}

// argument returns a parameter's value for reads.
func argument(v uint64, param kernel.Param) value {
	arg := value{v: v}
	if param.Pointer {
		arg.strct = param.Struct
	}
	return arg
}

// narrow truncates a register to the width of the parameter in it: the calling
// convention does not define the upper bits.
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

// read evaluates the point's reads. If the guest's memory or the kernel's types do not
// allow a read, the reason is recorded. If the stub does not answer, the run ends.
func (d *driver) read(ctx context.Context, p *point, s *scope, event *trace.Event) error {
	event.Reads, event.Texts, event.Unread = map[string]trace.Word{}, nil, nil
	note := func(name string, err error) error {
		var refused *rsp.Error
		var op *rsp.OpError
		if errors.As(err, &op) && !errors.As(err, &refused) {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if event.Unread == nil {
			event.Unread = map[string]string{}
		}
		event.Unread[name] = err.Error()
		return nil
	}
	for _, r := range p.Reads {
		v, text, err := s.eval(ctx, r.Expr)
		if err != nil {
			if err := note(r.Name, err); err != nil {
				return err
			}
			continue
		}
		if text == nil {
			event.Reads[r.Name] = trace.Word(v)
			continue
		}
		if event.Texts == nil {
			event.Texts = map[string]string{}
		}
		event.Texts[r.Name] = *text
	}
	if d.Plan.Parents {
		return d.parent(ctx, s, event)
	}
	return nil
}

// parent records the parent of the running task.
func (d *driver) parent(ctx context.Context, s *scope, event *trace.Event) error {
	at, _, err := s.eval(ctx, "current.real_parent")
	if err != nil {
		return fmt.Errorf("find the parent of %d[%s]: %w", event.Task.PID, event.Task.Comm, err)
	}
	task, err := d.reader.Task(ctx, at)
	if err != nil {
		return err
	}
	event.Parent = &task
	return nil
}
