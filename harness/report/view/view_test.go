package view

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// recording is a run of a lab's own program that was recorded on a real kernel.
type recording struct {
	name   string // LAB.ARCH
	trace  *trace.Trace
	result verdict.Result
	source map[string]string // the reads of the lab, by point
}

func recordings(t *testing.T) (out []recording) {
	t.Helper()
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		for _, machine := range arch.Names() {
			name := l.Name + "." + machine
			tr := tracetest.Recorded(t, filepath.Join("../../recording/testdata", name+".jsonl.gz"))
			rules := l.Rules(machine)
			r := recording{name, tr, grade.Grade(tr, rules), map[string]string{}}
			for _, p := range rules.Points {
				r.source[p.Name] = fmt.Sprint(p.Reads)
			}
			out = append(out, r)
		}
	}
	return out
}

func write(t *testing.T, results ...verdict.Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, verdict.NewDocument(results...)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is an element of a page.
type element struct {
	*html.Node
	attrs map[string]string
}

// elements returns the elements of a page, and all of its text.
func elements(t *testing.T, page string) (out []element, text string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range root.Descendants() {
		switch n.Type {
		case html.TextNode:
			if n.Parent.Data != "script" && n.Parent.Data != "style" {
				b.WriteString(n.Data + " ")
			}
		case html.ElementNode:
			e := element{n, map[string]string{}}
			for _, a := range n.Attr {
				e.attrs[a.Key] = a.Val
			}
			out = append(out, e)
		case html.CommentNode:
			t.Errorf("a comment: %q", n.Data)
		}
	}
	return out, strings.Join(strings.Fields(b.String()), " ")
}

// inert reports what in a page could load or run something, or be reached by no key.
func inert(t *testing.T, page string) (wrong []string) {
	t.Helper()
	all, _ := elements(t, page)
	ids := map[string]int{}
	count := map[string]int{}
	known := strings.Fields("html head meta title style body main nav article section header h1 h2 h3 h4 p strong span div table thead tbody tr th td ul ol li dl dt dd pre code br a button input details summary svg g text line polyline circle rect desc script")
	for _, e := range all {
		count[e.Data]++
		ids[e.attrs["id"]]++
		if !slices.Contains(known, e.Data) {
			wrong = append(wrong, "an element "+e.Data)
		}
		for name, value := range e.attrs {
			if strings.HasPrefix(name, "on") || slices.Contains([]string{"src", "srcset", "style", "action", "formaction", "xlink:href", "ping"}, name) || name == "href" && !strings.HasPrefix(value, "#") {
				wrong = append(wrong, fmt.Sprintf("%s has %s=%q", e.Data, name, value))
			}
		}
	}
	for _, e := range all {
		for _, name := range []string{"href", "aria-labelledby"} {
			for _, id := range strings.Fields(strings.TrimPrefix(e.attrs[name], "#")) {
				if ids[id] != 1 {
					wrong = append(wrong, fmt.Sprintf("%s of %s is %q, and %d elements have that id", name, e.Data, id, ids[id]))
				}
			}
		}
	}
	if count["script"] != 1 || count["style"] != 1 || count["main"] != 1 {
		wrong = append(wrong, fmt.Sprintf("%d scripts, %d styles", count["script"], count["style"]))
	}
	if i := strings.IndexFunc(page, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }); i >= 0 {
		wrong = append(wrong, fmt.Sprintf("a control character at %q", page[i:min(len(page), i+20)]))
	}
	return wrong
}

