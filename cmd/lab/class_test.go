package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
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

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/class"
)

// evidenceOf is all that a mark is made of: the verdict, and the digest of the trace
// that it is made from.
func evidenceOf(t testing.TB, out, student string) string {
	t.Helper()
	r := resultOf(t, out, student)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	evidence := readFile(t, filepath.Join(out, class.Folder(student), harness.TraceFile))
	return fmt.Sprintf("%s: verdict %x, trace %x", mark(r), sha256.Sum256(text), sha256.Sum256([]byte(evidence)))
}

// The same submission gets the same trace to the byte, and the same verdict: alone
// and with others at the same time, which are hostile. One architecture: what guests do to
// each other, they do on the host. harness.TestSame compares warm and cold traces.
func TestSameMark(t *testing.T) {
	for _, m := range arch.All()[:1] {
		t.Run(m.Name, func(t *testing.T) {
			image := hostileKernel(t, m)
			answers := honestAnswers(t, image)
			programs := map[string]string{
				"right": readFile(t, "../../labs/fork-new/main.go"),
				"wrong": readFile(t, "../../labs/fork-new/testdata/wrong/no-wait/main.go"),
			}
			first := map[string]string{}
			grade := func(copies int, others []string, more ...string) {
				t.Helper()
				dir, out := t.TempDir(), filepath.Join(t.TempDir(), "graded")
				for kind, text := range programs {
					for i := range copies {
						writeFiles(t, filepath.Join(dir, fmt.Sprintf("%s-%d", kind, i)), map[string]string{"prog.go": text, "answers.yaml": answers})
					}
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
				for kind := range programs {
					for i := range copies {
						got := evidenceOf(t, out, fmt.Sprintf("%s-%d", kind, i))
						if first[kind] == "" {
							first[kind] = got
							t.Logf("%s: %s", kind, got)
						}
						if got != first[kind] {
							t.Errorf("%v: other evidence for the same work, %s: %s, first %s", more, kind, got, first[kind])
						}
					}
				}
			}
			grade(1, nil, "--jobs", "1")
			grade(2, []string{"memory", "lines-only", "threads", "close-all", "kill-agent"}, "--jobs", "5")
		})
	}
}

// makeClass generates a class of n: every third program is wrong, some answers are, and
// one in so many submissions is hostile. No two programs are the same.
func makeClass(t testing.TB, dir string, n, one int, answers string) {
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
		case i%one == one-1:
			handed["prog.c"] = note + readFile(t, filepath.Join("../../labs/fork-new/testdata/hostile", hostile[i/one%len(hostile)], "prog.c"))
		case i%3 == 1:
			handed["prog.go"] = note + readFile(t, filepath.Join("../../labs/fork-new/testdata/wrong", wrong[i%len(wrong)], "main.go"))
		default:
			handed["prog.go"] = note + right + fmt.Sprintf("\nvar student = %d\n", i)
		}
		writeFiles(t, filepath.Join(dir, fmt.Sprintf("student-%03d", i)), handed)
	}
}

// BenchmarkClass grades a class as an instructor does, every program compiled anew: a
// small one, of which 5% is hostile.
func BenchmarkClass(b *testing.B) { benchClass(b, 20, 20) }

// BenchmarkClass200 grades a large class, of which 10% is hostile.
func BenchmarkClass200(b *testing.B) { benchClass(b, 200, 10) }

// benchClass grades a class of that size, in which one in so many is hostile.
func benchClass(b *testing.B, size, one int) {
	// One architecture: most of it is compiling, and BenchmarkThroughput has the rest.
	benchOn(b, arch.All()[0], func(b *testing.B, s *bench) {
		answers := honestAnswers(b, hostileKernel(b, s.target.Arch))
		var seconds, memory []float64
		for turn := 0; b.Loop(); turn++ {
			dir, out := b.TempDir(), filepath.Join(b.TempDir(), "graded")
			makeClass(b, dir, size, one, answers+fmt.Sprintf("# turn %d, %d\n", turn, os.Getpid()))
			cmd := exec.Command(s.binary, "grade", "fork-new", "--arch", s.target.Arch.Name, "--submissions", dir, "--out", out)
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
				b.Logf("\n%s", tailOf(log.String(), 12))
			}
			if _, err := os.Stat(filepath.Join(out, class.GradesFile)); err != nil {
				b.Error(err)
			}
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(seconds), "s/class")
		b.ReportMetric(60*float64(size)/median(seconds), "submissions/min")
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
			if err := os.CopyFS(filepath.Join(dir, p.Name()), os.DirFS(filepath.Dir(s.job.Program))); err != nil {
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
