package verify_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verify"
)

// written returns the bytes of a trace as a run leaves them.
func written(t *testing.T, tr *trace.Trace) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, tr.Header)
	for _, e := range tr.Events {
		if err == nil {
			err = w.Write(e)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSame(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	d, err := verify.Compare(tr, written(t, tr))
	if err != nil || d != nil {
		t.Errorf("a trace and itself: %v, %v", d, err)
	}
	if d, err := verify.Repeats(tr, tracetest.Fork("x86_64")); err != nil || d != nil {
		t.Errorf("two equal traces: %v, %v", d, err)
	}
}

// TestEdited changes a recorded trace in many ways. Every one is found, at its place.
func TestEdited(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	whole := string(written(t, tr))
	lines := strings.SplitAfter(whole, "\n")
	stop := tracetest.Index(tr, "copy_thread") + 1 // its line, after the header
	replaced := func(line int, old, new string) func() string {
		return func() string {
			all := append([]string(nil), lines...)
			if !strings.Contains(all[line], old) {
				panic(fmt.Sprintf("line %d has no %s: %s", line+1, old, all[line]))
			}
			all[line] = strings.Replace(all[line], old, new, 1)
			return strings.Join(all, "")
		}
	}
	seq := fmt.Sprintf(`"seq":%d`, tr.Events[stop-1].Seq)
	pid := fmt.Sprintf(`"pid":%d`, tr.Events[stop-1].Task.PID)
	for name, tt := range map[string]struct {
		edit  func() string
		line  int
		field string
	}{
		"a header's lab":       {replaced(0, `"lab":"fork-new"`, `"lab":"wake-up"`), 1, "lab"},
		"the kernel's release": {replaced(0, `"release":"`, `"release":"9`), 1, "kernel.release"},
		"the seed":             {replaced(0, `"seed":1`, `"seed":2`), 1, "machine.seed"},
		"the plan":             {replaced(0, `"plan":"1`, `"plan":"2`), 1, "plan"},
		"a point's address":    {replaced(0, `"address":"0xf`, `"address":"0xe`), 1, "points.0.address"},
		"a stack frame's size": {replaced(0, `"switch_frame":`, `"switch_frame":1`), 1, "switch_frame"},
		"a number":             {replaced(stop, seq, seq+"0"), stop + 1, "seq"},
		"a time":               {replaced(stop, `"time_ns":`, `"time_ns":1`), stop + 1, "time_ns"},
		"a point":              {replaced(stop, `"point":"copy_thread"`, `"point":"copy_thread2"`), stop + 1, "point"},
		"a symbol":             {replaced(stop, `"symbol":"copy_thread`, `"symbol":"dopy_thread`), stop + 1, "symbol"},
		"a pid":                {replaced(stop, pid, pid+"7"), stop + 1, "task.pid"},
		"a task's name":        {replaced(stop, `"comm":"fork-new"`, `"comm":"fork-old"`), stop + 1, "task.comm"},
		"a role":               {replaced(stop, `"role":"parent"`, `"role":"child"`), stop + 1, "role"},
		"a member more":        {replaced(stop, `"kind":"stop"`, `"kind":"stop","extra":1`), stop + 1, "extra"},
		"a kind":               {replaced(stop, `"kind":"stop"`, `"kind":"exit"`), stop + 1, "kind"},
		"an event removed": {func() string {
			return strings.Join(append(append([]string(nil), lines[:stop]...), lines[stop+1:]...), "")
		}, stop + 1, ""},
		"an event twice": {func() string {
			return strings.Join(append(append(append([]string(nil), lines[:stop+1]...), lines[stop]), lines[stop+1:]...), "")
		}, stop + 2, ""},
		"the end removed":     {func() string { return strings.Join(lines[:len(lines)-2], "") }, len(lines) - 1, ""},
		"lines after the end": {func() string { return whole + lines[1] }, len(lines), ""},
		"no JSON":             {replaced(stop, `{`, `[`), stop + 1, ""},
		"white space":         {replaced(stop, `,"kind"`, `, "kind"`), stop + 1, ""},
		"no last line break":  {func() string { return strings.TrimSuffix(whole, "\n") }, 0, ""},
		"nothing":             {func() string { return "" }, 1, ""},
	} {
		d, err := verify.Compare(tr, []byte(tt.edit()))
		if err != nil || d == nil {
			t.Errorf("%s: not found (%v)", name, err)
			continue
		}
		if tt.line > 0 && d.Line != tt.line || tt.field != "" && d.Field != tt.field {
			t.Errorf("%s: found at line %d, field %q (%v); want line %d, field %q", name, d.Line, d.Field, d, tt.line, tt.field)
		}
		if d.Error() == "" || strings.Contains(d.Error(), "\n\n") {
			t.Errorf("%s: the message is %q", name, d.Error())
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add([]byte("{}\n{\"seq\":1}\n"))
	f.Add([]byte("[1"))
	f.Fuzz(func(t *testing.T, recorded []byte) {
		tr := tracetest.Fork("x86_64")
		d, err := verify.Compare(tr, recorded)
		if err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(recorded, written(t, tr)); same != (d == nil) {
			t.Errorf("equal bytes: %v, difference: %v", same, d)
		}
	})
}
