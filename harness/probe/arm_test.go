package probe

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
)

// TestDecide visits points in a given order and checks what each stop arms and disarms.
func TestDecide(t *testing.T) {
	made := func(name string, change func(p *plan.Point)) plan.Point {
		p := plan.Point{Name: name, Role: "parent", Step: true}
		if change != nil {
			change(&p)
		}
		return p
	}
	entry := made("enter", func(p *plan.Point) { p.Entry = true })
	armed := func(name string, by ...string) plan.Point { return made(name, func(p *plan.Point) { p.Armed = by }) }
	tests := map[string]struct {
		points []plan.Point
		stops  []string
		want   []string // after each stop: "+armed -disarmed"
	}{
		"from the entry to the last step": {
			[]plan.Point{entry, made("a", nil), made("b", nil)}, []string{"enter", "a", "b"},
			[]string{"+a +b", "", "-a -b"},
		},
		"a second round arms again": {
			[]plan.Point{entry, made("a", nil)}, []string{"enter", "a", "enter"}, []string{"+a", "-a", "+a"},
		},
		"armed until it is seen": {
			[]plan.Point{entry, made("a", nil), armed("late", "a")}, []string{"enter", "a", "late"},
			[]string{"+a", "+late", "-late -a"},
		},
		"armed as often as it is due": {
			[]plan.Point{entry, made("a", nil), made("late", func(p *plan.Point) { p.Armed, p.Hits = []string{"a"}, &trace.Range{Least: 2, Most: 2} })},
			[]string{"enter", "a", "late", "late"}, []string{"+a", "+late", "", "-late -a"},
		},
		"armed by either": {
			[]plan.Point{entry, made("a", nil), made("b", nil), armed("late", "a", "b")}, []string{"enter", "b", "late", "a"},
			[]string{"+a +b", "+late", "-late", "-a -b +late"},
		},
		"until another point": {
			[]plan.Point{entry, made("hot", func(p *plan.Point) {
				p.Armed, p.Until, p.Hits = []string{"enter"}, "b", &trace.Range{Least: 0, Most: -1}
			}), made("b", nil)},
			[]string{"enter", "hot", "hot", "b"}, []string{"+hot +b", "", "", "-hot -b"},
		},
		"what must not come stays": {
			[]plan.Point{entry, made("a", nil), made("never", func(p *plan.Point) { p.Hits = &trace.Range{} })}, []string{"enter", "a"},
			[]string{"+a +never", "-a"},
		},
		"what has no limit stays": {
			[]plan.Point{entry, made("many", func(p *plan.Point) { p.Hits = &trace.Range{Least: 1, Most: -1} })}, []string{"enter", "many", "many"},
			[]string{"+many", "", ""},
		},
		"evidence does not hold up the end": {
			[]plan.Point{entry, made("a", nil), made("e", func(p *plan.Point) { p.Step = false })}, []string{"enter", "a"},
			[]string{"+a +e", "-a -e"},
		},
		"an optional step does not either": {
			[]plan.Point{entry, made("a", nil), made("o", func(p *plan.Point) { p.Hits = &trace.Range{Least: 0, Most: 1} })}, []string{"enter", "a"},
			[]string{"+a +o", "-a -o"},
		},
		"a return is armed by its call": {
			[]plan.Point{entry, made("a", nil), made("back", func(p *plan.Point) { p.ReturnOf = "a" })}, []string{"enter", "a"},
			[]string{"+a", ""},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := &driver{}
			for i, p := range tt.points {
				d.points = append(d.points, &point{Point: p, Resolved: Resolved{}})
				d.points[i].on = p.Entry
			}
			rd := &round{count: map[string]int{}}
			for i, stop := range tt.stops {
				p := d.points[slices.IndexFunc(d.points, func(p *point) bool { return p.Name == stop })]
				if p.Entry {
					rd = &round{count: map[string]int{}}
				}
				rd.count[stop]++
				arm, disarm := d.decide(p, rd)
				var got []string
				for _, q := range arm {
					q.on = true
					got = append(got, "+"+q.Name)
				}
				minus := []string{}
				for _, q := range disarm {
					q.on = false
					minus = append(minus, "-"+q.Name)
				}
				if diff := cmp.Diff(tt.want[i], strings.Join(append(minus, got...), " ")); diff != "" {
					t.Errorf("after %s, stop %d (-want +got):\n%s", stop, i+1, diff)
				}
			}
		})
	}
}

func TestCheckWhen(t *testing.T) {
	all := Plan{Points: []plan.Point{
		{Name: "enter", Role: "parent", Entry: true, Reads: []plan.Named{{Name: "fd", Expr: "arg.fd"}}},
		{Name: "made", Role: "parent", Finds: []plan.Named{{Name: "child", Expr: "arg.p"}}},
	}}
	for src, want := range map[string]string{
		"arg.fd == 1":                          "",
		"read.fd == 1 and task.pid != 2":       "",
		"enter.read.fd == arg.p":               "",
		"current == 1":                         `unknown name "current"`,
		"arg.p == child":                       "",
		"arg.p == chidl":                       `unknown name "chidl": did you mean "child"?`,
		"read.df == 1":                         `read has no "df": did you mean "fd"?`,
		"bitand(arg.flags, CLONE_THREAD) == 0": "",
		"arg.fd ==":                            "unexpected token",
	} {
		err := CheckWhen(src, "enter", all)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: error %v", src, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want one with %q", src, err, want)
		}
	}
}

// A call that never returned, because its task died, is not mistaken for the call of a
// later task that reuses the dead task's memory.
func TestReturned(t *testing.T) {
	x86, err := arch.Lookup("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	const task, addr, sp = 0x1000, 0x2000, 0x3000
	died, other, goes := &round{}, &round{}, &round{}
	d := &driver{Config: Config{Arch: x86}, at: addr, awaits: []await{
		{round: died, task: task, addr: addr, sp: sp},
		{round: other, task: task, addr: addr, sp: sp - 8},
		{round: goes, task: task, addr: addr, sp: sp},
	}}
	s := &scope{tasks: map[string]uint64{"current": task}}
	regs := map[string]uint64{x86.Registers.SP: sp}
	if w := d.returned(s, regs); w == nil || w.round != goes {
		t.Errorf("%+v, want the last call", w)
	}
	if w := d.returned(s, regs); w != nil {
		t.Errorf("%+v returned twice", w)
	}
	if len(d.awaits) != 1 || d.awaits[0].round != other {
		t.Errorf("%d calls are left, want the one of another frame", len(d.awaits))
	}
}
