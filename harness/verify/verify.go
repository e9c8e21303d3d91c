// Package verify compares a recorded trace with that of executing the same run again.
// A trace is a function of its header, so the two are identical, unless the recorded
// one was changed.
//
// The package reads the recorded trace as lines of JSON and not as a trace, because it
// may have been edited by hand.
package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kernellab/harness/trace"
)

// Difference is the first difference between two traces.
type Difference struct {
	Line  int    `json:"line"`            // of the recorded trace, from 1
	Seq   int    `json:"seq,omitempty"`   // of the event, 0 in the header
	Point string `json:"point,omitempty"` // of the event, if it is a stop
	Field string `json:"field"`           // "registers.rax"; "" for the whole line
	// Expected and Recorded are the values in the two traces, as JSON; "" means that
	// there is no value.
	Expected string `json:"expected"`
	Recorded string `json:"recorded"`
}

func (d *Difference) Error() string {
	where := "the header"
	switch {
	case d.Seq > 0 && d.Point != "":
		where = fmt.Sprintf("event %d (%s)", d.Seq, d.Point)
	case d.Seq > 0:
		where = fmt.Sprintf("event %d", d.Seq)
	case d.Line > 1:
		where = fmt.Sprintf("line %d", d.Line)
	}
	if d.Field != "" {
		where += ", " + d.Field
	}
	return fmt.Sprintf("%s: expected %s, recorded %s", where, shown(d.Expected), shown(d.Recorded))
}

// shown returns a value for people.
func shown(value string) string {
	const most = 120
	if value == "" {
		return "nothing"
	}
	if r := []rune(value); len(r) > most {
		return string(r[:most]) + "…"
	}
	return value
}

// Compare compares a recorded trace with that of executing the run again. The
// difference is nil if they are identical.
func Compare(expected *trace.Trace, recorded []byte) (*Difference, error) {
	want, err := encode(expected)
	if err != nil || bytes.Equal(want, recorded) {
		return nil, err
	}
	theirs, ours := lines(recorded), lines(want)
	for i := range max(len(theirs), len(ours)) {
		if d := line(at(ours, i), at(theirs, i)); d != nil {
			d.Line = i + 1
			return d, nil
		}
	}
	// The lines differ only in white space or in the order of members.
	for i := range ours {
		if !bytes.Equal(at(ours, i), at(theirs, i)) {
			return &Difference{Line: i + 1, Expected: string(at(ours, i)), Recorded: string(at(theirs, i))}, nil
		}
	}
	return &Difference{Line: len(ours) + 1, Expected: "the end of the trace", Recorded: "more"}, nil
}

// Repeats compares the traces of two runs. The difference is nil if they are identical.
func Repeats(first, second *trace.Trace) (*Difference, error) {
	recorded, err := encode(first)
	if err != nil {
		return nil, err
	}
	return Compare(second, recorded)
}

// encode returns the bytes of a trace.
func encode(t *trace.Trace) ([]byte, error) {
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, t.Header)
	for _, e := range t.Events {
		if err == nil {
			err = w.Write(e)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("write the trace of the run: %w", err)
	}
	return b.Bytes(), nil
}

func lines(b []byte) [][]byte {
	return bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
}

func at(all [][]byte, i int) []byte {
	if i < len(all) {
		return all[i]
	}
	return nil
}

// line compares two lines.
func line(want, got []byte) *Difference {
	w, wok := object(want)
	g, gok := object(got)
	d := &Difference{}
	if wok {
		d.Seq, d.Point = position(w)
	}
	if !wok || !gok {
		if bytes.Equal(want, got) {
			return nil
		}
		d.Expected, d.Recorded = string(want), string(got)
		return d
	}
	field, a, b, differs := first(w, g)
	if !differs {
		return nil
	}
	d.Field, d.Expected, d.Recorded = field, text(a), text(b)
	return d
}

// object decodes a line, and keeps the spelling of numbers.
func object(b []byte) (map[string]any, bool) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v map[string]any
	return v, dec.Decode(&v) == nil && !dec.More()
}

// position returns the number and the point of an event.
func position(event map[string]any) (seq int, point string) {
	n, _ := event["seq"].(json.Number)
	v, _ := n.Int64()
	point, _ = event["point"].(string)
	return int(v), point
}

// missing is the value of a missing member.
type missing struct{}

// first returns the path of the first difference, in the order of names.
func first(want, got any) (path string, a, b any, differs bool) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return "", want, got, true
		}
		names := slices.Collect(maps.Keys(w))
		for name := range g {
			if _, both := w[name]; !both {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			if path, a, b, differs := first(member(w, name), member(g, name)); differs {
				return strings.TrimSuffix(name+"."+path, "."), a, b, true
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			return "", want, got, true
		}
		for i := range max(len(w), len(g)) {
			if path, a, b, differs := first(element(w, i), element(g, i)); differs {
				return strings.TrimSuffix(fmt.Sprintf("%d.%s", i, path), "."), a, b, true
			}
		}
	default:
		if want != got {
			return "", want, got, true
		}
	}
	return "", nil, nil, false
}

func member(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	return missing{}
}

func element(l []any, i int) any {
	if i < len(l) {
		return l[i]
	}
	return missing{}
}

func text(v any) string {
	if _, none := v.(missing); none {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