// hostile is what a name may be.
const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{.}}</title></style>]]>\x1b[2J\u202e`${1}`"

// poison sets every text in v to hostile text, and fills in what is empty.
func poison(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Pointer:
		if depth > 8 {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		poison(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				poison(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if v.Len() == 0 && depth < 8 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		for i := range v.Len() {
			poison(v.Index(i), depth+1)
		}
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		value := reflect.New(v.Type().Elem()).Elem()
		poison(value, depth+1)
		m.SetMapIndex(reflect.ValueOf(hostile), value)
		v.Set(m)
	}
}

// TestHostile checks that scripts in every field of a document are text.
func TestHostile(t *testing.T) {
	for _, r := range recordings(t) {
		if !strings.HasPrefix(r.name, "fork-new") {
			continue
		}
		res := words.Result(r.result)
		verdicts := map[*verdict.Verdict]verdict.Verdict{&res.Verdict: verdict.Fail}
		poison(reflect.ValueOf(&res).Elem(), 0)
		for v, is := range verdicts {
			*v = is
		}
		for i := range res.Checks {
			res.Checks[i].Verdict = []verdict.Verdict{verdict.Pass, verdict.Fail, verdict.Skip}[i%3]
			res.Checks[i].Kind = []string{"", verdict.KindQuestion, verdict.KindGroup, ""}[i%4]
			res.Checks[i].Want, res.Checks[i].Got = nil, nil
			for j := range res.Checks[i].Lines {
				res.Checks[i].Lines[j].Mark = verdict.Bad
			}
		}
		for i := range res.Findings {
			res.Findings[i].Case, res.Findings[i].Step = "", 1
		}
		res.Remarks, res.Causes = nil, nil
		page := write(t, res, res)
		for _, wrong := range inert(t, page) {
			t.Errorf("%s: %s", r.name, wrong)
		}
		if n := strings.Count(page, "&lt;script&gt;alert(1)"); n < 100 {
			t.Errorf("%s: the hostile text shows %d times", r.name, n)
		}
	}
}

// TestPage checks the pages of all labs: the question and the verdict come first, each
// stop and each check is there, nothing is fetched, and the size has a limit.
func TestPage(t *testing.T) {
	for _, r := range recordings(t) {
		page := write(t, r.result)
		for _, wrong := range inert(t, page) {
			t.Errorf("%s: %s", r.name, wrong)
		}
		if len(page) > 500<<10 {
			t.Errorf("%s: %d bytes", r.name, len(page))
		}
		all, text := elements(t, page)
		at := 0
		for _, part := range []string{r.result.Summary, "Passed", "The path", "Checks", "expected"} {
			part = strings.Join(strings.Fields(part), " ")
			if i := strings.Index(strings.ToLower(text[at:]), strings.ToLower(part)); i < 0 {
				t.Errorf("%s: %q does not come in its place", r.name, part)
			} else {
				at += i
			}
		}
		for _, c := range r.result.Checks {
			if !strings.Contains(text, strings.Join(strings.Fields(c.Name), " ")) {
				t.Errorf("%s: no check %q", r.name, c.Name)
			}
		}
		stops, marks := 0, 0
		for _, e := range all {
			switch class := e.attrs["class"]; {
			case class == "stop":
				stops++
			case strings.HasPrefix(class, "mark "):
				marks++
			}
			if e.attrs["hidden"] != "" && e.attrs["class"] != "stepper" {
				t.Errorf("%s: %s is hidden without JavaScript", r.name, e.Data)
			}
		}
		if want := len(r.result.Steps) + len(r.result.Evidence); stops != want || marks != min(want, mostLabels) {
			t.Errorf("%s: %d stops and %d marks, want %d", r.name, stops, marks, want)
		}
	}
}

// number is a value as the page writes it.
func number(t *testing.T, text string) trace.Word {
	t.Helper()
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return trace.Word(n)
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		t.Errorf("%q is no number", text)
	}
	return trace.Word(n)
}

var (
	inStack = regexp.MustCompile(`^in the kernel stack of the (\w+), (\d+) bytes below its top$`)
	taskOf  = regexp.MustCompile(`^the task_struct of the (\w+)$`)
)

// TestTrue compares what the pages of all labs say with the traces.
func TestTrue(t *testing.T) {
	notes := map[string]int{}
	for _, r := range recordings(t) {
		events := map[int]trace.Event{}
		for _, e := range r.trace.Events {
			events[e.Seq] = e
		}
		noted := func(where string, c Cell, w trace.Word) {
			if m := inStack.FindStringSubmatch(c.Note); m != nil {
				below, _ := strconv.ParseUint(m[2], 10, 64)
				in := false
				for _, e := range events {
					for _, im := range e.Stacks {
						in = in || im.Role == m[1] && im.Top-trace.Word(below) == w && w >= im.Bottom
					}
				}
				if !in {
					t.Errorf("%s: %s is not %s", where, w, c.Note)
				}
				notes["stack"]++
			}
			if m := taskOf.FindStringSubmatch(c.Note); m != nil {
				is := false
				for _, e := range events {
					is = is || e.Role == m[1] && e.Task.Address == w
				}
				if !is {
					t.Errorf("%s: %s is not %s", where, w, c.Note)
				}
				notes["task"]++
			}
		}
		last := map[int]trace.Event{}    // by pid
		reads := map[string]trace.Word{} // the last ones, by task and expression
		for _, s := range newResult("r", words.Result(r.result)).Stops {
			e := events[s.Seq]
			where := fmt.Sprintf("%s, stop %d", r.name, s.Seq)
			if e.Point != s.Point || e.Time != s.Time || len(s.Frames) != len(e.Stack) || len(s.Args) != len(e.Args) || len(s.Reads) != len(e.Reads)+len(e.Texts) {
				t.Errorf("%s: %+v is not the event %+v", where, s, e)
				continue
			}
			before, known := last[e.Task.PID]
			for i, f := range s.Frames {
				j := len(before.Stack) - len(e.Stack) + i
				was := known && j >= 0 && slices.EqualFunc(e.Stack[i:], before.Stack[j:], func(a, b trace.Frame) bool { return a.String() == b.String() })
				if f.Text != e.Stack[i].String() || f.New == (was && i > 0) {
					t.Errorf("%s: the call %q, new: %t", where, f.Text, f.New)
				}
			}
			for i, a := range s.Args {
				if strings.HasSuffix(a.Type, "*") && number(t, a.Value) != e.Args[i].Value {
					t.Errorf("%s: %s is %s", where, a.Name, a.Value)
				}
				noted(where, a, e.Args[i].Value)
			}
			for _, c := range s.Reads {
				w, ok := e.Reads[c.Name]
				if !ok {
					continue
				}
				key := fmt.Sprint(e.Task.PID, c.Name, c.Type)
				was, had := reads[key]
				reads[key] = w
				if !strings.Contains(r.source[e.Point], c.Type) || c.Type == "" {
					t.Errorf("%s: %s is not read from %q", where, c.Name, c.Type)
				}
				if number(t, c.Value) != w || c.Changed == (had && was == w) || (c.Before != "") != had || had && number(t, c.Before) != was {
					t.Errorf("%s: %+v where %s was read, and %s before", where, c, w, was)
				}
				noted(where, c, w)
			}
			moved := 0
			for _, c := range s.Registers {
				w := e.Registers[c.Name]
				was, had := before.Registers[c.Name]
				if changed := had && was != w; changed != c.Changed {
					t.Errorf("%s: %s changed: %t", where, c.Name, c.Changed)
				} else if changed {
					moved++
				}
				if !strings.HasPrefix(c.Value, "-E") && number(t, c.Value) != w {
					t.Errorf("%s: %s is %s", where, c.Name, c.Value)
				}
				noted(where, c, w)
			}
			if moved != s.Moved {
				t.Errorf("%s: %d registers changed, not %d", where, moved, s.Moved)
			}
			last[e.Task.PID] = e
		}
	}
	if notes["stack"] < 10 || notes["task"] < 10 {
		t.Errorf("few notes were compared: %v", notes)
	}
}

// TestScale measures the drawings of fork-new's stacks.
func TestScale(t *testing.T) {
	drawn := 0
	for _, r := range recordings(t) {
		for _, s := range newResult("r", words.Result(r.result)).Stops {
			for i, d := range s.Drawings {
				im := s.Stacks[i]
				drawn++
				for _, p := range parts(im) {
					j := slices.IndexFunc(d.Upper, func(r region) bool { return r.Class == p.class })
					if j < 0 {
						t.Fatalf("%s: no %s", r.name, p.class)
					}
					for _, of := range []struct {
						region
						bytes trace.Word
					}{{d.Upper[j], d.Bytes}, {d.Whole[j], d.Size}} {
						want := float64(p.to-p.from) / float64(of.bytes) * stackHeight
						top := stackTop + float64(im.Top-p.to)/float64(of.bytes)*stackHeight
						if max(want, 1)-float64(of.Height) > 1.01 || float64(of.Height)-max(want, 1) > 1.01 || top-float64(of.Y) > 1 || float64(of.Y)-top > 1 {
							t.Errorf("%s: %s is %d high at %d, want %.1f at %.1f", r.name, p.class, of.Height, of.Y, want, top)
						}
					}
				}
				if user := im.User; len(user) > 0 && d.Upper[slices.IndexFunc(d.Upper, func(r region) bool { return r.Class == "regs" })].Height < 8 {
					t.Errorf("%s: struct pt_regs is too small to see", r.name)
				}
			}
		}
	}
	if drawn < 6 {
		t.Errorf("%d stacks were drawn", drawn)
	}
}

func TestApart(t *testing.T) {
	for _, tt := range []struct{ in, want []float64 }{
		{nil, nil},
		{[]float64{0, 100}, []float64{0, 100}},
		{[]float64{0, 4, 100, 104}, []float64{0, 10, 97, 107}},
		{[]float64{5, 5, 5}, []float64{5, 15, 25}},
	} {
		if got := apart(tt.in, 10); !slices.Equal(got, tt.want) {
			t.Errorf("apart(%v) = %v, want %v", tt.in, got, tt.want)
		}
	}
}
