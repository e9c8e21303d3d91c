package verdict_test

import (
	"bytes"
	"strings"
	"testing"

	"kernellab/harness/verdict"
)

func TestDecodeRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":         {"", "EOF"},
		"another version": {`{"schema":"lab.verdict/2","results":[]}`, "write it again"},
		"unknown field":   {`{"schema":"lab.verdict/1","result":[]}`, `unknown field "result"`},
		"two":             {`{"schema":"lab.verdict/1","results":[]} {}`, "more than one"},
		"unknown verdict": {`{"schema":"lab.verdict/1","results":[{"verdict":"skip"}]}`, `unknown verdict "skip"`},
	} {
		if _, err := verdict.Decode(strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

func TestExitCode(t *testing.T) {
	of := func(vs ...verdict.Verdict) verdict.Document {
		d := verdict.NewDocument()
		for _, v := range vs {
			d.Results = append(d.Results, verdict.Result{Verdict: v})
		}
		return d
	}
	for name, tt := range map[string]struct {
		doc  verdict.Document
		want int
	}{
		"nothing":         {of(), 3},
		"pass":            {of(verdict.Pass, verdict.Pass), 0},
		"fail":            {of(verdict.Pass, verdict.Fail, verdict.Pass), 1},
		"error":           {of(verdict.Error, verdict.Pass), 3},
		"error beats all": {of(verdict.Pass, verdict.Error, verdict.Fail), 3},
		"unknown verdict": {of(verdict.Pass, ""), 3},
	} {
		if got := tt.doc.ExitCode(); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", name, got, tt.want)
		}
	}
}

// TestFactNames checks that Names and Clone know every field of a fact: what Names
// changes in a copy stays in the fact itself.
func TestFactNames(t *testing.T) {
	f := verdict.Fact{
		Point: "a", Other: "b", After: "c", Points: []string{"d"}, Task: &verdict.TaskName{Comm: "e"},
		End: &verdict.Ending{Signal: "f"}, Want: &verdict.Ending{Signal: "g"},
		Calls:  []verdict.CallPaths{{Paths: []verdict.RolePath{{Points: []string{"h", "i"}}}}},
		Counts: []verdict.PointCount{{Point: "j"}}, Said: "k", Expected: "l", Observed: "m",
		Why: []verdict.Fact{{Point: "n"}},
	}
	var got, kept []string
	seen := map[string]bool{}
	note := func(to *[]string, spoil bool) func(string, *string) {
		return func(in string, name *string) {
			seen[in] = true
			*to = append(*to, *name)
			if spoil {
				*name = "?"
			}
		}
	}
	other := f.Clone()
	other.Names(note(&got, true))
	other.Texts(note(&got, true))
	other.Why[0].Point = "?"
	f.Names(note(&kept, false))
	f.Texts(note(&kept, false))
	const want = "a b c d e f g h i j k l m"
	if g, k := strings.Join(got, " "), strings.Join(kept, " "); g != want || k != want || f.Why[0].Point != "n" {
		t.Errorf("names %q, and after a copy was changed %q, want %q", g, k, want)
	}
	if len(seen) != len(got) {
		t.Errorf("%d fields have %d names: two share one", len(got), len(seen))
	}
}

// FuzzDecode: whatever is read, a document that is accepted is written and read again as
// the same.
func FuzzDecode(f *testing.F) {
	var good bytes.Buffer
	doc := verdict.NewDocument(verdict.Result{Lab: "fork-new", Arch: "x86_64", Verdict: verdict.Fail, MaxScore: 2,
		Checks: []verdict.Check{{Name: "one", Verdict: verdict.Fail, MaxScore: 2}}, Steps: []verdict.Step{{Point: "sys_clone"}},
		Findings: []verdict.Finding{{Kind: verdict.FindOrder, Message: "the order is wrong"}}})
	if err := doc.Encode(&good); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := verdict.Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		if err := doc.Encode(&once); err != nil {
			t.Fatal(err)
		}
		text := once.String()
		again, err := verdict.Decode(&once)
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if err := again.Encode(&twice); err != nil || twice.String() != text {
			t.Errorf("%v; written again\n%s\nfirst\n%s", err, twice.String(), text)
		}
	})
}
