package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/plan"
	"kernellab/harness/rsp"
	"kernellab/harness/trace"
)

// Addresses of the process's memory: one of its two pages is missing.
const (
	physical = 0x8800_0000 // of the process's page tables and page
	userText = 0x10ff0     // across the end of a page that is there
)

func readable(at func(string) uint64) []machinetest.Event {
	load := machinetest.Load
	const direct = 0xffffffd0_00000000
	table := func(i uint64) uint64 { return direct + physical + i*0x1000 }
	entry := func(i, flags uint64) []byte { return words((physical+i*0x1000)>>12<<10 | flags) }
	return []machinetest.Event{
		load(memory, words(0xffffffff, 0x1122334455667788)), // struct file
		load(memory+0x100, []byte("a text of the kernel\x00")),
		load(memory+0x200, []byte(strings.Repeat("x", maxText+100))),
		load(at("kernel_map"), words(direct)),
		load(mm, words(table(0))),
		load(table(0), entry(1, 1)),
		load(table(1), entry(2, 1)),
		load(table(2)+8*(userText>>12), entry(3, 0xf)),
		load(table(3)+0xff0, []byte("of the process")),
		load(table(3)+0x100, []byte(strings.Repeat("y", 0x200))), // ends at a page that is there
	}
}

// TestReads evaluates read expressions at one stop.
func TestReads(t *testing.T) {
	const taskAt = parent
	for expr, want := range map[string]any{
		"1 + 2 * 3":                            uint64(7),
		"0 - 1":                                ^uint64(0),
		"bitand(12, 10)":                       uint64(8),
		"bitor(12, 10)":                        uint64(14),
		"bitxor(12, 10)":                       uint64(6),
		"bitshl(3, 4)":                         uint64(48),
		"bitshr(48, 4)":                        uint64(3),
		"current":                              uint64(taskAt),
		"parent":                               uint64(taskAt),
		"child":                                "child is not known at this stop",
		"current.pid":                          uint64(pid),
		"current.real_parent.pid":              uint64(99),
		"current.real_parent.real_parent.pid":  "current.real_parent.real_parent.pid: the pointer is NULL",
		"current.thread.sp":                    uint64(stack + 0x3000),
		"current.thread.sp.x":                  "current.thread.sp is a number, it has no members",
		"current.thread":                       "is a whole struct thread_struct: name a member",
		"current.comm":                         "is an array: read it with str or u64",
		"str(current.comm)":                    "fork",
		"str(current.comm + 2)":                "rk",
		"current.comm - current":               uint64(8),
		"current.thread - current > 0 ? 1 : 2": uint64(1),
		"current.nothing":                      "no such member",
		"current.nothing ?? current.tgid":      uint64(pid),
		"current.pid ?? current.nothing":       uint64(pid),
		"current.real_parent.real_parent.pid ?? 1": "is NULL", // only a member that is missing has another
		"arg.file":                            uint64(memory),
		"arg.fd":                              ^uint64(0), // narrowed to an int, with its sign
		"arg.fle":                             "did you mean arg.file?",
		"arg.fle ?? 7":                        uint64(7),
		"arg.file.f_flags":                    ^uint64(0),
		"arg.file.f_pos":                      uint64(0x1122334455667788),
		"as(arg.file + 8, \"mm_struct\").pgd": uint64(0x1122334455667788),
		"as(1, \"no_struct\")":                "no_struct",
		"u8(arg.file + 8)":                    uint64(0x88),
		"u16(arg.file + 8)":                   uint64(0x7788),
		"u32(arg.file + 8)":                   uint64(0x55667788),
		"u64(arg.file + 8)":                   uint64(0x1122334455667788),
		"u64(str(current.comm))":              "an address is a number",
		"1 + str(current.comm)":               "+ takes two numbers, not a text",
		"pc":                                  "vfs_read",
		"symbol(pc)":                          "vfs_read",
		"symbol(pc + 4)":                      "vfs_read+0x4",
		"symbol(1)":                           "no symbol at 0x1",
		"sp":                                  uint64(stack + 0x3f00),
		"reg.t0":                              uint64(5),
		"reg.t9":                              "no such register",
		"curent":                              `did you mean "current"`,
		"zzzzzzzz":                            "it is one of",
		"parent.user.pc":                      uint64(0x10000),
		"parent.user.epc":                     uint64(0x10000),
		"parent.user.nothing":                 "no such member",
		"parent.user":                         "is a whole struct pt_regs of the user",
		"current.real_parent.user.pc":         "read the stack of the task",
		"str(arg.file + 0x100)":               "a text of the kernel",
		"str(arg.file + 0x200)":               strings.Repeat("x", maxText),
		"str(0)":                              "the address is NULL",
		"str(0x10ff0)":                        "of the process",
		"str(0x10100)":                        strings.Repeat("y", 0x200),
		"str(0x11000)":                        "the page of 0x11000 is not present",

		`"none" + differs(parent, current)`:                             "none",
		"differs(current, current.real_parent)":                         "pid tgid comm real_parent mm stack stack_vm_area thread",
		"differs(current.thread, current.real_parent.thread)":           "sp",
		`"none" + differs(current.user, parent.user)`:                   "none",
		`without(differs(current, current.real_parent), "pid tgid mm")`: "comm real_parent stack stack_vm_area thread",
		"differs(current, child)":                                       "child is not known at this stop",
		"differs(current, arg.file)":                                    "struct task_struct and struct file have not the same members",
		"differs(current, current.pid)":                                 "differs takes two structures",
		"differs(current, current.real_parent.real_parent)":             "a pointer is NULL",
		"pte(current, 0x10ff0).present":                                 uint64(1),
		"pte(current, 0x10ff0).writable":                                uint64(1),
		"pte(current, 0x10ff0).user":                                    uint64(0),
		"pte(current, 0x10ff0).accessed":                                uint64(0),
		"pte(current, 0x10ff0).dirty":                                   uint64(0),
		"pte(current, 0x10ff0).frame":                                   uint64(physical>>12 + 3),
		"pte(current, 0x10ff0).size":                                    uint64(0x1000),
		"pte(current, 0x10ff0).value":                                   uint64((physical+0x3000)>>12<<10 | 0xf),
		"pte(current, 0x10ff0).address":                                 uint64(0xffffffd0_00000000 + physical + 0x2000 + 8*0x10),
		"str(pte(parent, 0x10ff0).direct)":                              "of the process",
		"pte(current.mm, 0x10ff0).present":                              uint64(1),
		"pte(current, 0x11000).present":                                 uint64(0),
		"pte(current, 0x11000).writable":                                uint64(0),
		"pte(current, 0x11000).frame":                                   "no page is mapped there",
		"pte(current, 0x200000).size":                                   uint64(0x200000), // no table for it
		"pte(current, 0x4000000000).present":                            "wild pointer",   // beyond the user's part
		"pte(current.real_parent, 0).present":                           "the task has no address space",
		"pte(arg.file, 0).present":                                      "an address space is that of a task",
		"pte(sp, 0).present":                                            "an address space is that of a task",
		"pte(current, current.comm).present":                            "wild pointer",
	} {
		t.Run(expr, func(t *testing.T) {
			all := Plan{Points: []plan.Point{
				{Name: "vfs_read", Role: "parent", Entry: true, Finds: nil, Reads: []plan.Named{{Name: "v", Expr: expr}}},
				{Name: "wake_up_new_task", Role: "parent", Finds: []plan.Named{{Name: "child", Expr: "arg.p"}}},
			}}
			l := newLab(t, all, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
				return append(append(readable(at), machinetest.Load(stack+0x4000-80, words(0x10000)), func(vm *machinetest.VM) bool {
					vm.Set("t0", 5)
					return false
				}), call(at("vfs_read"), parent, stack+0x3f00, 0, memory, 0x7_ffff_ffff), end)
			})
			if err := Drive(t.Context(), l.config); err != nil {
				t.Fatal(err)
			}
			e := l.trace[0]
			if v, ok := e.Reads["v"]; ok {
				if expr == "pc" {
					want = uint64(e.Address)
				}
				if uint64(v) != want {
					t.Errorf("%#x, want %#x", v, want)
				}
				return
			}
			if text, ok := e.Texts["v"]; ok {
				if text != want {
					t.Errorf("%q, want %q", text, want)
				}
				return
			}
			if reason, ok := want.(string); !ok || !strings.Contains(e.Unread["v"], reason) {
				t.Errorf("not read: %s; want %v", e.Unread["v"], want)
			}
		})
	}
}

