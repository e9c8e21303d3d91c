package trace_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/trace"
)

func TestEnv(t *testing.T) {
	e := sample().Events[1]
	address := -0x7ef6a030 // 0xffffffff81095fd0 in 64 bits
	want := map[string]any{
		"point": "sys_clone", "symbol": "__x64_sys_clone", "address": address, "cpu": 0, "round": 1,
		"task": map[string]any{"address": -0x777ffc5d8000, "pid": 83, "tgid": 83, "comm": "fork-new"},
		"reg":  map[string]int{"rip": address, "rsp": -0x36ffffdf00c0},
		"arg":  map[string]int{"clone_flags": 17},
		"read": map[string]any{"flags": 0},
		"pc":   address, "sp": -0x36ffffdf00c0,
	}
	got := e.Env(map[string]string{"pc": "rip", "sp": "rsp", "ret": "rax"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
	more := trace.With(got, map[string]any{"child": 1})
	if more["child"] != 1 || more["CLONE_VM"] != 0x100 || more["SIGCHLD"] != 17 || more["pc"] != address {
		t.Errorf("With lost a name: %v", more)
	}
	if _, ok := got["child"]; ok {
		t.Error("With changed what it was given")
	}
}

func TestArg(t *testing.T) {
	e := sample().Events[1]
	if v, ok := e.Arg("clone_flags"); !ok || v != 17 {
		t.Errorf("clone_flags = %v, %v", v, ok)
	}
	if _, ok := e.Arg("newsp"); ok {
		t.Error("an argument that is not there")
	}
}
