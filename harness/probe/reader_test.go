package probe

import (
	"strings"
	"testing"

	"kernellab/harness/plan"
)

// mapped is a plan with the points that a read may name.
var mapped = Plan{Points: []plan.Point{{Name: "mapped", Reads: []plan.Named{{Name: "size"}}}}}

func TestCheckRead(t *testing.T) {
	tests := []struct {
		expr string
		want string // in the error, "" for none
	}{
		{"current.thread.sp", ""},
		{"arg.p.__state ?? arg.p.state", ""},
		{"u64(sp - 8)", ""},
		{"current.stack + current.stack_vm_area.nr_pages * 4096", ""},
		{"u32(current.stack) - 0x57ac6e9d", ""},
		{"parent.user.pc", ""},
		{"str(arg.p.comm)", ""},
		{"symbol(arg.fn)", ""},
		{`as(arg.data, "kthread_create_info").threadfn`, ""},
		{"bitand(arg.flags, 0xff)", ""},
		{"signal(arg.sig)", ""},
		{"current == arg.p ? current.pid : arg.p.pid", ""},
		{"pte(parent, mapped.ret + 4096).frame", ""},
		{"str(pte(arg.vma.vm_mm, sp).direct)", ""},
		{"mapped.read.size + mapped.arg.len", ""},
		{"pte(parent, sp)", "no value by itself"},
		{"pte(parent, sp).pfn", `has no "pfn"`},
		{"pte(parent).frame", "pte takes 2 arguments, not 1"},
		{"mapped.read.len", `has no "len"`},
		{"maped.ret", `did you mean "mapped"?`},
		{"as(arg.data, 1)", "as takes the name of a structure"},
		{"as(arg.data)", "as takes 2 arguments, not 1"},
		{"str(arg.a, arg.b)", "str takes one argument, not 2"},
		{"", "an empty expression"},
		{"current.", "unexpected"},
		{"current[0]", "a name follows a dot"},
		{"current == arg.p", "this is true or false"},
		{"arg", "no value by itself"},
		{"differs(current, arg.p)", ""},
		{`common("pid tgid", differs(parent, current))`, ""},
		{"differs(current)", "differs takes 2 arguments, not 1"},
		{"differs(current, arg.p) + 1", "+ takes two texts, not a number"},
		{"curent.pid", `unknown name "curent": did you mean "current"?`},
		{"sp.pid", "sp is a number, it has no members"},
		{"u64(str(sp) + 1)", "+ takes two texts, not a number"},
		{"u24(sp)", `no function "u24": did you mean`},
		{`hits("vfs_read")`, `no function "hits" here`},
		{"arg.p.__state ?? arg.p.state ?? stat", `unknown name "stat"`},
	}
	for _, tt := range tests {
		t.Run(tt.expr, func(t *testing.T) {
			err := CheckRead(tt.expr, []string{"parent"}, mapped)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("CheckRead = %v, want nil", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("CheckRead = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func FuzzCheckRead(f *testing.F) {
	f.Add("current.thread.sp ?? u64(arg.p + 0x30)")
	f.Add("((((")
	f.Fuzz(func(t *testing.T, expr string) {
		CheckRead(expr, nil, Plan{})
		CheckRead(expr, []string{"parent"}, mapped)
	})
}

func TestCPU(t *testing.T) {
	for thread, want := range map[string]int{"p01.01": 0, "p1.2": 1, "p01.0a": 9, "1": 0, "3": 2, "": 0, "p1.0": 0, "x": 0} {
		if got := cpu(thread); got != want {
			t.Errorf("cpu(%q) = %d, want %d", thread, got, want)
		}
	}
}