// Of a bit field only its own bits count, so that a difference of its neighbours is none
// of its own.
func TestExtent(t *testing.T) {
	memory := []byte{0xff, 0xff, 0xff, 1, 2}
	for _, tt := range []struct {
		field kernel.Field
		want  []byte
	}{
		{kernel.Field{Offset: 3, Size: 2}, []byte{1, 2}},
		{kernel.Field{Size: 1, BitSize: 1}, []byte{1}},
		{kernel.Field{Offset: 1, Size: 1, BitOffset: 2, BitSize: 3}, []byte{0x1c}},
		{kernel.Field{Size: 2, BitOffset: 7, BitSize: 3}, []byte{0x80, 0x03}},
	} {
		if got := extent(memory, tt.field); !bytes.Equal(got, tt.want) {
			t.Errorf("%+v: %x, want %x", tt.field, got, tt.want)
		}
	}
	if memory[0] != 0xff || memory[1] != 0xff {
		t.Errorf("the memory has changed to %x", memory)
	}
}

// A read may name what earlier stops of the round recorded.
func TestReadsOfOtherStops(t *testing.T) {
	all := forks()
	all.Points[0].Reads = []plan.Named{{Name: "flags", Expr: "arg.clone_flags"}, {Name: "who", Expr: "str(current.comm)"}}
	all.Points[4].Reads = []plan.Named{
		{Name: "argument", Expr: "sys_clone.arg.clone_flags + 1"}, {Name: "read", Expr: "sys_clone.read.flags + 2"}, {Name: "text", Expr: "sys_clone.read.who"},
		{Name: "returned", Expr: "copied.ret"}, {Name: "pid", Expr: "wake.task.pid"}, {Name: "other", Expr: "copy.arg.nothing ?? 7"},
		{Name: "itself", Expr: "first.pc"},
	}
	l := newLab(t, all, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event { return append(fork(at), end) })
	if err := Drive(t.Context(), l.config); err != nil {
		t.Fatal(err)
	}
	e := l.trace[len(l.trace)-1]
	want := map[string]trace.Word{"argument": 18, "read": 19, "returned": child, "pid": pid, "other": 7}
	if diff := cmp.Diff(want, e.Reads); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if e.Texts["text"] != "fork" || e.Unread["itself"] != "not in the trace: not-hit" {
		t.Errorf("%v, not read: %v", e.Texts, e.Unread)
	}
}

