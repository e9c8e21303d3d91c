package seeds_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/seeds"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

func run(seed uint32, as verdict.Verdict, events ...trace.Event) seeds.Run {
	return seeds.Run{
		Seed: seed, Trace: &trace.Trace{Events: events},
		Result: verdict.Result{Verdict: as, Checks: []verdict.Check{{Name: "it forks", Verdict: as}}},
	}
}

func stop(point string, time int64, sp trace.Word) trace.Event {
	return trace.Event{
		Kind: trace.KindStop, Point: point, Symbol: point, Time: time,
		Reads: map[string]trace.Word{"sp": sp}, Args: []trace.Arg{{Name: "flags", Value: 17}},
	}
}

func TestValues(t *testing.T) {
	aside := stop("sys_clone", 3, 9)
	aside.Aside = "another task"
	runs := []seeds.Run{
		run(1, verdict.Pass, stop("sys_clone", 10, 0x100), aside, stop("copy_thread", 20, 0x200)),
		run(2, verdict.Pass, stop("sys_clone", 10, 0x110), stop("copy_thread", 20, 0x200)),
		run(3, verdict.Fail, stop("sys_clone", 10, 0x100)),
		{Seed: 4, Result: verdict.Result{Verdict: verdict.Error}},
	}
	got := map[string]seeds.Value{}
	varied := map[string]bool{}
	for _, v := range seeds.Values(runs) {
		got[v.What] = v
		varied[v.What] = v.Varies(len(runs))
	}
	want := map[string]seeds.Value{
		"verdict":                     {What: "verdict", Seen: []string{"pass", "fail", "error"}, Runs: 4},
		"check: it forks":             {What: "check: it forks", Seen: []string{"pass", "fail"}, Runs: 3},
		"sys_clone: symbol":           {What: "sys_clone: symbol", Seen: []string{"sys_clone"}, Runs: 3},
		"sys_clone: guest time":       {What: "sys_clone: guest time", Seen: []string{"10"}, Runs: 3},
		"sys_clone: argument flags":   {What: "sys_clone: argument flags", Seen: []string{"0x11"}, Runs: 3},
		"sys_clone: sp":               {What: "sys_clone: sp", Seen: []string{"0x100", "0x110"}, Runs: 3},
		"copy_thread: symbol":         {What: "copy_thread: symbol", Seen: []string{"copy_thread"}, Runs: 2},
		"copy_thread: guest time":     {What: "copy_thread: guest time", Seen: []string{"20"}, Runs: 2},
		"copy_thread: argument flags": {What: "copy_thread: argument flags", Seen: []string{"0x11"}, Runs: 2},
		"copy_thread: sp":             {What: "copy_thread: sp", Seen: []string{"0x200"}, Runs: 2},
		"order of the stops":          {What: "order of the stops", Seen: []string{" sys_clone copy_thread", " sys_clone"}, Runs: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, what := range []string{"verdict", "sys_clone: sp", "copy_thread: symbol", "order of the stops"} {
		if !varied[what] {
			t.Errorf("%s does not count as varied", what)
		}
	}
	same := seeds.Value{Seen: []string{"1"}, Runs: 4}
	if same.Varies(4) {
		t.Error("one value in every run counts as varied")
	}
}
