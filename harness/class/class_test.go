package class_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/class"
	"kernellab/harness/report"
	"kernellab/harness/verdict"
)

// fake grades without a guest, and counts.
type fake struct {
	mu     sync.Mutex
	graded []string
	// do is what becomes of a try, counted from 1 for each student; nil passes.
	do func(student string, try int) (verdict.Document, error)
}

func document(as verdict.Verdict, score int) verdict.Document {
	checks := []verdict.Check{
		{Name: "one", Verdict: verdict.Pass, Score: 1, MaxScore: 1},
		{Name: "=two", Verdict: verdict.Pass, Score: 1, MaxScore: 1},
	}
	res := verdict.Result{Lab: "fork-new", Arch: "x86_64", Kernel: "6.1", Verdict: as, Score: score, MaxScore: 2, Checks: checks, Steps: []verdict.Step{{Point: "sys_clone"}}, Findings: []verdict.Finding{}}
	switch as {
	case verdict.Fail:
		checks[1] = verdict.Check{Name: "=two", Verdict: verdict.Fail, MaxScore: 1}
		res.Findings = []verdict.Finding{{Kind: verdict.FindOrder, Message: "the order is wrong"}}
	case verdict.Error:
		res.Error = "the kernel 6.1 panicked"
		for i := range checks {
			checks[i].Verdict, checks[i].Score = verdict.Skip, 0
		}
	}
	return verdict.NewDocument(res)
}

func (f *fake) run(out string, students ...string) class.Run {
	r := class.Run{
		Lab: "fork-new", Out: out, AtOnce: 2,
		Identify: func(_ context.Context, s class.Student) (class.Identity, error) {
			return class.Identity{Submission: "hash of " + s.Path, Tool: "lab 1", Kernels: []string{"6.1"}}, nil
		},
		Grade: func(_ context.Context, s class.Student, dir string, _ func(string)) (verdict.Document, error) {
			f.mu.Lock()
			f.graded = append(f.graded, s.Name)
			try := 0
			for _, name := range f.graded {
				if name == s.Name {
					try++
				}
			}
			f.mu.Unlock()
			if err := os.WriteFile(filepath.Join(dir, "trace.jsonl"), []byte(fmt.Sprintf("try %d", try)), 0o644); err != nil {
				return verdict.Document{}, err
			}
			if f.do == nil {
				return document(verdict.Pass, 2), nil
			}
			return f.do(s.Name, try)
		},
		Unable: func(_ class.Student, err error) verdict.Document {
			doc := document(verdict.Error, 0)
			doc.Results[0].Error = err.Error()
			return doc
		},
		Feedback: func(s class.Student, d verdict.Document) string { return s.Name + ": " + string(d.Results[0].Verdict) },
	}
	for _, s := range students {
		r.Students = append(r.Students, class.Student{Name: s, Path: s})
	}
	return r
}

// took returns who was graded since it was called last, sorted.
func (f *fake) took() []string {
	defer func() { f.graded = nil }()
	return slices.Sorted(slices.Values(f.graded))
}