// TestEvent compares the whole event of a stop.
func TestEvent(t *testing.T) {
	all := Plan{Parents: true, Points: []plan.Point{
		{Name: "vfs_read", Role: "parent", Entry: true, Stacks: []string{"parent", "child"}, Finds: []plan.Named{{Name: "child", Expr: "current.real_parent"}},
			Reads: []plan.Named{{Name: "flags", Expr: "arg.file.f_flags"}, {Name: "who", Expr: "str(current.comm)"}, {Name: "lost", Expr: "current.lost"}}},
	}}
	l := newLab(t, all, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
		return append(readable(at), call(at("vfs_read"), parent, stack+0x3f00, 0, memory, 3), end)
	})
	if err := Drive(t.Context(), l.config); err != nil {
		t.Fatal(err)
	}
	e := l.trace[0]
	sym, err := l.config.Image.Symbols.Lookup("vfs_read")
	if err != nil {
		t.Fatal(err)
	}
	shell := trace.Task{Address: stranger, PID: 99, TGID: 99, Comm: "sh"}
	program := trace.Task{Address: parent, PID: pid, TGID: pid, Comm: "fork"}
	want := trace.Event{
		Kind: trace.KindStop, Point: "vfs_read", Symbol: "vfs_read", Address: trace.Word(sym.Addr), Role: "parent", Round: 1,
		Task: &program, Parent: &shell,
		Args: []trace.Arg{
			{Name: "file", Type: "struct file *", Value: memory}, {Name: "fd", Type: "s32", Value: 3},
		},
		Finds:  map[string]trace.Word{"child": stranger},
		Reads:  map[string]trace.Word{"flags": ^trace.Word(0)},
		Texts:  map[string]string{"who": "fork"},
		Unread: map[string]string{"lost": `current.lost: no such member: no member of struct task_struct "lost"; it has: "tgid", "comm", "mm", "pid"`},
		Fields: map[string]trace.Field{
			"task_struct.pid":         {Offset: 0, Size: 4, Type: "s32"},
			"task_struct.tgid":        {Offset: 4, Size: 4, Type: "s32"},
			"task_struct.comm":        {Offset: 8, Size: 16, Type: "s8[16]"},
			"task_struct.real_parent": {Offset: 24, Size: 8, Type: "struct task_struct *"},
			"file.f_flags":            {Offset: 0, Size: 4, Type: "s32"},
		},
	}
	ignore := cmpopts.IgnoreFields(trace.Event{}, "Time", "Registers", "Stack", "Stacks", "Unread")
	if diff := cmp.Diff(want, e, ignore, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if reason := e.Unread["lost"]; !strings.Contains(reason, "no such member") || len(e.Unread) != 1 {
		t.Errorf("unread: %v", e.Unread)
	}
	if e.Registers["a0"] != memory || e.Registers["tp"] != parent || e.Registers["sp"] != stack+0x3f00 || len(e.Registers) != len(l.config.Arch.Registers.Record) {
		t.Errorf("registers: %v", e.Registers)
	}
	if e.Time <= 0 {
		t.Errorf("time %d", e.Time)
	}
	if len(e.Stack) == 0 || uint64(e.Stack[0].PC) != uint64(e.Address) {
		t.Errorf("stack: %+v", e.Stack)
	}
	if len(e.Stacks) != 2 || e.Stacks[0].Role != "parent" || e.Stacks[0].Bottom != stack || e.Stacks[0].Top != stack+0x4000 || e.Stacks[0].SP != stack+0x3f00 ||
		e.Stacks[1].Role != "child" || e.Stacks[1].Task.PID != 99 {
		t.Errorf("stacks: %+v", e.Stacks)
	}
}

