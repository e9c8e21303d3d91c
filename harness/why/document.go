package why

import (
	"fmt"
	"io"
	"strings"

	"kernellab/harness/probe"
	"kernellab/harness/stores"
	"kernellab/harness/trace"
)

// Document is an answer. As JSON it is what cmd/lab/why.schema.json describes.
type Document struct {
	Schema string     `json:"schema"`
	Lab    string     `json:"lab"`
	Arch   string     `json:"arch"`
	Kernel string     `json:"kernel"`
	Expr   string     `json:"expr"`
	Point  string     `json:"point"`
	Symbol string     `json:"symbol"`
	Step   int        `json:"step"` // number of the stop, from 1
	Task   trace.Task `json:"task"`
	Time   int64      `json:"time_ns"`
	Result string     `json:"result,omitempty"` // the expression's value
	Values []Value    `json:"values"`
	Runs   int        `json:"runs"` // how many times the lab ran for this
}

// Value is a piece of memory that the expression reads, and its history.
type Value struct {
	Name    string     `json:"name"`
	Type    string     `json:"type,omitempty"`
	Address trace.Word `json:"address"`
	Size    int        `json:"size"`
	Value   string     `json:"value"`
	Writes  []Write    `json:"writes"` // latest first
	// From is the point from which on writes were seen. Before is what was there then,
	// if the history goes back to it.
	From   string `json:"from"`
	Before string `json:"before,omitempty"`
	Early  string `json:"early,omitempty"` // why what was before From is not known
	Note   string `json:"note,omitempty"`  // what was not seen
}

// Write is a write to the value, or to the place that a later write copied it from.
type Write struct {
	Address     trace.Word    `json:"address"` // of what was written: Size bytes
	Size        int           `json:"size"`
	Old         string        `json:"old"`
	New         string        `json:"new"`
	PC          trace.Word    `json:"pc"`
	Symbol      string        `json:"symbol,omitempty"`
	Offset      trace.Word    `json:"offset"`
	Source      string        `json:"source,omitempty"` // FILE:LINE
	Instruction string        `json:"instruction,omitempty"`
	Kind        stores.Kind   `json:"kind,omitempty"`
	CopiedFrom  trace.Word    `json:"copied_from,omitempty"`
	Times       int           `json:"times"` // stores that it took
	Task        trace.Task    `json:"task"`
	After       string        `json:"after"`             // the lab's stop before it
	AtMost      int64         `json:"at_most_before_ns"` // guest time from it to the stop
	Unknown     string        `json:"unknown,omitempty"` // why there is no instruction
	Stack       []trace.Frame `json:"stack"`
}

// document describes a write to an extent.
func (w *watcher) document(wr write, x probe.Extent) Write {
	out := Write{
		Address: trace.Word(x.Addr), Size: x.Size, Old: w.q.text(x, wr.old), New: w.q.text(x, wr.new),
		PC: trace.Word(wr.store.PC), Instruction: wr.store.Text, Kind: wr.store.Kind, Times: wr.times,
		Task: wr.task, After: wr.after, AtMost: w.clock - wr.clock, Stack: wr.stack,
	}
	if sym, off, ok := w.q.Target.Image.Symbols.At(wr.store.PC); ok && sym.IsText() {
		out.Symbol, out.Offset = sym.Name, trace.Word(off)
	}
	if at := w.q.Target.Image.Source(wr.store.PC); len(at) > 0 && at[0].File != "" {
		out.Source = fmt.Sprintf("%s:%d", at[0].File, at[0].Line)
	}
	if wr.copies(x) {
		out.CopiedFrom = trace.Word(x.Addr + wr.shift)
	}
	if wr.unknown != nil {
		out.Unknown = wr.unknown.Error()
	}
	return out
}

// Write writes the answer for a person.
func (d *Document) Write(w io.Writer) error {
	p := printer{w: w}
	p.printf("%s at %s, stop %d of %s (%s, %s), in %d[%s]\n", d.Expr, d.Point, d.Step, d.Lab, d.Kernel, d.Arch, d.Task.PID, d.Task.Comm)
	if d.Result != "" {
		p.printf("%s\n", d.Result)
	}
	for _, v := range d.Values {
		p.value(d, v)
	}
	return p.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) value(d *Document, v Value) {
	p.printf("\n%s, %d bytes at %v: %s\n", v.Name, v.Size, v.Address, v.Value)
	if v.Note != "" {
		p.printf("  But %s.\n", v.Note)
	}
	at := v.Address
	for i, w := range v.Writes {
		if w.Address != at {
			p.printf("\n  It was copied from %v:\n", w.Address)
			at = w.Address
		}
		p.write(i+1, d, w)
	}
	switch {
	case v.Before != "" && len(v.Writes) == 0:
		p.printf("  No write from %s on: it was there already.\n", v.From)
	case v.Before != "":
		p.printf("\n  Before that, at %s, it was %s.\n", v.From, v.Before)
	}
	if v.Early != "" {
		p.printf("  Who wrote that is not known: %s.\n", v.Early)
	}
}

func (p *printer) write(n int, d *Document, w Write) {
	where := "no function of the kernel image"
	if w.Symbol != "" {
		where = fmt.Sprintf("%s+%#x", w.Symbol, uint64(w.Offset))
	}
	if w.Source != "" {
		where += " (" + w.Source + ")"
	}
	p.printf("\n  %d. %s", n, where)
	if w.Instruction != "" {
		p.printf("   %s", w.Instruction)
	}
	if w.Times > 1 {
		p.printf("   (%d stores)", w.Times)
	}
	p.printf("\n     %s -> %s, %s\n", w.Old, w.New, w.how())
	p.printf("     by %d[%s] after %s, at most %s before %s\n", w.Task.PID, w.Task.Comm, w.After, milliseconds(w.AtMost), d.Point)
	for i, f := range w.Stack {
		text := f.String()
		switch at := f.Source(); {
		case i == 0 && f.Trusted && !f.Inlined:
			continue // the line above says it
		case f.User:
			text = "user mode"
		case at != "":
			text += "  " + at
		}
		p.printf("       %s\n", strings.ToValidUTF8(text, "?"))
	}
}

// how says where the value that was written came from.
func (w Write) how() string {
	switch {
	case w.Unknown != "":
		return w.Unknown
	case w.CopiedFrom != 0:
		return fmt.Sprintf("copied from %v", w.CopiedFrom)
	case w.Kind == stores.Constant:
		return "a constant in the code"
	case w.Kind == stores.Call:
		return "the return address of a call"
	case w.Kind == stores.Copy:
		return "a part of it copied"
	}
	return "computed, or passed to the function"
}

func milliseconds(ns int64) string { return fmt.Sprintf("%.1f ms", float64(ns)/1e6) }
