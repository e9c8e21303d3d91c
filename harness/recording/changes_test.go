package recording

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/contradiction"
	"kernellab/harness/grade"
	"kernellab/harness/trace"
	"kernellab/labs"
)

var (
	update = flag.Bool("update", false, "rewrite testdata/survivors.txt")
	record = flag.String("record", "", "rewrite the traces in testdata from this --out folder of lab matrix")
)

// recorded is a run of a lab's own program, in testdata/LAB.ARCH.jsonl.gz.
type recorded struct {
	lab, arch string
	lines     [][]byte // of the trace, the header first
	header    trace.Header
	events    []trace.Event
	plan      *contradiction.Plan
	rules     grade.Rules
}

// recordings returns a run of each lab on each architecture.
func recordings(t *testing.T) []*recorded {
	t.Helper()
	if *record != "" {
		keep(t, *record)
	}
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	var out []*recorded
	for _, l := range all {
		for _, arch := range []string{"riscv64", "x86_64"} {
			f, err := os.Open(filepath.Join("testdata", l.Name+"."+arch+".jsonl.gz"))
			if err != nil {
				t.Fatalf("%v: lab matrix --kernel 6.1 --kernel 6.12 --out DIR, then go test ./harness/recording -run TestChanges -record DIR -update", err)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := trace.Read(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			r := &recorded{lab: l.Name, arch: arch, header: tr.Header, events: tr.Events, rules: l.Rules(arch)}
			r.lines = bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
			p := l.Plan(arch)
			if r.plan, err = contradiction.NewPlan(p.Points, p.Tasks, p.Instead); err != nil {
				t.Fatal(err)
			}
			out = append(out, r)
		}
	}
	return out
}

// keep takes a trace of each lab and architecture from a folder: x86_64 on 6.1, riscv64
// on 6.12, where there are several.
func keep(t *testing.T, dir string) {
	t.Helper()
	paths, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := trace.Read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		h := tr.Header
		if want := map[string]string{"x86_64": "6.1.", "riscv64": "6.12."}[h.Arch]; !strings.HasPrefix(h.Kernel.Release, want) {
			continue
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if _, err := z.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata", h.Lab+"."+h.Arch+".jsonl.gz"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// change is one change to a trace.
type change struct {
	kind  string // "removed", "other", "neighbour's", …
	field string // what was changed, without places in lists
	where string // " in LAB/POINT", of a field whose name is a lab's
	// The changed trace; nil when the codec refuses it.
	trace *trace.Trace
}

// TestChanges makes single changes to traces of every lab: each field of each event is
// removed, gets another value and the one that a neighbour has; each event is removed,
// repeated and swapped with the next. Neither the check of a trace for itself nor the
// rules find all of them: the golden file lists the fields of those that pass with full
// marks, which are evidence that nothing needs.
func TestChanges(t *testing.T) {
	var each sync.Mutex
	found := map[string]map[string]bool{} // kinds of change, by field and place
	made, refused, failed, passed := 0, 0, 0, 0
	pass := func(c change) {
		passed++
		key := c.field + c.where
		if found[key] == nil {
			found[key] = map[string]bool{}
		}
		found[key][c.kind] = true
	}
	all := recordings(t)
	t.Run("traces", func(t *testing.T) {
		for _, r := range all {
			t.Run(r.lab+"/"+r.arch, func(t *testing.T) {
				t.Parallel()
				honest := &trace.Trace{Header: r.header, Events: r.events}
				if err := contradiction.Check(honest, r.plan); err != nil {
					t.Fatal(err)
				}
				if res := grade.Grade(honest, r.rules); !res.Passed() {
					t.Fatal("it does not pass: record it again")
				}
				done := func(c change) bool {
					each.Lock()
					defer each.Unlock()
					return found[c.field+c.where][c.kind]
				}
				r.changes(t, done, func(c change) {
					count := &refused
					if c.trace != nil && contradiction.Check(c.trace, r.plan) == nil {
						count = &failed
						if res := grade.Grade(c.trace, r.rules); res.Passed() && res.Score == res.MaxScore {
							count = nil
						}
					}
					each.Lock()
					defer each.Unlock()
					if made++; count == nil {
						pass(c)
						return
					}
					*count++
				})
			})
		}
	})
	t.Logf("%d changes: %d contradict the trace, %d more fail by the rules, %d pass", made, refused, failed, passed)
	var b strings.Builder
	b.WriteString("Changes to a trace that pass with full marks: go test ./harness/recording -run TestChanges -update\n\n")
	for _, field := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(&b, "%s: %s\n", field, strings.Join(slices.Sorted(maps.Keys(found[field])), ", "))
	}
	const golden = "testdata/survivors.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("other changes pass than in %s (-there +here)\n%s", golden, d)
	}
}

// changes makes all changes of a trace but those of which one is done.
func (r *recorded) changes(t *testing.T, done func(change) bool, do func(change)) {
	t.Helper()
	r.moves(do)
	fields := make([]map[string]any, len(r.events))
	values := make([]map[string]any, len(r.events)) // by path
	for i := range r.events {
		fields[i], values[i] = object(t, r.lines[i+1]), map[string]any{}
		leaves(fields[i], "", "", func(l leaf) { values[i][l.path] = l.value })
	}
	for i, e := range r.events {
		where := r.where(e)
		leaves(fields[i], "", "", func(l leaf) {
			for _, kind := range r.kinds(i, l) {
				c := change{kind: kind, field: l.field}
				if named(l.field) {
					c.where = where
				}
				if done(c) {
					continue
				}
				v, ok := l.value, true
				switch kind {
				case "other":
					v = other(l.value)
				case "neighbour's":
					v, ok = neighbour(values, i, l.path)
				}
				if !ok {
					continue
				}
				l.set(v, kind == "removed")
				text, err := json.Marshal(fields[i])
				l.set(l.value, false)
				if err != nil {
					t.Fatal(err)
				}
				if c.trace = r.with(i, text); c.trace == nil || !reflect.DeepEqual(c.trace.Events[i], r.events[i]) {
					do(c)
				}
			}
		})
	}
}

// where is the place of an event, as changes have it.
func (r *recorded) where(e trace.Event) string {
	switch {
	case e.Kind != trace.KindStop:
		return " in " + r.lab + ", " + e.Kind
	case e.Aside != "":
		return " in " + r.lab + "/" + e.Point + ", aside"
	}
	return " in " + r.lab + "/" + e.Point
}

// kinds are the changes to make of a field. Of registers, stacks and the like, of which
// an event has a hundred, it is one of the three in turn.
func (r *recorded) kinds(event int, l leaf) []string {
	all := []string{"removed", "other", "neighbour's"}
	if many.MatchString(l.field) && !named(l.field) {
		i := (event + len(l.path) + len(r.lab)) % len(all)
		return all[i : i+1]
	}
	return all
}

// named reports whether a field's name is a lab's.
func named(field string) bool {
	return names.MatchString(field)
}

var (
	many  = regexp.MustCompile(`^(registers|stack|stacks|fields|args)\b`)
	names = regexp.MustCompile(`^(reads\.|texts\.|finds\.|args\[\]\..*\.value$|\(event\))`)
)

// with returns the trace with another line for the event i; nil when the codec refuses it.
func (r *recorded) with(i int, line []byte) *trace.Trace {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var e trace.Event
	if err := d.Decode(&e); err != nil {
		return nil
	}
	out := &trace.Trace{Header: r.header, Events: slices.Clone(r.events)}
	out.Events[i] = e
	return out
}

// moves removes, repeats and swaps events.
func (r *recorded) moves(do func(change)) {
	for i, e := range r.events {
		where := r.where(e)
		for _, kind := range []string{"removed", "repeated", "swapped"} {
			events := slices.Clone(r.events)
			switch {
			case kind == "removed":
				events = slices.Delete(events, i, i+1)
			case kind == "repeated":
				events = slices.Insert(events, i, e)
			case i+1 == len(events):
				continue
			default:
				events[i], events[i+1] = events[i+1], events[i]
				events[i].Time, events[i+1].Time = events[i+1].Time, events[i].Time
			}
			for n := range events {
				events[n].Seq = n + 1
			}
			do(change{kind: kind, field: "(event)", where: where, trace: &trace.Trace{Header: r.header, Events: events}})
		}
	}
}

func object(t *testing.T, line []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// leaf is a value in an event.
type leaf struct {
	path  string // "stack[2].sp"
	field string // "stack[].sp"
	value any
	set   func(v any, remove bool)
}

// leaves calls do with all values in an object, and with each object and list as a whole.
func leaves(v any, path, field string, do func(leaf)) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at, of := strings.TrimPrefix(path+"."+name, "."), strings.TrimPrefix(field+"."+name, ".")
			if field == "fields" { // the kernel's names
				of = "fields[]"
			}
			if at == "seq" { // which the codec compares
				continue
			}
			do(leaf{at, of, v[name], func(x any, remove bool) {
				if v[name] = x; remove {
					delete(v, name)
				}
			}})
			leaves(v[name], at, of, do)
		}
	case []any:
		for i := range v {
			at, of := fmt.Sprintf("%s[%d]", path, i), field+"[]"
			m, ok := v[i].(map[string]any)
			if !ok {
				do(leaf{at, of, v[i], func(x any, _ bool) { v[i] = x }})
			}
			leaves(v[i], at, of, func(l leaf) {
				if field == "args" && l.field == "args[].value" {
					l.field = fmt.Sprintf("args[].%s.value", m["name"])
				}
				do(l)
			})
		}
	}
}

// other returns another value of the same kind.
func other(v any) any {
	switch v := v.(type) {
	case bool:
		return !v
	case json.Number:
		if v[0] == '-' {
			return v[1:]
		}
		return json.Number(fmt.Sprint(len(v)) + string(v[:len(v)-1]) + string("1234567890"[v[len(v)-1]-'0']))
	case string:
		var w trace.Word
		if strings.HasPrefix(v, "0x") && w.UnmarshalText([]byte(v)) == nil {
			return (w + 0x40).String()
		}
		return v + "x"
	case []any:
		if len(v) > 0 {
			return v[:len(v)-1]
		}
	}
	return v
}

// neighbour returns the value that the nearest event has in the same place and that is
// another.
func neighbour(values []map[string]any, i int, path string) (any, bool) {
	for d := 1; d < len(values); d++ {
		for _, j := range []int{i - d, i + d} {
			if j < 0 || j >= len(values) {
				continue
			}
			if v := values[j][path]; v != nil && !reflect.DeepEqual(v, values[i][path]) {
				return v, true
			}
		}
	}
	return nil, false
}
