package inspect

import (
	"strings"
	"testing"

	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// run is a run with four stops and an aside between them.
func run() *trace.Trace {
	return &trace.Trace{Events: []trace.Event{
		{Kind: trace.KindStop, Point: "clone"},
		{Kind: trace.KindStop, Point: "copy_thread", Aside: "another task"},
		{Kind: trace.KindStop, Point: "copy_thread"},
		{Kind: trace.KindStop, Point: "copy_thread"},
		{Kind: trace.KindStop, Point: "release_task"},
	}}
}

// Back finds a stop of a run by its point, or from the end; asides do not count.
func TestBack(t *testing.T) {
	for name, tt := range map[string]struct {
		point  string
		rewind int
		want   Place
		none   bool
	}{
		"the last":         {rewind: 1, want: Place{Point: "release_task", Step: 4, Exact: true}},
		"the first":        {rewind: 4, want: Place{Point: "clone", Step: 1, Exact: true}},
		"before the first": {rewind: 5, none: true},
		"a point":          {point: "copy_thread", want: Place{Point: "copy_thread", Step: 2}},
		"another point":    {point: "do_exit", none: true},
	} {
		p, of, err := Back(run(), labs.Lab{}, tt.point, tt.rewind)
		if of != 4 || usage.Is(err) != tt.none || p.Point != tt.want.Point || p.Step != tt.want.Step || p.Exact != tt.want.Exact {
			t.Errorf("%s: %+v of %d, %v, want %+v", name, p, of, err, tt.want)
		}
	}
}

// The place that Back found is met at the same stop when the run repeats, and a run
// that does not repeat is an error.
func TestPlaceRepeats(t *testing.T) {
	tr := run()
	for rewind := 1; rewind <= 4; rewind++ {
		p, _, err := Back(tr, labs.Lab{}, "", rewind)
		if err != nil {
			t.Fatal(err)
		}
		met, steps := 0, 0
		for _, e := range tr.Events {
			if e.Aside == "" {
				steps++
			}
			ok, err := p.is(e, steps)
			if err != nil && steps <= p.Step {
				t.Fatal(err)
			}
			if ok && met == 0 {
				if met = steps; met != p.Step || e.Aside != "" {
					t.Errorf("stop %d was met at %d, aside %q", p.Step, steps, e.Aside)
				}
			}
		}
		if met == 0 {
			t.Errorf("stop %d was not met", p.Step)
		}
	}
	p := Place{Point: "clone", Step: 2}
	if ok, err := p.is(tr.Events[2], 2); ok || err == nil {
		t.Errorf("a stop at another point: %v, %v", ok, err)
	}
	first := Place{Point: "copy_thread"}
	if ok, _ := first.is(tr.Events[0], 1); ok {
		t.Error("the first stop at a point is at another point")
	}
}

func TestSelect(t *testing.T) {
	for word, want := range map[string]Selection{"current": {}, "0": {Given: true}, "42": {PID: 42, Given: true}} {
		if got, err := Select(word); err != nil || got != want {
			t.Errorf("Select(%q) = %+v, %v, want %+v", word, got, err, want)
		}
	}
	for _, word := range []string{"", "-1", "init", "1.5"} {
		if _, err := Select(word); !usage.Is(err) {
			t.Errorf("Select(%q): %v, want a mistake of usage", word, err)
		}
	}
}

// A person names a lab, a point, both or neither.
func TestPlaceAt(t *testing.T) {
	for _, c := range []struct {
		lab, point string
		want       string // the place's point, or what is wrong
		mistake    bool
	}{
		{"", "", "", false},
		{"fork-new", "", "sys_clone", false},
		{"fork-new", "copy_thread", "copy_thread", false},
		{"", "copy_thread", "--at needs --lab", true},
		{"fork-new", "copy_thred", "did you mean copy_thread", true},
		{"fork-old", "copy_thread", "fork-new", true},
	} {
		p, err := PlaceAt(c.lab, c.point, "x86_64")
		if c.mistake {
			if !usage.Is(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q at %q: %v, want %q", c.lab, c.point, err, c.want)
			}
			continue
		}
		if err != nil || p.Point != c.want || p.Lab.Name == "" || c.lab != "" && p.Lab.Name != c.lab || p.Step != 0 || p.Exact {
			t.Errorf("%q at %q: %s at %q, %v, want %q", c.lab, c.point, p.Lab.Name, p.Point, err, c.want)
		}
	}
}
