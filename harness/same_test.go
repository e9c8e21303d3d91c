package harness_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/machine"
	"kernellab/harness/snapshot"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/linux"
)

// These tests compare traces, byte for byte: a trace depends on what its header
// names, and neither on how the run came about nor on the host.

// encode returns a trace as it is written.
func encode(t *testing.T, tr *trace.Trace) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, tr.Header)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tr.Events {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// digest returns the SHA-256 of a run's trace.
func digest(t *testing.T, out *harness.Outcome) string {
	t.Helper()
	sum := sha256.Sum256(encode(t, out.Trace))
	return hex.EncodeToString(sum[:])
}

// difference names the first event and its first field that differ in two traces, ""
// for none.
func difference(want, got *trace.Trace) string {
	if d := differ("", fields(want.Header), fields(got.Header)); d != "" {
		return "header: " + d
	}
	for i := range max(len(want.Events), len(got.Events)) {
		if i >= min(len(want.Events), len(got.Events)) {
			return fmt.Sprintf("%d events, want %d", len(got.Events), len(want.Events))
		}
		w, g := want.Events[i], got.Events[i]
		if d := differ("", fields(w), fields(g)); d != "" {
			return fmt.Sprintf("event %d (%s %s): %s", w.Seq, w.Kind, w.Point, d)
		}
	}
	return ""
}

// fields returns a value as it is in a trace.
func fields(v any) (f any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return err.Error()
	}
	return f
}

// differ names the first field at or below path that differs.
func differ(path string, want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		all := maps.Clone(w)
		maps.Copy(all, g)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if d := differ(strings.TrimPrefix(path+"."+name, "."), w[name], g[name]); d != "" {
				return d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(w) != len(g) {
			break
		}
		for i := range w {
			if d := differ(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); d != "" {
				return d
			}
		}
		return ""
	}
	if w, g := fmt.Sprintf("%v", want), fmt.Sprintf("%v", got); w != g {
		return fmt.Sprintf("%s is %s, want %s", path, g, w)
	}
	return ""
}

func TestDifference(t *testing.T) {
	made := func(change func(e []trace.Event)) *trace.Trace {
		tr := &trace.Trace{
			Header: trace.Header{Lab: "l", Machine: trace.Machine{Args: []string{"-M", "pc"}}},
			Events: []trace.Event{
				{Seq: 1, Kind: trace.KindStop, Point: "a", Registers: map[string]trace.Word{"pc": 1, "sp": 2}},
				{Seq: 2, Kind: trace.KindEnd},
			},
		}
		if change != nil {
			change(tr.Events)
		}
		return tr
	}
	short, another := made(nil), made(nil)
	short.Events = short.Events[:1]
	another.Header.Machine.Args = []string{"-M", "q35"}
	for name, tt := range map[string]struct {
		got  *trace.Trace
		want string
	}{
		"equal":           {made(nil), ""},
		"a register":      {made(func(e []trace.Event) { e[0].Registers["sp"] = 3 }), "event 1 (stop a): registers.sp is 0x3, want 0x2"},
		"one register":    {made(func(e []trace.Event) { delete(e[0].Registers, "sp") }), "event 1 (stop a): registers.sp is <nil>, want 0x2"},
		"the time":        {made(func(e []trace.Event) { e[1].Time = 7 }), "event 2 (end ): time_ns is 7, want 0"},
		"fewer events":    {short, "1 events, want 2"},
		"another machine": {another, "header: machine.args[1] is q35, want pc"},
	} {
		if got := difference(made(nil), tt.got); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// way is a way to run a job.
type way struct {
	name  string
	job   harness.Job
	want  *harness.Outcome // a run that came about in another way
	check func(t *testing.T, out *harness.Outcome)
}

// atOnce is how many guests these tests run at a time. More than the host has
// processors, so that it does not run them evenly.
const atOnce = 8

// alike runs jobs, many at a time, and checks that each has the trace that is
// wanted.
func alike(t *testing.T, ways []way) {
	t.Helper()
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, w := range ways {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out, err := harness.Run(t.Context(), w.job)
			if err != nil {
				t.Errorf("%s, %s: %v\n%s", w.job.Lab, w.name, err, strings.Join(machine.Console(err), "\n"))
				return
			}
			if got, want := digest(t, out), digest(t, w.want); got != want {
				t.Errorf("%s, %s: trace %s, want %s: %s", w.job.Lab, w.name, got, want, difference(w.want.Trace, out.Trace))
			}
			if out.Result.Verdict != w.want.Result.Verdict {
				t.Errorf("%s, %s: verdict %s, want %s", w.job.Lab, w.name, out.Result.Verdict, w.want.Result.Verdict)
			}
			if w.check != nil {
				w.check(t, out)
			}
		})
	}
	all.Wait()
}