// A read that the stub cannot answer ends the run; one that the guest's memory refuses
// does not.
func TestReadsFail(t *testing.T) {
	all := Plan{Points: []plan.Point{{Name: "vfs_read", Role: "parent", Entry: true, Reads: []plan.Named{{Name: "v", Expr: "u64(arg.file)"}}}}}
	refused := &rsp.OpError{Op: "read", Err: &rsp.Error{}}
	lost := &rsp.OpError{Op: "read", Err: rsp.ErrClosed}
	for _, err := range []error{refused, lost} {
		l := newLab(t, all, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
			return []machinetest.Event{call(at("vfs_read"), parent, stack+0x3f00, 0, memory, 3), end}
		})
		l.config.Guest = &broken{Guest: l.config.Guest, op: "read", n: 2, err: err, calls: map[string]int{}}
		got := Drive(t.Context(), l.config)
		if err == error(lost) {
			if !errors.Is(got, rsp.ErrClosed) || !strings.Contains(got.Error(), "at vfs_read (vfs_read): read v: ") || len(l.trace) != 0 {
				t.Errorf("Drive = %v", got)
			}
			continue
		}
		if len(l.trace) != 1 || l.trace[0].Unread["v"] == "" {
			t.Errorf("Drive = %v, %d events, want one without the read", got, len(l.trace))
		}
	}
}

func madeImage(t *testing.T) (*kernel.Image, arch.Arch) {
	t.Helper()
	s := machinetest.Spec(t, machinetest.Guest{Functions: functions(), Structs: structs()})
	return s.Image, s.Arch
}

