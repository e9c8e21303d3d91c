package marking

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/class"
	"kernellab/harness/kernel"
	"kernellab/harness/machine"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/harness/trace"
	"kernellab/harness/variant"
	"kernellab/harness/verdict"
	"kernellab/internal/usage"
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

// Which of two submissions a student means is for a person to say.
func TestUnclear(t *testing.T) {
	_, _, err := marker(t).read(t.Context(), class.Student{Name: "eve", Path: t.TempDir(), Unclear: "eve and eve.zip are both eve's"})
	if err == nil || !strings.Contains(err.Error(), "eve and eve.zip are both eve's") {
		t.Errorf("error %v", err)
	}
}

// A symbolic link may lead to another student's work: it is refused, not followed.
func TestLinkIsRefused(t *testing.T) {
	_, s, err := marker(t).read(t.Context(), class.Student{Name: "eve", Path: t.TempDir(), Link: true})
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

// The lab's own program runs once on every kernel before a class. The error names each
// kernel on which it does not pass, and what to do; a run that passed is not made again.
func TestCheck(t *testing.T) {
	m := marker(t)
	m.Say = func(string, ...any) {}
	if len(m.targets) != 2 {
		t.Fatalf("%d targets, want 2", len(m.targets))
	}
	var starts atomic.Int64
	broken := machinetest.Spec(t, machinetest.Guest{Boot: []machinetest.Event{machinetest.Panic}})
	start := broken.Emulate
	broken.Emulate = func(ctx context.Context, c qemu.Config) (machine.Emulator, error) {
		starts.Add(1)
		return start(ctx, c)
	}
	bad, good := m.targets[0], m.targets[1]
	bad.Path, bad.own = "/boot/vmlinuz", harness.Job{Lab: "fork-new", Machine: broken, Program: broken.Initrd, ProgramName: "fork-new"}
	good.of(m.lab).trace = &trace.Trace{}
	err := m.Check(t.Context())
	var own *OwnError
	if !errors.As(err, &own) || !machine.Died(err) || own.Kernel != bad.Name() {
		t.Fatalf("%v, want the kernel's death on %s", err, bad.Name())
	}
	for _, want := range []string{"nobody was graded", "lab run fork-new --kernel /boot/vmlinuz --arch " + bad.Arch.Name} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), good.Name()) {
		t.Errorf("%s passed: %v", good.Name(), err)
	}
	if starts.Load() == 0 {
		t.Error("no machine was started")
	}
	before := starts.Load()
	bad.of(m.lab).trace = &trace.Trace{}
	if err := m.Check(t.Context()); err != nil || starts.Load() != before {
		t.Errorf("with a run that passed on each: %v, %d more starts", err, starts.Load()-before)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Check(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// What is no submission is said, but not without end; a folder without any is a mistake
// of usage.
func TestStudents(t *testing.T) {
	dir := t.TempDir()
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if _, err := Students(dir, say); !usage.Is(err) {
		t.Errorf("an empty folder: %v, want a mistake of usage", err)
	}
	if _, err := Students(filepath.Join(dir, "none"), say); !usage.Is(err) {
		t.Errorf("no folder: %v, want a mistake of usage", err)
	}
	for _, name := range []string{"a.txt", "b\x1b.txt", "c.txt", "d.txt", "e.txt", "f.txt", "g.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "alice"), 0o755); err != nil {
		t.Fatal(err)
	}
	students, err := Students(dir, say)
	if err != nil || len(students) != 1 || students[0].Name != "alice" {
		t.Errorf("students %+v, %v", students, err)
	}
	if len(said) != 6 || said[1] != "left out: b .txt is neither a folder nor an archive" || said[5] != "… and 2 more" {
		t.Errorf("said %q", said)
	}
}

// The tasks are those of all students of a class, by the IDs of a file if there is one.
func TestTasksOf(t *testing.T) {
	students := []class.Student{{Name: "alice"}, {Name: "bob"}}
	tasks, err := TasksOf(students, variant.Secret{}, "")
	if err != nil || !slices.Equal(tasks.Class, []string{"alice", "bob"}) || tasks.id("bob") != "bob" {
		t.Errorf("without a file: %+v, %v", tasks, err)
	}
	file := filepath.Join(t.TempDir(), "ids.csv")
	if _, err := TasksOf(students, variant.Secret{}, file); !usage.Is(err) {
		t.Errorf("no such file: %v, want a mistake of usage", err)
	}
	if err := os.WriteFile(file, []byte("bob,s-17\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if tasks, err = TasksOf(students, variant.Secret{}, file); err != nil || tasks.id("bob") != "s-17" || tasks.id("alice") != "alice" {
		t.Errorf("with a file: %+v, %v", tasks, err)
	}
}
