package trace_test

import (
	"testing"
)

func TestArg(t *testing.T) {
	e := sample().Events[1]
	if v, ok := e.Arg("clone_flags"); !ok || v != 17 {
		t.Errorf("clone_flags = %v, %v", v, ok)
	}
	if _, ok := e.Arg("newsp"); ok {
		t.Error("an argument that is not there")
	}
}
