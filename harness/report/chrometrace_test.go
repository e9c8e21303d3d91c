package report_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"kernellab/harness/report"
	"kernellab/harness/verdict"
)

// Every lab's trace has a track for each task, slices that nest, an arrow to each task
// but the first, from slice to slice, and the calls of the stacks.
func TestChromeTrace(t *testing.T) {
	type event struct {
		Name, Ph, Bp string
		Ts, Dur      float64
		Tid, ID      int
		Args         map[string]string
	}
	for _, r := range recordings(t) {
		var b bytes.Buffer
		if err := report.Write(&b, report.FormatChromeTrace, verdict.NewDocument(r.result), report.Style{}); err != nil {
			t.Fatal(err)
		}
		var got struct {
			TraceEvents []event `json:"traceEvents"`
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		slicesOf, tracks, flows := map[int][]event{}, map[int]string{}, map[int][]event{}
		for _, e := range got.TraceEvents {
			switch e.Ph {
			case "M":
				if e.Name == "thread_name" {
					tracks[e.Tid] = e.Args["name"]
				}
			case "X":
				slicesOf[e.Tid] = append(slicesOf[e.Tid], e)
			default:
				flows[e.ID] = append(flows[e.ID], e)
			}
		}
		steps := slices.Concat(r.result.Steps, r.result.Evidence)
		pids := map[int]bool{}
		for _, s := range steps {
			pids[s.PID] = true
			at := float64(s.Time) / 1e3
			in := func(name string) bool {
				return slices.ContainsFunc(slicesOf[s.PID], func(e event) bool { return e.Name == name && e.Ts <= at && at <= e.Ts+e.Dur })
			}
			if !in(s.Point) {
				t.Errorf("%s: no slice of %s at %g", r.name, s.Point, at)
			}
			for _, f := range s.Stack {
				if name, _, _ := strings.Cut(f, "+"); !in(name) {
					t.Errorf("%s: no slice of %s at %g", r.name, name, at)
				}
			}
		}
		if len(tracks) != len(pids) || len(flows) != len(pids)-1 {
			t.Errorf("%s: %d tracks, %d arrows, for %d tasks", r.name, len(tracks), len(flows), len(pids))
		}
		for tid, all := range slicesOf {
			for i, a := range all {
				for _, o := range all[i+1:] {
					apart := a.Ts+a.Dur <= o.Ts || o.Ts+o.Dur <= a.Ts
					within := a.Ts <= o.Ts && o.Ts+o.Dur <= a.Ts+a.Dur || o.Ts <= a.Ts && a.Ts+a.Dur <= o.Ts+o.Dur
					if a.Dur < 0 || !apart && !within {
						t.Errorf("%s: on track %d %+v and %+v overlap", r.name, tid, a, o)
					}
				}
			}
		}
		for id, ends := range flows {
			if len(ends) != 2 || ends[0].Ph != "s" || ends[1].Ph != "f" || ends[1].Bp != "e" || ends[0].Tid == ends[1].Tid || ends[0].Ts > ends[1].Ts {
				t.Errorf("%s: the arrow %d is %+v", r.name, id, ends)
			}
		}
	}
}
