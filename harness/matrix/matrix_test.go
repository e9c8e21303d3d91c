package matrix

import (
	"errors"
	"io/fs"
	"path/filepath"
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
		if got := Ending(f); got != want {
			t.Errorf("Ending: %q, want %q", got, want)
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
	ended := make([]bool, len(runs))
	m := Matrix{
		AtOnce: 1, Host: prepare.Host{Progress: progress.New(nil)},
		Stage: func(int, *Run, string) {}, Done: func(i int, _ *Run, _ harness.Finished) { ended[i] = true },
		Warn: func(err error) { t.Error(err) },
	}
	finished, err := m.Run(t.Context(), runs)
	if !errors.Is(err, unusable) {
		t.Errorf("error %v, want the kernel's", err)
	}
	for i, f := range finished {
		if f.Result.Verdict != verdict.Error || !errors.Is(f.Err, unusable) || f.Result.Lab != all[i].Name || f.Result.Kernel != "9.9" || !ended[i] || runs[i].Kept != "" {
			t.Errorf("run %d: %+v, ended %v", i, f, ended[i])
		}
	}
}

// A baseline reads back as it was written; a missing one is a mistake unless it is new.
func TestBaseline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "baseline.json")
	if _, err := ReadBaseline(path, false); !usage.Is(err) {
		t.Errorf("a missing baseline: %v, want a mistake of usage", err)
	}
	b, err := ReadBaseline(path, true)
	if err != nil || len(b.Entries) != 0 {
		t.Errorf("a new baseline: %+v, %v", b, err)
	}
	if left := b.Update(regress.Entry{Lab: "fork-new", Arch: "x86_64", Kernel: "6.1.0", Verdict: verdict.Pass}); len(left) != 0 {
		t.Fatalf("not recorded: %+v", left)
	}
	if err := WriteBaseline(path, b); err != nil {
		t.Fatal(err)
	}
	again, err := ReadBaseline(path, false)
	if err != nil || cmp.Diff(b.Entries, again.Entries) != "" {
		t.Errorf("read back: %v\n%s", err, cmp.Diff(b.Entries, again.Entries))
	}
	if err := WriteBaseline(filepath.Join(t.TempDir(), "none/b.json"), b); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that does not exist: %v", err)
	}
}
