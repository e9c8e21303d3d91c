package harness_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/linux"
	"kernellab/labs"
)

// withTask runs a lab's own program with a task, and returns the lab and the trace.
func withTask(t *testing.T, a arch.Arch, k linux.Kernel, l labs.Lab, values map[string]string) (labs.Lab, *trace.Trace) {
	t.Helper()
	task, err := l.With(values)
	if err != nil {
		t.Fatal(err)
	}
	j := jobOf(t, a, k, task, nil)
	j.Variant, j.VariantArgs = task.Chosen, task.OwnArgs()
	out := run(t, j)
	if out.Result.Verdict != verdict.Pass {
		t.Errorf("%s with %v: verdict %s %s, findings %+v", l.Name, values, out.Result.Verdict, out.Result.Error, out.Result.Findings)
	}
	if !maps.Equal(out.Trace.Header.Variant, values) {
		t.Errorf("%s: the trace has the variant %v, want %v", l.Name, out.Trace.Header.Variant, values)
	}
	return task, out.Trace
}

// TestVariants runs each lab's own program with a student's task, which passes.
func TestVariants(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		for n, l := range everyLab(t) {
			if tasks := l.EachTask(); len(tasks) > 1 && turn(t, a, k, n, wayTask) {
				withTask(t, a, k, l, tasks[len(tasks)-1])
			}
		}
	})
}

// By a student's task the run of another student's program, with the answer that is right
// for that student, loses what depends on the values and nothing else.
func TestNeighboursTask(t *testing.T) {
	answer := func(number int) grade.Answers { return grade.Answers{"exit-code": {"": number}} }
	t.Parallel()
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		tasks := lab(t).EachTask()
		task, own := withTask(t, a, k, lab(t), tasks[len(tasks)-1])
		_, others := withTask(t, a, k, lab(t), tasks[1])
		rules := task.Rules(a.Name)
		score := func(tr *trace.Trace, answers grade.Answers) (missed []string, score int) {
			rules.Answers = answers
			res := grade.GradeSubmission(grade.Submitted{Rules: rules, Trace: tr})
			for _, c := range res.Checks {
				if c.Verdict != verdict.Pass && (c.Kind != verdict.KindQuestion || c.Name == "exit-code") {
					missed = append(missed, c.Name)
				}
			}
			return missed, res.Score
		}
		missed, full := score(own, answer(42<<8)) // of the status 41
		if len(missed) > 0 {
			t.Errorf("in the own task: %v do not hold", missed)
		}
		missed, less := score(others, answer(4<<8)) // of the status 3
		want := []string{"exit-code", "the child ends with the exit status that is asked for"}
		slices.Sort(missed)
		if diff := cmp.Diff(want, missed); diff != "" {
			t.Errorf("a neighbour's program and answer (-want +got):\n%s", diff)
		}
		if full-less != 10 {
			t.Errorf("a neighbour's program and answer score %d, and the own %d", less, full)
		}
	})
}