func TestCheck(t *testing.T) {
	im, a := madeImage(t)
	all := forks()
	all.Points[0].Reads = []plan.Named{
		{Name: "good", Expr: "arg.clone_flags + current.real_parent.pid + reg.t0 + sp + child.user.pc"},
		{Name: "also", Expr: `str(current.comm) `}, {Name: "sym", Expr: "symbol(pc)"}, {Name: "more", Expr: `as(u64(sp), "file").f_pos`},
		{Name: "bad", Expr: "current.lost", Source: "lab.yaml:3"}, {Name: "alternative", Expr: "current.lost ?? current.pid"},
	}
	all.Points[1].Args, all.Points[1].Source = []string{"pid", "pd"}, "lab.yaml:9"
	all.Points[3].When = "arg.p == child and arg.r == 1"
	all.Points[4].Reads = []plan.Named{{Name: "made", Expr: "copy.arg.pid"}, {Name: "gone", Expr: "wake.arg.q"}, {Name: "or", Expr: "wake.arg.q ?? 1"}}
	all.Points[4].Finds = []plan.Named{{Name: "grandchild", Expr: "arg.q"}}
	all.Points = append(all.Points, plan.Point{Name: "lacking", Place: "no_such_function", Role: "parent", Optional: true, Reads: []plan.Named{{Name: "x", Expr: "arg.anything"}}})
	var got []string
	for _, err := range Check(im, a, all) {
		text, _, _ := strings.Cut(err.Error(), " no such member")
		got = append(got, text)
	}
	want := []string{
		"lab.yaml:3: sys_clone: read bad: current.lost:", "lab.yaml:9: copy: arg.pd:", "wake: arg.r:", "wake: arg.q:", "first: find the grandchild: arg.q:",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	all.Points[1].Place = "no_such_function"
	if errs := Check(im, a, all); len(errs) != 1 || !strings.Contains(errs[0].Error(), "no_such_function") {
		t.Errorf("%v", errs)
	}
}

func TestResolve(t *testing.T) {
	im, _ := madeImage(t)
	missing := plan.Point{Name: "lacking", Place: "no_such_function", Role: "parent", Optional: true}
	for name, c := range map[string]struct {
		points  []plan.Point
		want    string            // in the error
		missing map[string]string // point → in why it is missing
	}{
		"all there":         {points: forks().Points},
		"optional":          {points: []plan.Point{missing}, missing: map[string]string{"lacking": "no_such_function"}},
		"its return":        {points: []plan.Point{missing, {Name: "back", ReturnOf: "lacking"}}, missing: map[string]string{"lacking": "no_such_function", "back": "no_such_function"}},
		"what it arms":      {points: []plan.Point{missing, {Name: "do_exit", Armed: []string{"lacking"}}}, missing: map[string]string{"lacking": "no_such_function", "do_exit": "armed at lacking, which is not observed"}},
		"what another arms": {points: []plan.Point{missing, {Name: "schedule"}, {Name: "do_exit", Armed: []string{"lacking", "schedule"}}}, missing: map[string]string{"lacking": "no_such_function"}},
		"absent here":       {points: []plan.Point{{Name: "do_exit", Absent: "an architecture without exits"}}, missing: map[string]string{"do_exit": "an architecture without exits"}},
		"needed":            {points: []plan.Point{{Name: "no_such_function", Source: "lab.yaml:2"}, {Name: "neither"}}, want: "lab.yaml:2: "},
		"no earlier point":  {points: []plan.Point{{Name: "back", ReturnOf: "call"}}, want: "back is the return of call, which is no earlier point"},
		"at one address": {points: []plan.Point{{Name: "sys_clone"}, {Name: "two", Place: "__riscv_sys_clone", Source: "lab.yaml:9"}},
			want: "lab.yaml:9: points sys_clone and two are both at 0x"},
		"one place twice": {points: []plan.Point{{Name: "one", Place: "schedule"}, {Name: "two", Place: "schedule"}}},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := Resolve(im, Plan{Points: c.points})
			if c.want != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("Resolve = %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range all {
				point := c.points[i]
				why := c.missing[point.Name]
				if (why == "") != (r.Missing == "") || !strings.Contains(r.Missing, why) {
					t.Errorf("%s is missing: %q, want %q", point.Name, r.Missing, why)
				}
				if there := r.Addr != 0; there != (why == "" && point.ReturnOf == "") {
					t.Errorf("%s is at %#x", point.Name, r.Addr)
				}
			}
		})
	}
	_, err := Resolve(im, Plan{Points: []plan.Point{{Name: "no_such_function"}, {Name: "neither"}}})
	for _, name := range []string{"no_such_function", "neither"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Resolve = %v, want that all are named", err)
		}
	}
}

