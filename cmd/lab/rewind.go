package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"kernellab/harness/prepare"
	"kernellab/harness/task/listing"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// stackWords is how much of the stack is shown at a stop gone back to.
const stackWords = 32

// checkBack checks --at and --rewind before anything is run.
func checkBack(l labs.Lab, f runFlags) error {
	switch {
	case !f.back() && f.rewind == 0:
		return nil
	case f.rewind < 0:
		return usage.Errorf("--rewind %d: stops are counted from the end, 1 is the last", f.rewind)
	case f.at != "" && f.rewind > 0:
		return usage.Errorf("--at and --rewind are two ways to name a stop: give one")
	case f.format != "text":
		return usage.Errorf("--at and --rewind show a stop as text, not as %s", f.format)
	case f.at != "":
		machines, err := prepare.Archs(f.arch)
		if err != nil {
			return err
		}
		if known := pointNames(l.Plan(machines[0].Name)); !slices.Contains(known, f.at) {
			return usage.Unknown("point of "+l.Name, f.at, known, "lab show "+l.Name+" tells them")
		}
	}
	return nil
}

// goBack stops once more at a stop of a run that is over: the guest is restored
// from the same snapshot and runs forward to it. It takes the same path.
func (a *app) goBack(ctx context.Context, l labs.Lab, t prepare.Target, f runFlags, tr *trace.Trace, p *progress) error {
	began := time.Now()
	var stops []trace.Event
	for _, e := range tr.Events {
		if e.Kind == trace.KindStop && e.Aside == "" {
			stops = append(stops, e)
		}
	}
	i := len(stops) - f.rewind
	if f.at != "" {
		i = slices.IndexFunc(stops, func(e trace.Event) bool { return e.Point == f.at })
	}
	if i < 0 || i >= len(stops) {
		return usage.Errorf("the run has %d stops, none of them is --at %q or --rewind %d", len(stops), f.at, f.rewind)
	}
	look := lookFlags{arch: t.Arch.Name, lab: l.Name, at: stops[i].Point, step: i + 1, format: "text", machineFlags: f.machineFlags, exact: f.at == ""}
	return a.lookOnce(ctx, look, l, t, p, func(ctx context.Context, s *sight) (any, func() error, error) {
		info, err := s.view.Inspect(ctx, s.current, s.regs)
		if err != nil {
			return nil, nil, err
		}
		sp, size := s.regs[t.Arch.Registers.SP], uint64(8*stackWords)
		if _, top, err := s.view.Stack(ctx, s.current); err == nil && sp < top {
			size = min(size, (top-sp)&^7)
		}
		words := make([]byte, size)
		if err := s.view.Read(ctx, sp, words); err != nil {
			return nil, nil, fmt.Errorf("read the stack: %w", err)
		}
		return nil, func() error {
			fmt.Fprintf(a.stdout, "\nBack at stop %d of %d, %s (%s), after %.2f s:\n\n", i+1, len(stops), s.event.Point, s.event.Symbol, time.Since(began).Seconds())
			return errors.Join(
				listing.Task(a.stdout, info), header(a.stdout, "stack"),
				listing.Stack(a.stdout, info.Task, s.event.CPU, s.view.BacktraceVariables(ctx, s.current, s.regs)),
				header(a.stdout, "arguments and reads"), values(a.stdout, s.event),
				header(a.stdout, "registers"), registers(a.stdout, s.regs),
				header(a.stdout, "memory at the stack pointer"), memory(a.stdout, sp, words))
		}, nil
	})
}

func header(w io.Writer, name string) error {
	_, err := fmt.Fprintf(w, "\n%s:\n", name)
	return err
}

func values(w io.Writer, e trace.Event) error {
	var b strings.Builder
	for _, arg := range e.Args {
		fmt.Fprintf(&b, "  %-24s %s\n", arg.Name, arg.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Reads)) {
		fmt.Fprintf(&b, "  %-24s %s\n", name, e.Reads[name])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func registers(w io.Writer, regs map[string]uint64) error {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(regs)) {
		end := "  "
		if i%3 == 2 || i == len(regs)-1 {
			end = "\n"
		}
		fmt.Fprintf(&b, "  %-10s 0x%016x%s", name, regs[name], end)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func memory(w io.Writer, addr uint64, words []byte) error {
	var b strings.Builder
	for i := 0; i+8 <= len(words); i += 8 {
		if i%32 == 0 {
			fmt.Fprintf(&b, "  %#x ", addr+uint64(i))
		}
		fmt.Fprintf(&b, " %016x", binary.LittleEndian.Uint64(words[i:]))
		if i%32 == 24 || i+16 > len(words) {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
