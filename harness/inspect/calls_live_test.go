package inspect_test

import (
	"slices"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/calls"
	"kernellab/harness/inspect"
	"kernellab/harness/prepare"
	"kernellab/harness/prepare/preparetest"
)

// The tree of a fork has all instructions that ran, knows every transfer of control, and
// has the functions of the fork inside each other, with the lab's stops in them. It
// is the same each time.
func TestCallsOfFork(t *testing.T) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			h, target := preparetest.Target(t, a)
			l, err := prepare.Lab("fork-new")
			if err != nil {
				t.Fatal(err)
			}
			var tree *calls.Tree
			var texts []string
			for range 2 {
				if tree, _, err = inspect.Calls(t.Context(), h, target, preparetest.Machine, inspect.Stretch{Lab: l, To: "ret_from_fork"}, nil); err != nil {
					t.Fatal(err)
				}
				var text strings.Builder
				if err := calls.JSON(&text, tree); err != nil {
					t.Fatal(err)
				}
				texts = append(texts, text.String())
			}
			if texts[0] != texts[1] {
				t.Error("the second tree is another")
			}
			sum := uint64(0)
			for _, task := range tree.Tasks {
				sum += task.Total
			}
			if sum != tree.Ran || tree.Ran == 0 || tree.Unsure > 0 {
				t.Errorf("the tree has %d instructions of %d, and %d transfers of control that could not be told", sum, tree.Ran, tree.Unsure)
			}
			within := map[string][]string{"copy_process": {"kernel_clone"}, "arch_dup_task_struct": {"kernel_clone", "copy_process"}, "copy_thread": {"kernel_clone", "copy_process"}, "wake_up_new_task": {"kernel_clone"}}
			tree.Walk(func(task calls.Task, above []*calls.Node, n *calls.Node) {
				want, ok := within[n.Function]
				if !ok || task.Role != "parent" {
					return
				}
				delete(within, n.Function)
				for _, f := range want {
					if !slices.ContainsFunc(above, func(a *calls.Node) bool { return a.Function == f }) {
						t.Errorf("%s is not in %s", n.Function, f)
					}
				}
				if n.Times != 1 || len(n.Points) != 1 {
					t.Errorf("%s was called %d times, with the stops %v", n.Function, n.Times, n.Points)
				}
			})
			if len(within) > 0 {
				t.Errorf("the parent's tree lacks %v", within)
			}
			functions, n := tree.Functions()
			t.Logf("%d instructions, %d functions, %d calls", tree.Ran, functions, n)
		})
	}
}
