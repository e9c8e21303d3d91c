package view

import (
	"fmt"
	"math"
	"slices"

	"kernellab/harness/plan"
)

// The geometry of the path's drawing, in pixels.
const (
	lanesTop   = 52 // room for the heads of the lanes
	laneFirst  = 92
	laneApart  = 76
	labelGap   = 23 // between labels
	letter     = 8  // of a label
	shortest   = 220
	mostLabels = 64 // stops that are drawn: a longer path is drawn as far
)

// lanes is the drawing of the path: a line for each role, downwards in the guest's time,
// and a mark on it for each stop.
type lanes struct {
	Width, Height int
	Lanes         []lane
	Marks         []stopMark
	Births        []birthLine
	Ticks         []tick
	More          int // stops that are not drawn
}

// lane is the line of a role.
type lane struct {
	Name, Task string
	X          int
	From, To   int // the y of its first and last stop
	Class      int // its colour, from 0
}

// stopMark is a stop on its lane.
type stopMark struct {
	Stop         *Stop
	X, Y         int
	LabelX       int
	LabelY, Bend int
	Class        int
}

// birthLine leads from the stop before to the first stop of another lane.
type birthLine struct{ X1, Y1, X2, Y2 int }

// tick is a time on the axis.
type tick struct {
	Y    int
	Text string
}

// newLanes returns the drawing of stops, nil for none.
func newLanes(all []Stop) *lanes {
	if len(all) == 0 {
		return nil
	}
	shown := all[:min(len(all), mostLabels)]
	d := &lanes{More: len(all) - len(shown)}
	times := make([]float64, len(shown))
	for i, s := range shown {
		if times[i] = float64(s.Time); s.Time == 0 && shown[len(shown)-1].Time == 0 {
			times[i] = float64(i) // a document that does not say when
		}
	}
	height := max(shortest, labelGap*(len(shown)-1))
	at := scale(times[0], times[len(times)-1], height)
	var wanted []float64
	index := map[string]int{}
	for i := range shown {
		s := &shown[i]
		y := lanesTop + int(at(times[i]))
		wanted = append(wanted, float64(y))
		role := s.Role
		if role == "" || role == plan.Any {
			role = "any task"
		}
		n, ok := index[role]
		if !ok {
			n = len(d.Lanes)
			index[role] = n
			d.Lanes = append(d.Lanes, lane{Name: role, Task: fmt.Sprint("pid ", s.PID), X: laneFirst + n*laneApart, From: y, Class: n % 4})
			if i > 0 {
				before := d.Marks[i-1]
				d.Births = append(d.Births, birthLine{before.X, before.Y, d.Lanes[n].X, y})
			}
		}
		l := &d.Lanes[n]
		l.To = y
		if l.Task != fmt.Sprint("pid ", s.PID) {
			l.Task = ""
		}
		d.Marks = append(d.Marks, stopMark{Stop: s, X: l.X, Y: y, Class: l.Class})
	}
	x := d.Lanes[len(d.Lanes)-1].X + 30
	longest := 0
	for i, y := range apart(wanted, labelGap) {
		m := &d.Marks[i]
		m.LabelX, m.LabelY, m.Bend = x, int(math.Round(y)), x-12
		d.Height = max(d.Height, m.LabelY)
		longest = max(longest, len([]rune(m.Stop.Label())))
	}
	d.Height = max(d.Height, lanesTop+height) + 20
	d.Width = x + letter*longest + 8
	if shown[len(shown)-1].Time > 0 {
		d.Ticks = ticks(times[0], times[len(times)-1], at)
	}
	return d
}

// scale returns a function from values between from and to to 0 … size.
func scale(from, to float64, size int) func(float64) float64 {
	if to <= from {
		return func(float64) float64 { return 0 }
	}
	return func(v float64) float64 { return (v - from) / (to - from) * float64(size) }
}

// ticks returns round times between two, in ns.
func ticks(from, to float64, at func(float64) float64) (out []tick) {
	if to <= from {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((to-from)/4)))
	for _, f := range []float64{1, 2, 5, 10} {
		if (to-from)/(step*f) <= 8 {
			step *= f
			break
		}
	}
	for t := math.Ceil(from/step) * step; t <= to; t += step {
		out = append(out, tick{lanesTop + int(at(t)), fmt.Sprintf("%g ms", math.Round(t/1e3)/1e3)})
	}
	return out
}

// apart moves sorted places as little as it takes for them to be gap apart.
func apart(places []float64, gap float64) []float64 {
	type block struct {
		sum float64 // of the places, each less its place in the block
		n   int
	}
	at := func(b block) float64 { return b.sum / float64(b.n) }
	var blocks []block
	for _, p := range places {
		b := block{p, 1}
		for len(blocks) > 0 {
			last := blocks[len(blocks)-1]
			if at(last)+float64(last.n)*gap <= at(b) {
				break
			}
			blocks = blocks[:len(blocks)-1]
			b = block{last.sum + b.sum - float64(b.n*last.n)*gap, last.n + b.n}
		}
		blocks = append(blocks, b)
	}
	var out []float64
	for _, b := range blocks {
		for i := range b.n {
			out = append(out, at(b)+float64(i)*gap)
		}
	}
	if len(out) > 0 && out[0] < places[0] { // the first one keeps its place
		for i := range out {
			out[i] = max(out[i], places[0]+float64(i)*gap)
		}
	}
	return out
}

// Summary says in words what the drawing shows.
func (d lanes) Summary() string {
	var names []string
	for _, l := range d.Lanes {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	return fmt.Sprintf("%d stops of %d tasks in the guest's time, downwards; each is a link to what was seen there.", len(d.Marks), len(names))
}
