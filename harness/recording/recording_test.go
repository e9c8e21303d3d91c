package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness"
	"kernellab/harness/prepare"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/harness/verify"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
)

// write writes a file into a new folder of dir.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file stands for itself, a folder for every trace in it.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	one := write(t, filepath.Join(dir, "a", harness.TraceFile), "")
	two := write(t, filepath.Join(dir, "b/c", harness.TraceFile), "")
	other := write(t, filepath.Join(dir, "b/run.json"), "")
	for path, want := range map[string][]string{dir: {one, two}, filepath.Join(dir, "b"): {two}, other: {other}} {
		if got, err := Find(path); err != nil || !cmp.Equal(got, want) {
			t.Errorf("Find(%s) = %q, %v, want %q", path, got, err, want)
		}
	}
	for _, path := range []string{t.TempDir(), filepath.Join(dir, "none")} {
		if got, err := Find(path); err == nil {
			t.Errorf("Find(%s) = %q, want an error", path, got)
		}
	}
}

// A run that cannot be executed here says what is missing, and executes nothing.
func TestExecuteUnable(t *testing.T) {
	dir := t.TempDir()
	header := func(change func(*trace.Header)) string {
		h := trace.Header{Schema: trace.Schema, Lab: "fork-new", Arch: "x86_64"}
		h.Machine.CPUs = 1
		change(&h)
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + "\n"
	}
	for name, tt := range map[string]struct{ text, lab, want string }{
		"no header":        {"not JSON\n", "", "is not the header of a trace"},
		"an older schema":  {header(func(h *trace.Header) { h.Schema = "lab.trace/0" }), "", `schema "lab.trace/0"`},
		"an unknown lab":   {header(func(h *trace.Header) { h.Lab = "fork-nwe" }), "", "fork-nwe"},
		"no folder of lab": {header(func(*trace.Header) {}), "none", "none"},
		"an unknown arch":  {header(func(h *trace.Header) { h.Arch = "arm" }), "", "arm"},
	} {
		path := write(t, filepath.Join(dir, name, harness.TraceFile), tt.text)
		e := Execution{Lab: tt.lab}.Execute(t.Context(), path)
		if e.Verdict != Unable || !strings.Contains(e.Missing, tt.want) || e.Trace != path || e.Difference != nil {
			t.Errorf("%s: %+v, want one that says %q", name, e, tt.want)
		}
	}
	for _, path := range []string{filepath.Join(dir, "none"), dir} {
		if e := (Execution{}).Execute(t.Context(), path); e.Verdict != Unable || e.Missing == "" {
			t.Errorf("%s: %+v", path, e)
		}
	}
}

// Each input that a trace depends on is compared, and named when it differs.
func TestCompareInputs(t *testing.T) {
	var recorded trace.Header
	recorded.Machine.QEMU, recorded.Machine.Initramfs, recorded.Program.SHA256 = "10.0.2", "aa", "bb"
	for name, tt := range map[string]struct {
		change     func(*trace.Header)
		submission string
		want       string
	}{
		"the same":         {func(*trace.Header) {}, "", ""},
		"QEMU":             {func(h *trace.Header) { h.Machine.QEMU = "9.2.1" }, "", "with QEMU 10.0.2, but this is 9.2.1"},
		"the initramfs":    {func(h *trace.Header) { h.Machine.Initramfs = "cc" }, "", "with the initramfs aa"},
		"the program":      {func(h *trace.Header) { h.Program.SHA256 = "dd" }, "", "--submission DIR"},
		"another's prog.c": {func(h *trace.Header) { h.Program.SHA256 = "dd" }, "eve", "the program of eve is not the one"},
	} {
		here := recorded
		tt.change(&here)
		err := Execution{Submission: tt.submission}.compareInputs(here, recorded)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// A trace that does not exist is the caller's mistake; a broken one is not.
func TestGradeErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := (Grading{}).Grade(t.Context(), filepath.Join(dir, "none")); !usage.Is(err) {
		t.Errorf("no trace: %v, want a mistake of usage", err)
	}
	path := write(t, filepath.Join(dir, "broken.jsonl"), "{}\n")
	if _, err := (Grading{}).Grade(t.Context(), path); err == nil || usage.Is(err) || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken trace: %v, want an error that names it", err)
	}
}