func run(t *testing.T, r class.Run) report.Class {
	t.Helper()
	c, err := r.Class(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func grades(t *testing.T, dir string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, class.GradesFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestClass(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	f := &fake{do: func(s string, _ int) (verdict.Document, error) {
		if s == "bob" {
			return document(verdict.Fail, 1), nil
		}
		return document(verdict.Pass, 2), nil
	}}
	c := run(t, f.run(out, "alice", "bob"))
	if c.ExitCode() != verdict.ExitFail {
		t.Errorf("exit code %d, want %d", c.ExitCode(), verdict.ExitFail)
	}
	want := []string{
		"alice/feedback.md", "alice/record.json", "alice/trace.jsonl", "alice/verdict.json",
		"bob/feedback.md", "bob/record.json", "bob/trace.jsonl", "bob/verdict.json",
		"grades.csv", "junit.xml", "shard-1-of-1.json", "summary.json", "summary.txt",
	}
	if diff := cmp.Diff(want, files(t, out)); diff != "" {
		t.Errorf("files -want +got:\n%s", diff)
	}
	rows := [][]string{
		{"student", "score", "max_score", "verdict", "attempts", "findings", "error", "one", "'=two"},
		{"alice", "2", "2", "pass", "1", "", "", "1", "1"},
		{"bob", "1", "2", "fail", "1", "the order is wrong", "", "1", "0"},
	}
	if diff := cmp.Diff(rows, grades(t, out)); diff != "" {
		t.Errorf("grades.csv -want +got:\n%s", diff)
	}
	if len(c.Students[0].Document.Results[0].Steps) > 0 {
		t.Error("the steps of every student are kept in memory")
	}
}

// What was graded is not graded again until something that it depends on changes.
func TestGoesOn(t *testing.T) {
	out := t.TempDir()
	f := &fake{}
	tests := []struct {
		name   string
		change func(r *class.Run)
		want   []string
	}{
		{"the first time", nil, []string{"alice", "bob"}},
		{"the same again", nil, nil},
		{"one submission changed", func(r *class.Run) { r.Students[1].Path = "another" }, []string{"bob"}},
		{"and back", nil, []string{"bob"}},
		{"a new student", func(r *class.Run) { r.Students = append(r.Students, class.Student{Name: "carol", Path: "c"}) }, []string{"carol"}},
		{"another kernel", func(r *class.Run) {
			r.Identify = func(_ context.Context, s class.Student) (class.Identity, error) {
				return class.Identity{Submission: "hash of " + s.Path, Tool: "lab 1", Kernels: []string{"6.12"}}, nil
			}
		}, []string{"alice", "bob"}},
		{"another lab", func(r *class.Run) {
			r.Identify = func(_ context.Context, s class.Student) (class.Identity, error) {
				return class.Identity{Submission: "hash of " + s.Path, Tool: "lab 2", Kernels: []string{"6.12"}}, nil
			}
		}, []string{"alice", "bob"}},
		{"asked for", func(r *class.Run) { r.Regrade = true }, []string{"alice", "bob"}},
		{"the same again, after all that", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := f.run(out, "alice", "bob")
			if tt.change != nil {
				tt.change(&r)
			}
			c := run(t, r)
			if diff := cmp.Diff(tt.want, f.took()); diff != "" {
				t.Errorf("graded -want +got:\n%s", diff)
			}
			for _, g := range c.Students {
				if g.Kept == slices.Contains(tt.want, g.Student) {
					t.Errorf("%s: kept %t", g.Student, g.Kept)
				}
				if g.Verdict() != verdict.Pass || g.Attempts != 1 {
					t.Errorf("%s: %s after %d attempts", g.Student, g.Verdict(), g.Attempts)
				}
			}
		})
	}
	t.Run("damaged", func(t *testing.T) {
		for name, spoil := range map[string]func(string) error{
			"no verdict":       os.Remove,
			"an empty verdict": func(p string) error { return os.Truncate(p, 0) },
			"half a verdict":   func(p string) error { return os.Truncate(p, 100) },
		} {
			if err := spoil(filepath.Join(out, "alice", class.VerdictFile)); err != nil {
				t.Fatal(err)
			}
			run(t, f.run(out, "alice", "bob"))
			if diff := cmp.Diff([]string{"alice"}, f.took()); diff != "" {
				t.Errorf("%s: graded -want +got:\n%s", name, diff)
			}
		}
	})
}

// A failure of ours is tried once more, and then is no score, also in the table.
func TestOursIsNoZero(t *testing.T) {
	oops := errors.New("run the lab: signal: killed")
	f := &fake{do: func(s string, try int) (verdict.Document, error) {
		switch {
		case s == "once" && try == 1, s == "error":
			return verdict.Document{}, oops
		case s == "verdict":
			return document(verdict.Error, 0), nil
		case s == "panics":
			panic("no one has seen this before")
		case s == "nothing":
			return verdict.Document{}, nil
		}
		return document(verdict.Pass, 2), nil
	}}
	out := t.TempDir()
	names := []string{"error", "fine", "nothing", "once", "panics", "verdict"}
	c := run(t, f.run(out, names...))
	if c.ExitCode() != verdict.ExitError {
		t.Errorf("exit code %d, want %d", c.ExitCode(), verdict.ExitError)
	}
	if diff := cmp.Diff([]string{"error", "error", "fine", "nothing", "nothing", "once", "once", "panics", "panics", "verdict", "verdict"}, f.took()); diff != "" {
		t.Errorf("graded -want +got:\n%s", diff)
	}
	for _, row := range grades(t, out)[1:] {
		fine := row[0] == "fine" || row[0] == "once"
		scored := row[1] != "" || row[7] != "" || row[8] != ""
		if fine != scored || fine == (row[3] == "error") || fine == (row[6] != "") {
			t.Errorf("%v: a score and a reason exclude each other", row)
		}
		if want := map[bool]string{true: "2", false: "1"}[row[0] != "fine"]; row[4] != want {
			t.Errorf("%v: %s attempts, want %s", row, row[4], want)
		}
	}
	s := c.Summary()
	if s.Passed != 2 || s.NotGraded != 4 || s.Scores.Min != 2 {
		t.Errorf("summary counts what was not graded: %+v, %+v", s, s.Scores)
	}
	// The next call tries those again, and only those.
	f.do = nil
	run(t, f.run(out, names...))
	if diff := cmp.Diff([]string{"error", "nothing", "panics", "verdict"}, f.took()); diff != "" {
		t.Errorf("graded by the next call -want +got:\n%s", diff)
	}
}

// Whenever a class is interrupted, every folder there is whole, and the next call
// grades the rest.
func TestInterrupted(t *testing.T) {
	out := t.TempDir()
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("s%02d", i))
	}
	f := &fake{}
	for after := 1; ; after += 5 {
		ctx, stop := context.WithCancel(t.Context())
		r := f.run(out, names...)
		count := 0
		r.AtOnce = 1
		r.Done = func(_ int, g report.Graded) {
			if !g.Kept {
				if count++; count == after {
					stop()
				}
			}
		}
		_, err := r.Class(ctx)
		stop()
		var stopped *class.InterruptedError
		if err == nil {
			break
		}
		if !errors.As(err, &stopped) || !errors.Is(err, context.Canceled) || stopped.Of != 20 {
			t.Fatalf("error %v, want an *InterruptedError", err)
		}
		for _, name := range names {
			dir := filepath.Join(out, name)
			if _, err := os.Stat(dir); err == nil && len(files(t, dir)) != 4 {
				t.Errorf("%s is not whole: %v", name, files(t, dir))
			}
		}
		if left, _ := os.ReadDir(filepath.Join(out, ".work")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if got := f.took(); len(got) != 20 || len(slices.Compact(got)) != 20 {
		t.Errorf("graded %v, want each once", got)
	}
}

func TestBusy(t *testing.T) {
	out := t.TempDir()
	f := &fake{}
	r := f.run(out, "alice")
	r.Done = func(int, report.Graded) {
		var busy *class.BusyError
		if _, err := f.run(out, "bob").Class(t.Context()); !errors.As(err, &busy) {
			t.Errorf("a second call for the same folder: %v, want a *BusyError", err)
		}
	}
	run(t, r)
	if _, err := os.Stat(filepath.Join(out, ".work")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the work folder is still there: %v", err)
	}
	run(t, f.run(out, "bob"))
}

// What a killed call has left is removed by the next.
func TestLeftovers(t *testing.T) {
	out := t.TempDir()
	if err := os.MkdirAll(filepath.Join(out, ".work", "1-of-1", "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	run(t, f.run(out, "alice"))
	if _, err := os.Stat(filepath.Join(out, ".work")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the work folder is still there: %v", err)
	}
}

func TestShards(t *testing.T) {
	var all []class.Student
	for i := range 11 {
		all = append(all, class.Student{Name: fmt.Sprint(i)})
	}
	for of := 1; of <= 13; of++ {
		seen := map[string]int{}
		for i := 1; i <= of; i++ {
			part := class.Shard{Index: i, Of: of}.Select(all)
			if len(part) > (len(all)+of-1)/of {
				t.Errorf("shard %d/%d has %d of %d", i, of, len(part), len(all))
			}
			for _, s := range part {
				seen[s.Name]++
			}
		}
		for _, s := range all {
			if seen[s.Name] != 1 {
				t.Errorf("%d shards have student %s %d times", of, s.Name, seen[s.Name])
			}
		}
	}
	for _, bad := range []string{"", "1", "0/4", "5/4", "-1/4", "1/0", "1/4x", " 1/4", "1//4", "01/4", "1/4/2"} {
		if s, err := class.ParseShard(bad); err == nil {
			t.Errorf("ParseShard(%q) = %v, want an error", bad, s)
		}
	}
	if s, err := class.ParseShard("2/4"); err != nil || s != (class.Shard{Index: 2, Of: 4}) {
		t.Errorf("ParseShard(2/4) = %v, %v", s, err)
	}
}

// shards grades a class in parts, into a folder each.
func shards(t *testing.T, f *fake, of int, folder func(i int) string, students []string) {
	t.Helper()
	for i := 1; i <= of; i++ {
		r := f.run(folder(i), students...)
		r.Shard = class.Shard{Index: i, Of: of}
		r.Students = r.Shard.Select(r.Students)
		run(t, r)
	}
}

func TestMerge(t *testing.T) {
	students := []string{"alice", "bob", "carol", "dave", "eve"}
	f := &fake{do: func(s string, _ int) (verdict.Document, error) {
		if s == "bob" {
			return document(verdict.Fail, 1), nil
		}
		return document(verdict.Pass, 2), nil
	}}
	dir := t.TempDir()
	whole, part, merged, shared := filepath.Join(dir, "whole"), func(i int) string { return filepath.Join(dir, fmt.Sprint("part-", i)) }, filepath.Join(dir, "merged"), filepath.Join(dir, "shared")
	run(t, f.run(whole, students...))
	shards(t, f, 3, part, students)
	shards(t, f, 3, func(int) string { return shared }, students)
	if _, missing, err := class.Merge(t.Context(), []string{part(1), part(2), part(3)}, merged); err != nil || missing != nil {
		t.Fatalf("Merge: %v, missing %v", err, missing)
	}
	for _, got := range []string{merged, shared} {
		if diff := cmp.Diff(grades(t, whole), grades(t, got)); diff != "" {
			t.Errorf("%s: grades.csv -whole +merged:\n%s", got, diff)
		}
	}
	if diff := cmp.Diff(files(t, whole), files(t, merged)); diff != "" {
		t.Errorf("files -whole +merged:\n%s", diff)
	}
	f.took()
	run(t, f.run(merged, students...))
	if got := f.took(); got != nil {
		t.Errorf("after the merge %v are graded again", got)
	}
}

func TestMergeOfParts(t *testing.T) {
	students := []string{"alice", "bob", "carol", "dave"}
	f := &fake{}
	dir := t.TempDir()
	part := func(i int) string { return filepath.Join(dir, fmt.Sprint("part-", i)) }
	shards(t, f, 2, part, students)
	t.Run("a shard that did not get to everyone", func(t *testing.T) {
		if err := os.RemoveAll(filepath.Join(part(2), "dave")); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "some")
		c, missing, err := class.Merge(t.Context(), []string{part(1), part(2)}, out)
		if err != nil || missing != nil || c.ExitCode() != verdict.ExitError {
			t.Fatalf("Merge: %v, missing %v, exit code %d", err, missing, c.ExitCode())
		}
		rows := grades(t, out)
		if got := strings.Join(rows[4], ","); !strings.HasPrefix(got, "dave,,0,error,0,,there is no result: its shard has not finished") {
			t.Errorf("dave's row: %s", got)
		}
	})
	t.Run("a shard that is not there, then is", func(t *testing.T) {
		out := filepath.Join(dir, "later")
		c, missing, err := class.Merge(t.Context(), []string{part(1)}, out)
		if diff := cmp.Diff([]string{"2/2"}, missing); err != nil || diff != "" || len(c.Students) != 2 {
			t.Fatalf("Merge: %v, %d students, missing %s", err, len(c.Students), diff)
		}
		c, missing, err = class.Merge(t.Context(), []string{out, part(2)}, out)
		if err != nil || missing != nil || len(c.Students) != 4 {
			t.Fatalf("Merge: %v, %d students, missing %v", err, len(c.Students), missing)
		}
	})
	t.Run("what does not go together", func(t *testing.T) {
		other := f.run(filepath.Join(dir, "other"), "alice")
		other.Students[0].Path = "another submission"
		run(t, other)
		if _, _, err := class.Merge(t.Context(), []string{part(1), filepath.Join(dir, "other")}, ""); err == nil {
			t.Error("shards of different divisions were merged")
		}
		if _, _, err := class.Merge(t.Context(), []string{t.TempDir()}, ""); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an empty folder was merged: %v", err)
		}
		shards(t, f, 2, func(i int) string { return filepath.Join(dir, "changed") }, students)
		again := f.run(filepath.Join(dir, "changed"), "alice")
		again.Students[0].Path, again.Shard = "another submission", class.Shard{Index: 1, Of: 2}
		run(t, again)
		_, _, err := class.Merge(t.Context(), []string{part(1), filepath.Join(dir, "changed")}, "")
		if err == nil || !strings.Contains(err.Error(), "alice has results in") {
			t.Errorf("two submissions of one student were merged: %v", err)
		}
	})
}

// FuzzResults: whatever lies in a folder of results, merging it gives a class or an error.
func FuzzResults(f *testing.F) {
	dir := f.TempDir()
	out := filepath.Join(dir, "out")
	var grades fake
	if _, err := grades.run(out, "alice").Class(f.Context()); err != nil {
		f.Fatal(err)
	}
	var good [2][]byte
	for i, name := range []string{class.RecordFile, class.VerdictFile} {
		var err error
		if good[i], err = os.ReadFile(filepath.Join(out, class.Folder("alice"), name)); err != nil {
			f.Fatal(err)
		}
	}
	lists, err := filepath.Glob(filepath.Join(out, "*-of-*"))
	if err != nil || len(lists) != 1 {
		f.Fatalf("lists %q, %v", lists, err)
	}
	list, err := os.ReadFile(lists[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[0], good[1], list)
	f.Fuzz(func(t *testing.T, record, doc, list []byte) {
		for path, data := range map[string][]byte{
			filepath.Join(out, class.Folder("alice"), class.RecordFile): record, filepath.Join(out, class.Folder("alice"), class.VerdictFile): doc, lists[0]: list,
		} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, _, err := class.Merge(t.Context(), []string{out}, "")
		if err != nil {
			return
		}
		for _, g := range c.Students {
			if v := g.Verdict(); v != verdict.Pass && v != verdict.Fail && v != verdict.Error {
				t.Errorf("%q has the verdict %q", g.Student, v)
			}
		}
	})
}
