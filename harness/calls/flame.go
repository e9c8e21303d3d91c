package calls

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The measures of a flame graph, in pixels. A box that would be narrower than narrow is not
// drawn.
const (
	flameWidth = 1200
	rowHeight  = 18
	flameHead  = 84
	flameFoot  = 30
	letter     = 7.3 // the width of one, in the font that the graph asks for
	narrow     = 0.2
)

// flameScript searches and zooms. Without it the graph is complete.
//
//go:embed flame.js
var flameScript string

// flameKind is a colour of a flame graph.
type flameKind struct {
	class, colour, words string
	kinds                []Kind
}

// flameKinds are how functions are entered that are told by colour: the class of their
// boxes, and what the legend says. All are light, with black letters.
var flameKinds = []flameKind{
	{"c", "#f6c28b", "function of the kernel", []Kind{Called, TailCall, Before}},
	{"s", "#a9dba4", "system call", []Kind{Syscall}},
	{"e", "#e3b3e8", "exception", []Kind{Exception}},
	{"i", "#9fcdf2", "interrupt", []Kind{Interrupt}},
	{"p", "#d5d5d5", "program, firmware", []Kind{Program, Firmware}},
	{"t", "#f2e38a", "task", nil},
}

// box is a rectangle of a flame graph: a function, a task or all tasks.
type box struct {
	class      string
	name       string
	own, total uint64
	times      uint64
	at         uint64 // instructions of the boxes left of it
	row        int
}

// Flame writes a tree as a flame graph: an SVG that needs no other file. A box is a
// function, as wide as the instructions that it took with those of what it called, and it
// stands on its caller. Its title tells the numbers.
func Flame(w io.Writer, t *Tree) error {
	all, rows := boxes(t)
	height := flameHead + rows*rowHeight + flameFoot
	b := bufio.NewWriter(w)
	title := fmt.Sprintf("%s on %s, Linux %s, from %s to %s", t.Lab, t.Arch, t.Kernel, t.From, t.To)
	if t.In != "" {
		title += ", in " + t.In
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n",
		flameWidth, height, flameWidth, height, escaped("Flame graph: "+title))
	fmt.Fprintln(b, "<style>text{font:12px monospace;fill:#000}.h{font:bold 16px sans-serif}.l{font:12px sans-serif}rect{stroke:#fff;stroke-width:.5}g:hover>rect{stroke:#000}.found>rect{fill:#ff66d9}.button{cursor:pointer;text-decoration:underline}")
	for _, k := range flameKinds {
		fmt.Fprintf(b, ".%s>rect{fill:%s}", k.class, k.colour)
	}
	fmt.Fprintf(b, "</style>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", flameWidth, height)
	fmt.Fprintf(b, `<text class="h" x="8" y="24">%s</text>`+"\n", escaped(title))
	var drawn uint64
	for _, task := range t.Tasks {
		drawn += task.Total
	}
	fmt.Fprintf(b, `<text class="l" x="8" y="44">%s instructions. A box stands on its caller, and is as wide as the instructions that it took with what it called.</text>`+"\n", count(drawn))
	x := 8
	for _, k := range flameKinds {
		fmt.Fprintf(b, `<g class="%s"><rect x="%d" y="54" width="12" height="12"/></g><text class="l" x="%d" y="64">%s</text>`+"\n", k.class, x, x+17, k.words)
		x += 30 + 7*len(k.words)
	}
	fmt.Fprintln(b, `<text id="search" class="l button" x="1010" y="64" display="none">search (/)</text><text id="reset" class="l button" x="1100" y="64" display="none">whole graph</text>`)
	scale := flameWidth / float64(max(drawn, 1))
	for _, r := range all {
		left, width := float64(r.at)*scale, float64(r.total)*scale
		if width < narrow {
			continue
		}
		y := height - flameFoot - (r.row+1)*rowHeight
		fmt.Fprintf(b, `<g class="%s box" data-n="%s" data-x="%.2f" data-w="%.2f"><title>%s</title><rect x="%.2f" y="%d" width="%.2f" height="%d"/>`,
			r.class, escaped(r.name), left, width, escaped(r.words(drawn)), left, y, width, rowHeight-1)
		fmt.Fprintf(b, `<text x="%.2f" y="%d">%s</text></g>`+"\n", left+3, y+13, escaped(fitted(r.name, width)))
	}
	fmt.Fprintf(b, `<text id="found" class="l" x="8" y="%d">Functions with fewer than one instruction in %d are not drawn.</text>`+"\n", height-10, int(flameWidth/narrow))
	fmt.Fprintf(b, "<script><![CDATA[\n%s]]></script>\n</svg>\n", flameScript)
	return b.Flush()
}

// boxes returns the boxes of a tree, each after the one on which it stands, and how many
// rows they take.
func boxes(t *Tree) (all []box, rows int) {
	var place func(n *Node, at uint64, row int)
	place = func(n *Node, at uint64, row int) {
		rows = max(rows, row+1)
		i := slices.IndexFunc(flameKinds, func(k flameKind) bool { return slices.Contains(k.kinds, n.Kind) })
		all = append(all, box{class: flameKinds[i].class, name: n.Function, own: n.Own, total: n.Total, times: n.Times, at: at, row: row})
		for _, c := range n.Calls {
			place(c, at, row+1)
			at += c.Total
		}
	}
	var at uint64
	for _, task := range t.Tasks {
		rows = max(rows, 1)
		all = append(all, box{class: "t", name: task.Name(), total: task.Total, at: at})
		left := at
		for _, n := range task.Calls {
			place(n, left, 1)
			left += n.Total
		}
		at += task.Total
	}
	return all, rows
}

// words are what a box's title tells.
func (r box) words(all uint64) string {
	text := fmt.Sprintf("%s: %s instructions (%.2f%%)", r.name, count(r.total), 100*float64(r.total)/float64(max(all, 1)))
	if r.class != "t" {
		text += fmt.Sprintf(", %s of its own", count(r.own))
	}
	switch {
	case r.times == 1:
		text += ", called once"
	case r.times > 1:
		text += fmt.Sprintf(", called %s times", count(r.times))
	}
	return text
}

// fitted is as much of a name as a box has room for, "" if that is next to nothing.
func fitted(name string, width float64) string {
	room := int((width - 6) / letter)
	letters := []rune(name)
	switch {
	case len(letters) <= room:
		return name
	case room < 3:
		return ""
	}
	return string(letters[:room-1]) + "…"
}

// escaped is a text for an element or an attribute.
func escaped(text string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(strings.ToValidUTF8(text, "\uFFFD")))
	return b.String()
}