// Every lab passes on every kernel with its own program, and what its page says is true.
// So it is with its program in C, on a kernel of each architecture. A run's trace is the
// same from the snapshot of the program's first stop, from that of the booted guest, from
// reset, from snapshots that were made elsewhere, and with a host that is busy with other
// guests.
//
// The ways take turns. The costly ones, for which a kernel boots, are tried once on each
// architecture: a run from reset on the last of its kernels, and one from snapshots made
// elsewhere on the default one. The others' snapshots come from the cache, where another
// run of these tests or of lab made them.
func TestSame(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		number, of := numbered(t, a, k)
		var ways []way
		for n, l := range everyLab(t) {
			j := jobOf(t, a, k, l, nil)
			j.Out = ""
			own := ownRun(t, a, k, l)
			truthful(t, j, own)
			if turnOn(t, a, k, n) {
				inC(t, a, l, j)
			}
			if turn(t, a, k, n, wayFirstStop) {
				again := j
				again.Again = true
				ways = append(ways, way{"from its first stop", again, own, nil})
			}
			if n == of-1 && number == of-1 {
				ways = append(ways, cold(t, j, own))
			}
			if n == 0 && number == 0 {
				ways = append(ways, fresh(t, j, own))
			}
		}
		alike(t, ways)
	})
}

// rams are the snapshots in a store.
func rams(s *snapshot.Store) []string {
	found, _ := filepath.Glob(filepath.Join(s.Dir, "*", "ram"))
	return found
}

// cold runs a job from reset.
func cold(t *testing.T, j harness.Job, want *harness.Outcome) way {
	j.Machine.Snapshots, j.Machine.Cold, j.Again = ownStore(t), true, true
	return way{"from reset", j, want, func(t *testing.T, _ *harness.Outcome) {
		if left := rams(j.Machine.Snapshots); len(left) > 0 {
			t.Errorf("a cold run made a snapshot: %v", left)
		}
	}}
}

// fresh runs a job from snapshots that are made for it.
func fresh(t *testing.T, j harness.Job, want *harness.Outcome) way {
	j.Machine.Snapshots, j.Again = ownStore(t), true
	return way{"from snapshots of its own", j, want, func(t *testing.T, out *harness.Outcome) {
		if out.Times.Boot == 0 {
			t.Errorf("times %+v do not say how long the boot took", out.Times)
		}
		if made := rams(j.Machine.Snapshots); len(made) != 2 {
			t.Errorf("snapshots %v, want one of the guest and one of the program in it", made)
		}
	}}
}

// The trace's file is the run's trace, and a program that does it wrong does it in the
// same way each time.
func TestSameWrong(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, os.DirFS("../labs/fork-new/testdata/wrong/no-wait"))
		first := run(t, j)
		if first.Result.Verdict != verdict.Fail {
			t.Errorf("verdict %s, want fail", first.Result.Verdict)
		}
		file, err := os.ReadFile(filepath.Join(j.Out, harness.TraceFile))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file, encode(t, first.Trace)) {
			t.Errorf("%s is not the run's trace", harness.TraceFile)
		}
		j.Out, j.Again = "", true
		alike(t, []way{{"from its first stop", j, first, nil}})
	})
}

// Another seed is another machine, whose runs pass, and are alike too.
func TestSeeds(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		other := uint32(seed + 1)
		var ways []way
		for n, l := range everyLab(t) {
			if !turn(t, a, k, n, waySeed) {
				continue
			}
			j := jobOf(t, a, k, l, nil)
			j.Out, j.Machine.Seed = "", other
			out := pass(t, j)
			own := ownRun(t, a, k, l).Trace
			if bytes.Equal(encode(t, own), encode(t, &trace.Trace{Header: own.Header, Events: out.Trace.Events})) {
				t.Errorf("%s: seeds %d and %d have the same events", l.Name, seed, other)
			}
			ways = append(ways, way{fmt.Sprintf("seed %d once more", other), j, out, nil})
		}
		alike(t, ways)
	})
}
