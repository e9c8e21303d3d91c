package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"kernellab/harness/report"
	"kernellab/harness/seeds"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

func someSeeds() []report.Seeds {
	event := func(sp trace.Word) *trace.Trace {
		return &trace.Trace{Events: []trace.Event{{Kind: trace.KindStop, Point: "copy_thread", Symbol: "copy_thread", Reads: map[string]trace.Word{"sp": sp}}}}
	}
	return []report.Seeds{{Lab: "fork-new", Arch: "x86_64", Kernel: "6.1", Runs: []seeds.Run{
		{Seed: 1, Trace: event(0x100), Result: verdict.Result{Verdict: verdict.Pass, Score: 3}},
		{Seed: 2, Trace: event(0x200), Result: verdict.Result{Verdict: verdict.Fail, Findings: []verdict.Finding{{Message: "the child is late"}}}},
		{Seed: 3, Result: verdict.Result{Verdict: verdict.Error, Error: "QEMU is missing"}},
	}}}
}

func TestSeedsText(t *testing.T) {
	var b bytes.Buffer
	if err := report.WriteSeeds(&b, report.FormatText, someSeeds()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"3 seeds: 1 passed, 1 failed, 1 could not be graded", "seed 2 failed: the child is late", "seed 3 could not be graded: QEMU is missing",
		"copy_thread: sp", "0x100, 0x200",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestSeedsJSON(t *testing.T) {
	var b bytes.Buffer
	if err := report.WriteSeeds(&b, report.FormatJSON, someSeeds()); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Schema  string
		Results []struct {
			Runs   []struct{ Seed int }
			Values []struct{ What string }
		}
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Schema != report.SeedsSchema || len(doc.Results) != 1 || len(doc.Results[0].Runs) != 3 || len(doc.Results[0].Values) == 0 {
		t.Errorf("%+v", doc)
	}
}
