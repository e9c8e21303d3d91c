package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/class"
	"kernellab/harness/grade"
	"kernellab/labtest"
)

// essentials are what has to be the same of two gradings of the same work: all
// that a mark is made of.
func essentials(r grade.Result) []string {
	lines := []string{fmt.Sprintf("%s %s %s %d/%d", r.Lab, r.Arch, r.Verdict, r.Score, r.MaxScore)}
	for _, c := range r.Checks {
		lines = append(lines, fmt.Sprintf("%s: %s %d/%d", c.Name, c.Verdict, c.Score, c.MaxScore))
	}
	for _, f := range r.Findings {
		lines = append(lines, fmt.Sprintf("%s at %s", f.Kind, f.Point))
	}
	for _, s := range r.Steps {
		lines = append(lines, s.Point+" by "+s.Role)
	}
	return lines
}

// sameMark grades the same two submissions, a right one and a wrong one, n times
// each: alone and with eight others, warm and cold. The others are hostile.
func sameMark(t testing.TB, m arch.Arch, n int) {
	image := hostileKernel(t, m)
	answers := honestAnswers(t, image)
	right, wrong := readFile(t, "../../labs/fork-new/main.go"), readFile(t, "../../labs/fork-new/testdata/wrong/no-wait/main.go")
	var first map[string][]string
	graded := 0
	grade := func(copies int, others []string, more ...string) {
		t.Helper()
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "graded")
		for i := range copies {
			writeFiles(t, filepath.Join(dir, fmt.Sprintf("right-%d", i)), map[string]string{"prog.go": right, "answers.yaml": answers})
			writeFiles(t, filepath.Join(dir, fmt.Sprintf("wrong-%d", i)), map[string]string{"prog.go": wrong, "answers.yaml": answers})
		}
		for i, name := range others {
			source := readFile(t, filepath.Join("../../labs/fork-new/testdata/hostile", name, "prog.c"))
			writeFiles(t, filepath.Join(dir, fmt.Sprintf("other-%d", i)), map[string]string{"prog.c": source, "answers.yaml": answers})
		}
		var stderr bytes.Buffer
		args := append([]string{"grade", "fork-new", "--arch", m.Name, "--submissions", dir, "--out", out}, more...)
		if code := run(args, strings.NewReader(""), io.Discard, &stderr); code != exitFail {
			t.Fatalf("%v ends with %d\n%s", args, code, stderr.String())
		}
		for i := range copies {
			got := map[string][]string{}
			for _, kind := range []string{"right", "wrong"} {
				got[kind] = essentials(verdict(t, out, fmt.Sprintf("%s-%d", kind, i)))
			}
			if first == nil {
				first = got
				t.Logf("%s, %s", got["right"][0], got["wrong"][0])
			}
			if diff := cmp.Diff(first, got); diff != "" {
				t.Errorf("%v: another mark for the same work -first +this:\n%s", more, diff)
			}
		}
		graded += copies
	}
	// None that takes all of its time: the limit for eight at once is long.
	eight := []string{"fork-bomb", "memory", "lines-only", "threads", "vfork", "rename", "close-all", "kill-agent"}
	alone, cold := n/4, n/6
	grade(alone, nil, "--jobs", "1")
	grade(cold, nil, "--jobs", "1", "--cold")
	for graded < n {
		grade(min(n-graded, 8), eight, "--jobs", "8")
	}
}

func TestSameMark(t *testing.T) {
	for name, n := range map[string]int{"x86_64": 12, "riscv64": 6} {
		t.Run(name, func(t *testing.T) {
			labtest.Long(t)
			m, err := arch.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			sameMark(t, m, n)
		})
	}
}

// BenchmarkSameMark is TestSameMark with 50 gradings of each.
func BenchmarkSameMark(b *testing.B) {
	for _, m := range arch.All() {
		b.Run(m.Name, func(b *testing.B) {
			for range b.N {
				sameMark(b, m, 50)
			}
		})
	}
}

