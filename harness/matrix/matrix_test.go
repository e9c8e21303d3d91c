package matrix

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/regress"
	"kernellab/harness/verdict"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// A run's end is one line, also when its error has several.
func TestEnding(t *testing.T) {
	for want, f := range map[string]harness.Finished{
		"pass 14/14 in 4.2 s":          {Result: verdict.Result{Verdict: verdict.Pass, Score: 14, MaxScore: 14}, Took: 4200 * time.Millisecond},
		"error, it panicked: in 1.0 s": {Result: grade.Failure(grade.Rules{}, "6.12", errors.New("it panicked:\nmore")), Took: time.Second},
	} {
		if got := ending(f); got != want {
			t.Errorf("ending: %q, want %q", got, want)
		}
	}
}

// A kernel that cannot be used fails its own runs, one for each lab, and says why.
func TestUnusableKernel(t *testing.T) {
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	unusable := errors.New("kernel 9.9: no such kernel")
	var runs []*Run
	for _, l := range all[:2] {
		runs = append(runs, &Run{Lab: l, Target: prepare.Target{Release: "9.9", Err: unusable}})
	}
	var log strings.Builder
	m := Matrix{AtOnce: 1, Host: prepare.Host{Progress: progress.New(nil)}}
	finished, err := m.execute(t.Context(), runs, progress.NewBoard(&log, len(runs)))
	if !errors.Is(err, unusable) {
		t.Errorf("error %v, want the kernel's", err)
	}
	for i, f := range finished {
		if f.Result.Verdict != verdict.Error || !errors.Is(f.Err, unusable) || f.Result.Lab != all[i].Name || f.Result.Kernel != "9.9" || runs[i].Kept != "" {
			t.Errorf("run %d: %+v", i, f)
		}
		if want := fmt.Sprintf("/2] %s: error, %v in ", runs[i].Name(), unusable); strings.Count(log.String(), want) != 1 {
			t.Errorf("the progress does not have %q once:\n%s", want, log.String())
		}
	}
}

// A baseline reads back as it was written; a missing one is a mistake unless it is new.
func TestBaseline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "baseline.json")
	if _, err := readBaseline(path, false); !usage.Is(err) {
		t.Errorf("a missing baseline: %v, want a mistake of usage", err)
	}
	b, err := readBaseline(path, true)
	if err != nil || len(b.Entries) != 0 {
		t.Errorf("a new baseline: %+v, %v", b, err)
	}
	if left := b.Update(regress.Entry{Lab: "fork-new", Arch: "x86_64", Kernel: "6.1.0", Verdict: verdict.Pass}); len(left) != 0 {
		t.Fatalf("not recorded: %+v", left)
	}
	if err := writeBaseline(path, b); err != nil {
		t.Fatal(err)
	}
	again, err := readBaseline(path, false)
	if err != nil || cmp.Diff(b.Entries, again.Entries) != "" {
		t.Errorf("read back: %v\n%s", err, cmp.Diff(b.Entries, again.Entries))
	}
	if err := writeBaseline(filepath.Join(t.TempDir(), "none/b.json"), b); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that does not exist: %v", err)
	}
}

// Flags about a baseline need one.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		m    Matrix
		want string // "" is no error
	}{
		{Matrix{}, ""},
		{Matrix{Baseline: "b.json", Update: true, Strict: true}, ""},
		{Matrix{Update: true}, "--update-baseline records into the file of --baseline"},
		{Matrix{Strict: true}, "--strict is about changes from a baseline"},
	} {
		err := c.m.Check()
		if (err != nil) != (c.want != "") || err != nil && (!usage.Is(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.m, err, c.want)
		}
	}
}

// Results are compared with a baseline that has entries, or that is not to be written.
func TestCompare(t *testing.T) {
	finished := []harness.Finished{{Result: verdict.Result{Lab: "fork-new", Arch: "x86_64", Kernel: "6.1.0", Verdict: verdict.Fail}}}
	full := regress.Baseline{Entries: []regress.Entry{{Lab: "fork-new", Arch: "x86_64", Kernel: "6.1.0", Verdict: verdict.Pass}}}
	for _, c := range []struct {
		name string
		m    Matrix
		base regress.Baseline
		want int // comparisons
	}{
		{"no baseline", Matrix{}, regress.Baseline{}, 0},
		{"a baseline", Matrix{Baseline: "b.json"}, full, 1},
		{"an empty baseline", Matrix{Baseline: "b.json"}, regress.Baseline{}, 1},
		{"a new baseline", Matrix{Baseline: "b.json", Update: true}, regress.Baseline{}, 0},
		{"a baseline to update", Matrix{Baseline: "b.json", Update: true, Strict: true}, full, 1},
	} {
		results, entries := c.m.compare(c.base, finished)
		if len(results.Comparisons) != c.want || len(results.Results) != 1 || len(entries) != 1 || entries[0].Verdict != verdict.Fail || results.Strict != c.m.Strict {
			t.Errorf("%s: %+v, %+v, want %d comparisons", c.name, results, entries, c.want)
		}
	}
}
