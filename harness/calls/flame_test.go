package calls

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// flameBox is a box as the file has it.
type flameBox struct {
	Class string  `xml:"class,attr"`
	Name  string  `xml:"data-n,attr"`
	X     float64 `xml:"data-x,attr"`
	W     float64 `xml:"data-w,attr"`
	Title string  `xml:"title"`
	Rect  struct {
		X      float64 `xml:"x,attr"`
		Y      float64 `xml:"y,attr"`
		Width  float64 `xml:"width,attr"`
		Height float64 `xml:"height,attr"`
	} `xml:"rect"`
	Text string `xml:"text"`
}

func flameOf(t *testing.T, tree *Tree) (boxes []flameBox, file string) {
	t.Helper()
	var b bytes.Buffer
	if err := Flame(&b, tree); err != nil {
		t.Fatal(err)
	}
	var svg struct {
		Boxes []flameBox `xml:"g"`
	}
	if err := xml.Unmarshal(b.Bytes(), &svg); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	for _, g := range svg.Boxes {
		if strings.HasSuffix(g.Class, " box") {
			boxes = append(boxes, g)
		}
	}
	return boxes, b.String()
}

// Each box is as wide as its share of the instructions, and stands on its caller's.
func TestFlame(t *testing.T) {
	outer := &Node{Function: "outer", Kind: Syscall, Own: 100, Times: 1, Calls: []*Node{
		{Function: "first", Kind: Called, Own: 200, Times: 3, Calls: []*Node{{Function: "deep", Kind: TailCall, Own: 50, Times: 1}}},
		{Function: "second", Kind: Exception, Own: 300, Times: 1},
	}}
	alone := &Node{Function: "outer", Kind: Interrupt, Own: 350, Times: 1}
	tasks := []Task{{PID: 3, Comm: "a", Total: outer.sum() + alone.sum(), Calls: []*Node{outer, alone}}, {Comm: "b", Total: alone.sum(), Calls: []*Node{alone}}}
	for _, tree := range []*Tree{example(t), {Ran: 1350, Tasks: tasks}} {
		testFlame(t, tree)
	}
}

func testFlame(t *testing.T, tree *Tree) {
	boxes, _ := flameOf(t, tree)
	if again, _ := flameOf(t, tree); fmt.Sprint(boxes) != fmt.Sprint(again) {
		t.Error("a tree has two graphs")
	}
	i := 0
	next := func(name string, total uint64, under *flameBox) *flameBox {
		t.Helper()
		if i == len(boxes) {
			t.Fatalf("%s has no box", name)
		}
		b := &boxes[i]
		i++
		want := flameWidth * float64(total) / float64(tree.Ran)
		if b.Name != name || math.Abs(b.W-want) > 0.01 || b.Rect.X != b.X || b.Rect.Width != b.W || !strings.HasPrefix(b.Title, fmt.Sprintf("%s: %s instructions", name, count(total))) {
			t.Errorf("%+v, want %s, %.2f wide", b, name, want)
		}
		if under != nil && (b.X < under.X-0.01 || b.X+b.W > under.X+under.W+0.02 || b.Rect.Y != under.Rect.Y-rowHeight) {
			t.Errorf("%+v does not stand on %+v", b, under)
		}
		return b
	}
	var walk func(n *Node, under *flameBox)
	colours := map[Kind]string{Called: "c", TailCall: "c", Before: "c", Syscall: "s", Exception: "e", Interrupt: "i", Program: "p", Firmware: "p"}
	walk = func(n *Node, under *flameBox) {
		b := next(n.Function, n.Total, under)
		if want := colours[n.Kind] + " box"; b.Class != want {
			t.Errorf("%s, entered by %s, has the class %q, want %q", n.Function, n.Kind, b.Class, want)
		}
		left := b.X
		for _, c := range n.Calls {
			if at := boxes[i].X; math.Abs(at-left) > 0.02 {
				t.Errorf("%s begins at %.2f, want %.2f", c.Function, at, left)
			}
			walk(c, b)
			left += flameWidth * float64(c.Total) / float64(tree.Ran)
		}
	}
	end := 0.0
	for _, task := range tree.Tasks {
		b := next(task.Name(), task.Total, nil)
		if b.X > end+0.02 || b.X < end-0.02 {
			t.Errorf("%s begins at %.2f, want %.2f", b.Name, b.X, end)
		}
		left := b.X
		end = b.X + b.W
		for _, n := range task.Calls {
			if at := boxes[i].X; math.Abs(at-left) > 0.02 {
				t.Errorf("%s begins at %.2f, want %.2f", n.Function, at, left)
			}
			left += flameWidth * float64(n.Total) / float64(tree.Ran)
			walk(n, b)
		}
	}
	if i != len(boxes) {
		t.Errorf("%d boxes, want %d", len(boxes), i)
	}
}

// A function of one instruction in a million has no box, and a name is only text.
func TestFlameNames(t *testing.T) {
	const evil = "\"><script>alert(1)</script>&\x1b\xff"
	tree := &Tree{Lab: evil, Ran: 1e6, Tasks: []Task{{PID: 1, Comm: evil, Total: 1e6, Calls: []*Node{
		{Function: evil, Kind: Called, Total: 999999, Own: 999999, Times: 2}, {Function: "tiny", Kind: Interrupt, Total: 1, Own: 1, Times: 1},
	}}}}
	boxes, file := flameOf(t, tree)
	if len(boxes) != 2 || !strings.HasPrefix(boxes[1].Name, "\"><script>alert(1)</script>&") || !strings.HasSuffix(boxes[1].Title, "called 2 times") {
		t.Errorf("%+v", boxes)
	}
	if n := strings.Count(file, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	for _, url := range regexp.MustCompile(`(?:https?:|url\(|href)[^"]*`).FindAllString(file, -1) {
		if url != "http://www.w3.org/2000/svg" { // the name of the format
			t.Errorf("it refers to %s", url)
		}
	}
}

// The script measures as the graph does.
func TestFlameScript(t *testing.T) {
	want := fmt.Sprintf("width = %d, letter = %s;", flameWidth, strconv.FormatFloat(letter, 'g', -1, 64))
	if !strings.Contains(flameScript, want) {
		t.Errorf("flame.js does not have %q", want)
	}
	if strings.Contains(flameScript, "]]>") {
		t.Error("flame.js ends its own element")
	}
}
