package view

import (
	"fmt"
	"math"
	"slices"

	"kernellab/harness/report/words"
	"kernellab/harness/trace"
)

// The geometry of a stack's drawing, in pixels.
const (
	stackTop    = 30
	stackHeight = 300
	stackLabel  = 16 // between labels
)

// drawing is a picture of a kernel stack: a bar of all of it, and beside that its upper
// part, both to scale.
type drawing struct {
	ID, Title, Desc string
	Whole, Upper    []region
	Labels          []label
	Bytes           trace.Word // of the upper part
	Size            trace.Word // of all
	Split           int        // the y at which the upper part ends in the bar of all
	Bottom          int        // the y of the bars' lower ends
	End             string     // the word at the stack's end
}

// region is a part of the stack.
type region struct {
	Y, Height int
	Class     string
}

// label names a region or a pointer.
type label struct {
	Y, At   int // of the text, and of what it names
	Text    string
	Pointer bool
}

// part is a region by addresses.
type part struct {
	from, to trace.Word
	class    string
	text     string
}

// drawings returns the pictures of stacks, all with the same scale. A stack whose ends
// are not known has none.
func drawings(id string, all []trace.StackImage) []drawing {
	var deep trace.Word
	for _, im := range all {
		if im.Top > im.Bottom {
			for _, p := range parts(im) {
				deep = max(deep, im.Top-p.from)
			}
			for _, sp := range []trace.Word{im.SP, im.ThreadSP} {
				if sp >= im.Bottom && sp < im.Top {
					deep = max(deep, im.Top-sp)
				}
			}
		}
	}
	deep += max(deep/12, 8)
	var out []drawing
	for i, im := range all {
		if im.Top <= im.Bottom || deep > im.Top-im.Bottom {
			continue
		}
		out = append(out, draw(fmt.Sprintf("%s-stack-%d", id, i+1), im, deep))
	}
	return out
}

// parts returns what lies in a stack, from its top down.
func parts(im trace.StackImage) []part {
	in := func(w trace.Word) bool { return w >= im.Bottom && w < im.Top }
	var out []part
	low := im.Top
	if n := len(im.User); n > 0 && in(im.User[0].Address) && in(im.User[n-1].Address) {
		from, to := im.User[0].Address, im.User[n-1].Address+8
		if to < im.Top {
			out = append(out, part{to, im.Top, "reserved", fmt.Sprintf("reserved, %d bytes", im.Top-to)})
		}
		out = append(out, part{from, to, "regs", fmt.Sprintf("struct pt_regs, %d bytes", to-from)})
		low = from
	}
	var frame []trace.Word // the words on the stack that a switch pops
	for _, s := range im.Switch {
		if in(s.Address) {
			frame = append(frame, s.Address)
		}
	}
	var switched *part
	if len(frame) > 0 {
		from, to := slices.Min(frame), slices.Max(frame)+8
		switched = &part{from, to, "switch", fmt.Sprintf("switch frame, %d bytes", to-from)}
		if from < im.SP {
			switched.class, switched.text = "popped", switched.text+", popped"
		}
	}
	calls := im.SP
	if switched != nil && switched.from == im.SP {
		calls = switched.to
	}
	if in(calls) && calls < low {
		out = append(out, part{calls, low, "calls", fmt.Sprintf("calls, %d bytes", low-calls)})
	}
	if switched != nil {
		out = append(out, *switched)
	}
	return out
}

// draw draws a stack, and the deep uppermost bytes of it.
func draw(id string, im trace.StackImage, deep trace.Word) drawing {
	size := im.Top - im.Bottom
	y := func(w, of trace.Word) int {
		return stackTop + int(math.Round(float64(im.Top-w)/float64(of)*stackHeight))
	}
	d := drawing{
		ID: id, Title: fmt.Sprintf("Kernel stack of the %s, %d[%s]", im.Role, im.Task.PID, im.Task.Comm),
		Bytes: deep, Size: size, Split: y(im.Top-deep, size), Bottom: stackTop + stackHeight, End: words.Magic(im.Magic),
	}
	add := func(to *[]region, p part, of trace.Word) {
		top := y(p.to, of)
		*to = append(*to, region{top, max(y(p.from, of)-top, 1), p.class})
	}
	d.Labels = append(d.Labels, label{At: stackTop, Text: "top " + im.Top.String(), Pointer: true})
	d.Desc = fmt.Sprintf("%d bytes from %s to %s.", size, im.Bottom, im.Top)
	for _, p := range parts(im) {
		add(&d.Whole, p, size)
		add(&d.Upper, p, deep)
		d.Labels = append(d.Labels, label{At: (y(p.to, deep) + y(p.from, deep)) / 2, Text: p.text})
		d.Desc += fmt.Sprintf(" From the top down: %s at %s.", p.text, p.from)
	}
	pointer := func(name string, sp trace.Word) {
		if sp >= im.Top-deep && sp < im.Top {
			d.Labels = append(d.Labels, label{At: y(sp, deep), Text: name + " " + sp.String(), Pointer: true})
			d.Desc += fmt.Sprintf(" %s is %s.", name, sp)
		}
	}
	if im.SP == im.ThreadSP {
		pointer("sp = thread.sp", im.SP)
	} else {
		pointer("sp", im.SP)
		pointer("thread.sp", im.ThreadSP)
	}
	slices.SortStableFunc(d.Labels, func(a, b label) int { return a.At - b.At })
	var places []float64
	for _, l := range d.Labels {
		places = append(places, float64(l.At))
	}
	for i, at := range apart(places, stackLabel) {
		d.Labels[i].Y = int(math.Round(at))
	}
	return d
}