// A trace that was changed is refused before any rule is applied, with the event and the
// field; as it was recorded it passes.
func TestGradeContradiction(t *testing.T) {
	dir := t.TempDir()
	for _, r := range recordings(t) {
		honest := string(bytes.Join(r.lines, []byte("\n"))) + "\n"
		i := slices.IndexFunc(r.events, func(e trace.Event) bool { return e.Kind == trace.KindStop && e.Aside == "" })
		e := r.events[i]
		old := fmt.Sprintf(`"address":"%s","task"`, e.Address)
		line := strings.Replace(string(r.lines[i+1]), old, fmt.Sprintf(`"address":"%s","task"`, e.Address+8), 1)
		changed := strings.Replace(honest, string(r.lines[i+1]), line, 1)
		path := write(t, filepath.Join(dir, r.lab, r.arch, "changed.jsonl"), changed)
		want := fmt.Sprintf("%s: the trace contradicts itself in event %d (%s), address: ", path, e.Seq, e.Point)
		if res, err := (Grading{}).Grade(t.Context(), path); err == nil || usage.Is(err) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s on %s: %v, %v, want an error that begins with %q", r.lab, r.arch, res.Verdict, err, want)
		}
		path = write(t, filepath.Join(dir, r.lab, r.arch, "honest.jsonl"), honest)
		if res, err := (Grading{}).Grade(t.Context(), path); err != nil || !res.Passed() {
			t.Errorf("%s on %s: %v, %v, want a pass", r.lab, r.arch, res.Verdict, err)
		}
	}
}

// Several traces are graded, those that cannot be are left out or have a result that
// says so, and the error has all reasons.
func TestGradeAll(t *testing.T) {
	dir := t.TempDir()
	r := recordings(t)[0]
	honest := write(t, filepath.Join(dir, "honest.jsonl"), string(bytes.Join(r.lines, []byte("\n")))+"\n")
	broken := write(t, filepath.Join(dir, "broken.jsonl"), "{}\n")
	for _, failures := range []bool{false, true} {
		doc, err := Grading{}.All(t.Context(), []string{broken, honest, broken}, failures)
		var verdicts []verdict.Verdict
		for _, r := range doc.Results {
			verdicts = append(verdicts, r.Verdict)
		}
		want := []verdict.Verdict{verdict.Pass}
		if failures {
			want = []verdict.Verdict{verdict.Error, verdict.Pass, verdict.Error}
		}
		if !cmp.Equal(verdicts, want) || err == nil || strings.Count(err.Error(), broken) != 2 {
			t.Errorf("failures %v: %q, %v, want %q and an error that names the broken trace twice", failures, verdicts, err, want)
		}
	}
}

// The runs of all traces are found before the first is executed, and the worst result
// makes the exit code.
func TestExecuteAll(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, harness.TraceFile), "not JSON\n")
	var log, out strings.Builder
	x := Execution{Host: prepare.Host{Progress: progress.New(&log)}}
	each := func(e Executed) error { return e.Write(&out) }
	if all, err := x.All(t.Context(), []string{path, filepath.Join(dir, "none")}, each); !usage.Is(err) || all != nil || out.Len() > 0 {
		t.Errorf("a path that does not exist: %+v, %v, printed %q", all, err, out.String())
	}
	all, err := x.All(t.Context(), []string{dir, path}, each)
	if err != nil || len(all) != 2 || strings.Count(out.String(), path+": cannot be executed here\n  its first line is not") != 2 {
		t.Errorf("%+v, %v, printed\n%s", all, err, out.String())
	}
	for want, verdicts := range map[int][]string{
		verdict.ExitPass:  {Same, Same},
		verdict.ExitFail:  {Same, Differs, Same},
		verdict.ExitError: {Unable, Differs, Same},
	} {
		var all []Executed
		for _, v := range verdicts {
			all = append(all, Executed{Verdict: v})
		}
		if got := ExitCode(all); got != want {
			t.Errorf("exit code %d for %q, want %d", got, verdicts, want)
		}
	}
}

// A result is written with the first difference, and control characters as spaces.
func TestWriteExecuted(t *testing.T) {
	var out strings.Builder
	d := &verify.Difference{}
	for _, e := range []Executed{
		{Trace: "a\x1b/trace.jsonl", Verdict: Same},
		{Trace: "b", Verdict: Differs, Difference: d},
	} {
		if err := e.Write(&out); err != nil {
			t.Fatal(err)
		}
	}
	if want := "a /trace.jsonl: same\nb: differs\n  " + progress.Visible(d.Error()) + "\n"; out.String() != want {
		t.Errorf("written %q, want %q", out.String(), want)
	}
}