// makeClass generates a class: every third program is wrong, some answers are, and
// every twentieth submission is hostile. No two programs are the same.
func makeClass(t testing.TB, dir string, n int, answers string) {
	t.Helper()
	right := readFile(t, "../../labs/fork-new/main.go")
	hostile := []string{"endless-loop", "fork-bomb", "endless-output", "memory", "imitate-agent", "kill-agent", "rename", "threads", "close-all", "panic"}
	wrong := []string{"no-fork", "no-wait", "fork-twice", "crash-before", "crash-child"}
	for i := range n {
		handed := map[string]string{"answers.yaml": answers}
		if i%5 == 0 {
			handed["answers.yaml"] = strings.Replace(answers, "its parent's", "init's", 1)
		}
		note := fmt.Sprintf("// Handed in by student %d.\n", i)
		switch {
		case i%20 == 19:
			handed["prog.c"] = note + readFile(t, filepath.Join("../../labs/fork-new/testdata/hostile", hostile[i/20%len(hostile)], "prog.c"))
		case i%3 == 1:
			handed["prog.go"] = note + readFile(t, filepath.Join("../../labs/fork-new/testdata/wrong", wrong[i%len(wrong)], "main.go"))
		default:
			handed["prog.go"] = note + right + fmt.Sprintf("\nvar student = %d\n", i)
		}
		writeFiles(t, filepath.Join(dir, fmt.Sprintf("student-%03d", i)), handed)
	}
}

// BenchmarkClass grades a class of 200 as an instructor does, every program
// compiled anew.
func BenchmarkClass(b *testing.B) {
	const size = 200
	eachBench(b, func(b *testing.B, s *bench) {
		if s.target.arch.Name != "x86_64" && testing.Short() {
			b.Skip("one architecture is enough")
		}
		answers := honestAnswers(b, hostileKernel(b, s.target.arch))
		var seconds, memory []float64
		for turn := range b.N {
			dir, out := b.TempDir(), filepath.Join(b.TempDir(), "graded")
			makeClass(b, dir, size, answers+fmt.Sprintf("# turn %d, %d\n", turn, os.Getpid()))
			cmd := exec.Command(s.binary, "grade", "fork-new", "--arch", s.target.arch.Name, "--submissions", dir, "--out", out)
			// Programs that were compiled before would be no measure.
			cmd.Env = append(os.Environ(), "LAB_CACHE="+withoutPrograms(b, s))
			var log bytes.Buffer
			cmd.Stdout, cmd.Stderr = &log, &log
			began := time.Now()
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			most := watchMemory(cmd.Process.Pid)
			err := cmd.Wait()
			seconds = append(seconds, time.Since(began).Seconds())
			memory = append(memory, <-most)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitFail {
				b.Fatalf("%v\n%s", err, &log)
			}
			if turn == 0 {
				b.Logf("\n%s", tailOf(log.String(), 60))
			}
			if _, err := os.Stat(filepath.Join(out, class.GradesFile)); err != nil {
				b.Error(err)
			}
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(seconds), "s/class")
		b.ReportMetric(60*size/median(seconds), "submissions/min")
		b.ReportMetric(slices.Max(memory), "lab-MB")
	})
}

// withoutPrograms is a cache that shares everything but the compiled programs of
// submissions.
func withoutPrograms(b *testing.B, s *bench) string {
	root, err := s.app.cache.Root()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	parts, err := os.ReadDir(root)
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range parts {
		switch p.Name() {
		case "tmp", "locks":
		case "programs":
			if err := os.CopyFS(filepath.Join(dir, p.Name()), os.DirFS(filepath.Dir(s.program))); err != nil {
				b.Fatal(err)
			}
		default:
			if err := os.Symlink(filepath.Join(root, p.Name()), filepath.Join(dir, p.Name())); err != nil {
				b.Fatal(err)
			}
		}
	}
	// Each program is told from others by its source, and each class has its own.
	return dir
}

// watchMemory returns the most memory that a process had, in MB, once it is gone.
func watchMemory(pid int) <-chan float64 {
	most := make(chan float64, 1)
	go func() {
		peak := 0.0
		for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil || syscall.Kill(pid, 0) != nil {
				break
			}
			found := false
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
					kb, _ := strconv.Atoi(f[1])
					peak, found = max(peak, float64(kb)/1e3), true
				}
			}
			if !found {
				break // it has ended, and waits to be waited for
			}
		}
		most <- peak
	}()
	return most
}

func tailOf(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
