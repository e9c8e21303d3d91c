package inspect

import (
	"context"

	"kernellab/harness/blocks"
	"kernellab/harness/calls"
	"kernellab/harness/prepare"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Stretch is what runs between two stops of a lab's run.
type Stretch struct {
	Lab      labs.Lab
	From, To string // points; "" are the first stop and the last step of the lab
}

// points returns the stretch with the points that it has by default.
func (s Stretch) points(called, arch string) (Stretch, error) {
	all := s.Lab.Plan(arch).Points
	if s.From == "" {
		s.From = all[0].Name
	}
	if s.To == "" {
		for _, p := range all {
			if p.Step && p.Name != s.From {
				s.To = p.Name // the last one stays
			}
		}
	}
	for _, p := range []string{s.From, s.To} {
		if err := prepare.CheckPoint(s.Lab, called, arch, p); err != nil {
			return s, err
		}
	}
	if s.From == s.To {
		return s, usage.Errorf("--from and --to are both %s: give two points", s.From)
	}
	return s, nil
}

// Calls runs a lab's own program and returns the tree of calls between the first stops at
// two points. The run is the one that is graded. Each, if it is not nil, is called when a
// function is entered or left, and tracks has the names of the tracks in the end.
func Calls(ctx context.Context, h prepare.Host, t prepare.Target, m prepare.Machine, s Stretch, each func(calls.Event)) (*calls.Tree, *calls.Tracer, error) {
	s, err := s.points(s.Lab.Name, t.Arch.Name)
	if err != nil {
		return nil, nil, err
	}
	tracer := &calls.Tracer{At: t.Image.Symbols.At, Event: each}
	var log *blocks.Log
	var total blocks.Total
	defer func() {
		if log != nil {
			log.Close()
		}
	}()
	off := func(ctx context.Context, at *Stop) error {
		n, err := log.Off(ctx, at.Registers[t.Arch.Registers.PC])
		total.Instructions += n.Instructions
		total.Blocks += n.Blocks
		return err
	}
	stop := func(at *Stop) calls.Stop {
		e := at.Event
		return calls.Stop{Point: e.Point, Role: e.Role, PID: e.Task.PID, Comm: e.Task.Comm, PC: at.Registers[t.Arch.Registers.PC], Stack: e.Stack}
	}
	run := Run{Host: h, Target: t, Machine: m, Place: Place{Lab: s.Lab, Point: s.To, Exact: true}}
	run.Passed = func(ctx context.Context, at *Stop) (err error) {
		switch {
		case log == nil && at.Event.Point != s.From:
			return nil
		case log == nil:
			if log, err = blocks.New(at.Machine.Stub, t.Arch); err != nil {
				return err
			}
			tracer.Begin(stop(at))
		default:
			if err := off(ctx, at); err != nil {
				return err
			}
			tracer.Stop(stop(at))
		}
		return log.On(ctx, tracer.Block)
	}
	err = run.To(ctx, func(ctx context.Context, at *Stop) error {
		if log == nil {
			return usage.Errorf("the run comes to %s before it comes to %s", s.To, s.From)
		}
		if err := off(ctx, at); err != nil {
			return err
		}
		tracer.Stop(stop(at))
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	tree := tracer.Tree()
	tree.Lab, tree.Arch, tree.Kernel, tree.From, tree.To = s.Lab.Name, t.Arch.Name, t.Image.Release, s.From, s.To
	tree.Ran, tree.Blocks = total.Instructions, total.Blocks
	return tree, tracer, nil
}