func TestHeader(t *testing.T) {
	im, _ := madeImage(t)
	all := forks()
	all.Points = append(all.Points, plan.Point{Name: "lacking", Place: "no_such_function", Role: "parent", Optional: true})
	points, err := Header(im, all)
	if err != nil {
		t.Fatal(err)
	}
	type line struct{ Point, Place, Symbol string }
	var got []line
	for i, p := range points {
		got = append(got, line{p.Point, p.Place, p.Symbol})
		sym, err := im.Symbols.Lookup(p.Symbol)
		if none := all.Points[i].ReturnOf != "" || p.Missing != ""; none != (p.Address == 0) || !none && (err != nil || uint64(p.Address) != sym.Addr) {
			t.Errorf("%s is at %#x", p.Point, p.Address)
		}
		if p.Missing == "" && p.Why == "" {
			t.Errorf("%s has no reason", p.Point)
		}
	}
	want := []line{
		{"sys_clone", "", "__riscv_sys_clone"}, {"copy", "copy_process", "copy_process"}, {"copied", "", "copy_process"},
		{"wake", "wake_up_new_task", "wake_up_new_task"}, {"first", "ret_from_fork", "ret_from_fork"}, {"lacking", "no_such_function", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	all.Points[1].Place = "no_such_function"
	if _, err := Header(im, all); err == nil {
		t.Error("no error for a point that is not there")
	}
	// Nothing is inlined here, so a point without its reads has the same place.
	for _, name := range []string{"wake", "no point"} {
		if _, elsewhere := Bare(im, forks(), name); elsewhere {
			t.Errorf("%s is at another place without its reads", name)
		}
	}
}

func TestPlan(t *testing.T) {
	all := exits()
	if diff := cmp.Diff([]string{"parent", "made"}, all.Roles()); diff != "" {
		t.Errorf("roles -want +got:\n%s", diff)
	}
	if got := all.Argv("x"); got != nil {
		t.Errorf("%q, want none", got)
	}
	all.Args = []string{"-v"}
	if diff := cmp.Diff([]string{"x", "-v"}, all.Argv("x")); diff != "" {
		t.Errorf("arguments -want +got:\n%s", diff)
	}
	if got, want := place(plan.Point{Name: "a"}), "a"; got != want {
		t.Errorf("place %q, want %q", got, want)
	}
}

// The digest of a plan does not depend on texts for people, and changes with everything
// that affects the driver.
func TestPlanJSON(t *testing.T) {
	written := func(change func(p *plan.Point)) string {
		p := exits()
		change(&p.Points[2])
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	same := written(func(*plan.Point) {})
	for name, change := range map[string]func(*plan.Point){
		"means":    func(p *plan.Point) { p.Means = "another" },
		"lifetime": func(p *plan.Point) { p.Lifetime = "arg.x" },
		"after":    func(p *plan.Point) { p.After = []string{"run"} },
		"shown":    func(p *plan.Point) { p.Show = []plan.Named{{Name: "x", Expr: "read.cpu"}} },
	} {
		if got := written(change); got != same {
			t.Errorf("%s changes it: %s", name, got)
		}
	}
	for name, change := range map[string]func(*plan.Point){
		"place": func(p *plan.Point) { p.Place = "x" }, "when": func(p *plan.Point) { p.When = "" }, "aside": func(p *plan.Point) { p.Aside = "" },
		"finds": func(p *plan.Point) { p.Finds = []plan.Named{{Name: "made", Expr: "arg.p"}} }, "reads": func(p *plan.Point) { p.Reads = nil },
		"hits": func(p *plan.Point) { p.Hits = &trace.Range{} }, "until": func(p *plan.Point) { p.Until = "exit" }, "armed": func(p *plan.Point) { p.Armed = []string{"run"} },
		"shown": func(p *plan.Point) { p.Show = []plan.Named{{Name: "x", Expr: "arg.x"}} }, "stacks": func(p *plan.Point) { p.Stacks = []string{"made"} },
	} {
		if written(change) == same {
			t.Errorf("%s changes nothing", name)
		}
	}
	instead := func(p plan.Point) string {
		all := exits()
		all.Instead = []plan.Point{p}
		data, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	vfork := plan.Point{Name: "vfork", Place: "sys_vfork", Aside: "vfork"}
	seen := map[string]bool{same: true}
	for _, p := range []plan.Point{vfork, {Name: "other", Place: vfork.Place, Aside: vfork.Aside}, {Name: vfork.Name, Place: "other", Aside: vfork.Aside}, {Name: vfork.Name, Place: vfork.Place, Aside: "other"}} {
		if written := instead(p); seen[written] {
			t.Errorf("another way %+v changes nothing", p)
		} else {
			seen[written] = true
		}
	}
}

func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		size   int
		signed bool
		want   uint64
	}{
		{1, false, 0xff}, {1, true, ^uint64(0)}, {2, false, 0xeeff}, {2, true, 0xffffffffffffeeff}, {4, false, 0x8cddeeff},
		{4, true, 0xffffffff8cddeeff}, {8, true, 0x12345678_8cddeeff}, {0, true, 0x12345678_8cddeeff}, {16, false, 0x12345678_8cddeeff},
	} {
		if got := narrow(0x12345678_8cddeeff, kernel.Param{Size: c.size, Signed: c.signed}); got != c.want {
			t.Errorf("%d bytes, signed %v: %#x, want %#x", c.size, c.signed, got, c.want)
		}
	}
}
