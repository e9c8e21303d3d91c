package marking

import (
	"errors"
	"fmt"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/class"
	"kernellab/harness/kernel"
	"kernellab/harness/prepare"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// marker is one for fork-new, whose kernels start no guest.
func marker(t *testing.T) *Marker {
	t.Helper()
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	m := &Marker{lab: l}
	for _, a := range arch.All() {
		m.targets = append(m.targets, &target{Target: prepare.Target{Arch: a, Image: &kernel.Image{Release: "6.1.0-" + a.Name}}})
	}
	return m
}

// About the share that was asked for is run twice, and a larger share has all
// students of a smaller one.
func TestRepeats(t *testing.T) {
	const students = 1000
	m := marker(t)
	before := map[string]bool{}
	for _, percent := range []int{0, 10, 25, 100} {
		m.percent = percent
		now := map[string]bool{}
		for i := range students {
			if name := fmt.Sprintf("student-%d", i); m.repeats(name) {
				now[name] = true
			}
		}
		if got, want := len(now), students*percent/100; got < want*3/4 || got > want*5/4 {
			t.Errorf("%d%%: %d of %d runs repeat", percent, got, students)
		}
		for name := range before {
			if !now[name] {
				t.Errorf("%s repeats with less than %d%% only", name, percent)
			}
		}
		before = now
	}
}

// A symbolic link may lead to another student's work: it is refused, not followed.
func TestLinkIsRefused(t *testing.T) {
	s, err := marker(t).read(t.Context(), class.Student{Name: "eve", Path: t.TempDir(), Link: true})
	if err != nil || s.Program != nil || len(s.Problems) != 1 {
		t.Errorf("submission %+v, %v, want one without a program and one problem", s, err)
	}
}

// A submission that cannot be graded has a result for each kernel, which is an error
// and no zero.
func TestUnable(t *testing.T) {
	m := marker(t)
	doc := m.unable(class.Student{Name: "eve"}, errors.New("the disk is full"))
	if len(doc.Results) != len(m.targets) {
		t.Fatalf("%d results, want %d", len(doc.Results), len(m.targets))
	}
	for i, r := range doc.Results {
		if r.Verdict != verdict.Error || r.Kernel != m.targets[i].Image.Release || r.Error != "the disk is full" || r.MaxScore == 0 {
			t.Errorf("result %+v", r)
		}
	}
}
