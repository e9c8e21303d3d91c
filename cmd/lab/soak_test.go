package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/verdict"
)

// soakSize returns how many runs LAB_SOAK asks for, and the seed of what happens to them.
func soakSize(t *testing.T) (runs int, seed uint64) {
	t.Helper()
	text := os.Getenv("LAB_SOAK")
	if text == "" {
		t.Skip("LAB_SOAK=N makes N runs: make soak RUNS=N")
	}
	runs, err := strconv.Atoi(text)
	if err != nil || runs < 1 {
		t.Fatalf("LAB_SOAK=%s: want a number of runs", text)
	}
	seed = rand.Uint64()
	if text := os.Getenv("LAB_SOAK_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("LAB_SOAK_SEED: %v", err)
		}
	}
	t.Logf("LAB_SOAK_SEED=%d", seed)
	return runs, seed
}

// A run at which lab or its QEMU is killed, stopped or told to end, or that begins with a
// damaged snapshot, ends with the same trace and mark as one that is left alone, or with
// exit code 3 and a reason. It leaves no process and no temporary file.
func TestSoak(t *testing.T) {
	runs, seed := soakSize(t)
	lab, err := exec.LookPath("lab")
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range arch.All() {
		t.Run(m.Name, func(t *testing.T) {
			image := hostileKernel(t, m)
			t.Parallel()
			s := &soak{
				t: t, lab: lab, arch: m.Name, cache: borrowedCache(t, m), dir: t.TempDir(), rand: rand.New(rand.NewPCG(seed, uint64(i))),
				want: map[string]result{}, count: map[string]int{},
			}
			answers := honestAnswers(t, image)
			for name, program := range map[string]string{"right": "main.go", "wrong": "testdata/wrong/no-wait/main.go"} {
				writeFiles(t, filepath.Join(s.dir, name), map[string]string{"prog.go": readFile(t, filepath.Join("../../labs/fork-new", program)), "answers.yaml": answers})
			}
			for _, work := range works {
				s.alone(work) // and makes the snapshots
				s.want[work] = s.alone(work)
				t.Logf("%s: %s, %s a run", work, s.want[work].text, s.want[work].took.Round(time.Millisecond))
			}
			for range (runs + 1) / 2 {
				s.once()
			}
			for _, work := range works {
				if got := s.alone(work); got.text != s.want[work].text {
					t.Errorf("%s in the end: %s, in the beginning %s", work, got.text, s.want[work].text)
				}
			}
			t.Logf("faults and how the runs ended: %v", s.count)
		})
	}
}

// works are what is run: the lab's own program, and two submissions.
var works = []string{"own", "right", "wrong"}

// result is what a run left.
type result struct {
	code   int
	text   string // its mark and the trace's digest, "" without a verdict
	reason string // why there is no verdict
	took   time.Duration
}

// soak is what the runs of an architecture have in common.
type soak struct {
	t          *testing.T
	lab        string // the program
	arch       string
	cache, dir string
	rand       *rand.Rand
	want       map[string]result // of works, left alone
	count      map[string]int    // runs, by fault and end
}

// trouble is what happens to a run.
type trouble struct {
	name string
	// before damages something before the run, may be nil.
	before func(s *soak)
	// during happens to lab's process or its QEMU at a random moment, may be nil.
	during func(s *soak, lab int)
	// kills says that lab itself is killed and says nothing, ends that it may give up, asks
	// that it gets a signal that kills it only before its main function runs.
	kills, ends, asks bool
}

var troubles = []trouble{
	{name: "none"},
	{name: "lab is killed", during: func(_ *soak, lab int) { syscall.Kill(lab, syscall.SIGKILL) }, kills: true},
	{name: "lab is interrupted", during: func(_ *soak, lab int) { syscall.Kill(lab, syscall.SIGINT) }, ends: true, asks: true},
	{name: "lab is told to end", during: func(_ *soak, lab int) { syscall.Kill(lab, syscall.SIGTERM) }, ends: true, asks: true},
	{name: "lab is stopped for a while", during: func(s *soak, lab int) { s.pause(lab) }},
	{name: "QEMU is killed", during: func(_ *soak, lab int) { toMachines(lab, syscall.SIGKILL) }, ends: true},
	{name: "QEMU is told to end", during: func(_ *soak, lab int) { toMachines(lab, syscall.SIGTERM) }, ends: true},
	{name: "QEMU is stopped for a while", during: func(s *soak, lab int) {
		for _, c := range machinesOf(lab) {
			s.pause(c.pid)
		}
	}},
	{name: "a snapshot's byte changes", before: func(s *soak) {
		s.damage(func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil || info.Size() == 0 {
				return err
			}
			_, err = f.WriteAt([]byte{byte(s.rand.Uint32())}, s.rand.Int64N(info.Size()))
			return err
		})
	}},
	{name: "a snapshot's file is cut", before: func(s *soak) {
		s.damage(func(path string) error { return os.Truncate(path, s.rand.Int64N(4096)) })
	}},
	{name: "a snapshot's file is a pipe", before: func(s *soak) {
		s.damage(func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return syscall.Mkfifo(path, 0o600)
		})
	}},
	{name: "a snapshot's file is gone", before: func(s *soak) { s.damage(os.Remove) }},
}

// damage does something to a file of a snapshot, if there is one.
func (s *soak) damage(do func(path string) error) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.cache, "snapshots/*/*"))
	files = slices.DeleteFunc(files, func(path string) bool { // those that are damaged already
		info, err := os.Lstat(path)
		return err != nil || !info.Mode().IsRegular()
	})
	if err != nil || len(files) == 0 {
		return
	}
	slices.Sort(files)
	if err := do(files[s.rand.IntN(len(files))]); err != nil {
		s.t.Fatal(err)
	}
}

// pause stops a process for a while. The length is no part of what is tested.
func (s *soak) pause(pid int) {
	if syscall.Kill(pid, syscall.SIGSTOP) != nil {
		return
	}
	<-time.After(time.Duration(s.rand.IntN(1000)) * time.Millisecond)
	syscall.Kill(pid, syscall.SIGCONT)
}

// machinesOf lists the QEMUs that a process has started.
func machinesOf(pid int) []child {
	return slices.DeleteFunc(children(pid), func(c child) bool { return !strings.Contains(c.line, "qemu-system") })
}

func toMachines(lab int, signal syscall.Signal) {
	for _, c := range machinesOf(lab) {
		syscall.Kill(c.pid, signal)
	}
}

// alone runs a work to which nothing happens.
func (s *soak) alone(work string) result {
	s.t.Helper()
	r := s.run(work, trouble{})
	if r.text == "" {
		s.t.Fatalf("%s, left alone, has no verdict: exit code %d, %s", work, r.code, r.reason)
	}
	s.nothingLeft("a run that was left alone")
	return r
}

// once makes a run of a random work to which something random happens.
func (s *soak) once() {
	s.t.Helper()
	work, what := works[s.rand.IntN(len(works))], troubles[s.rand.IntN(len(troubles))]
	if what.before != nil {
		what.before(s)
	}
	r := s.run(work, what)
	want := s.want[work]
	end := "right"
	switch {
	case r.text == want.text && r.code == want.code:
	case r.code == exitError && r.text == "" && r.reason != "" && what.ends:
		end = "exit 3"
	case what.kills && r.code == -1:
		end = "killed"
	case what.asks && r.code == -1 && r.reason == "": // lab had not begun to listen for signals
		end = "killed"
	default:
		s.t.Errorf("%s, %s: exit code %d, %q, %s; left alone %d, %q", work, what.name, r.code, r.text, r.reason, want.code, want.text)
		end = "WRONG"
	}
	s.count[what.name+": "+end]++
	if end != "killed" { // what that leaves, the next run removes
		s.nothingLeft(fmt.Sprintf("%s, %s", work, what.name))
	}
}

// run makes a run, waits until all its processes have ended and returns what it left.
func (s *soak) run(work string, what trouble) result {
	s.t.Helper()
	out := filepath.Join(s.dir, "out")
	if err := os.RemoveAll(out); err != nil {
		s.t.Fatal(err)
	}
	args := []string{"run", "fork-new", "--arch", s.arch, "--format", "json", "--out", out}
	if work != "own" {
		args = append(args, "--submission", filepath.Join(s.dir, work))
	}
	cmd := exec.Command(s.lab, args...)
	cmd.Env = append(os.Environ(), "LAB_CACHE="+s.cache)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	var machines []child
	if what.during != nil {
		moment := time.NewTimer(time.Duration(s.rand.Int64N(int64(s.want[work].took) + 1)))
		select {
		case <-moment.C:
			machines = machinesOf(cmd.Process.Pid)
			what.during(s, cmd.Process.Pid)
		case <-ended:
		}
		moment.Stop()
	}
	select {
	case <-ended:
	case <-time.After(4 * sessionLimit): // a guard
		cmd.Process.Kill()
		s.t.Fatalf("%s, %s: lab does not end\n%s", work, what.name, stderr.String())
	}
	emptied(s.t, s.cache, machines)
	r := result{code: cmd.ProcessState.ExitCode(), took: time.Since(began)}
	r.text, r.reason = evidenceIn(stdout.Bytes(), out)
	if r.text == "" && r.reason == "" {
		r.reason = strings.TrimSpace(stderr.String())
	}
	return r
}

// evidenceIn returns the mark of a run's document and the digest of its trace, or why
// there is no mark.
func evidenceIn(document []byte, out string) (text, reason string) {
	var doc verdict.Document
	if json.Unmarshal(document, &doc) != nil || len(doc.Results) != 1 {
		return "", ""
	}
	r := doc.Results[0]
	if r.Verdict == verdict.Error {
		return "", r.Error
	}
	trace, err := os.ReadFile(filepath.Join(out, harness.TraceFile))
	if err != nil {
		return "", err.Error()
	}
	return fmt.Sprintf("%s, trace %x", mark(r), sha256.Sum256(trace)), ""
}

// nothingLeft checks that the cache has no work in progress.
func (s *soak) nothingLeft(after string) {
	s.t.Helper()
	for _, pattern := range []string{"snapshots/*.new", "snapshots/*.old", "tmp/[a-z]*"} {
		if left, _ := filepath.Glob(filepath.Join(s.cache, pattern)); len(left) > 0 {
			s.t.Errorf("left behind by %s: %v", after, left)
		}
	}
}

// resources are what a process has at a moment.
type resources struct{ files, processes, memory int } // memory in KiB

// sampler takes the output of lab grade and looks at its process at every line about a
// submission that is graded.
type sampler struct {
	pid func() int

	mu   sync.Mutex
	text bytes.Buffer
	seen []resources
}

func (s *sampler) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if bytes.Contains(p, []byte("lab: [")) {
		s.seen = append(s.seen, resourcesOf(s.pid()))
	}
	return len(p), nil
}

func resourcesOf(pid int) resources {
	var r resources
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	r.files = len(files)
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		r.processes += len(strings.Fields(string(text))) // zombies too
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			r.memory, _ = strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
		}
	}
	return r
}

// least returns the smallest of each that was seen: what several submissions at a time
// add comes and goes, what is lost stays.
func least(seen []resources) resources {
	low := seen[0]
	for _, r := range seen {
		low = resources{min(low.files, r.files), min(low.processes, r.processes), min(low.memory, r.memory)}
	}
	return low
}

// One lab grade of many submissions, right, wrong and hostile ones, has in the end no more
// files, processes and memory than after its first quarter, and grades all of them.
func TestSoakClass(t *testing.T) {
	size, _ := soakSize(t)
	lab, err := exec.LookPath("lab")
	if err != nil {
		t.Fatal(err)
	}
	m := arch.All()[0]
	image := hostileKernel(t, m)
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "graded")
	makeClass(t, dir, size, 20, honestAnswers(t, image))
	cmd := exec.Command(lab, "grade", "fork-new", "--arch", m.Name, "--submissions", dir, "--out", out, "--timeout", endlessLimit)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := &sampler{pid: func() int { return cmd.Process.Pid }}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitFail {
		t.Errorf("exit code %d, want %d: all are graded and some failed\n%s", code, exitFail, log.text.String())
	}
	if len(log.seen) != size {
		t.Fatalf("%d submissions were reported, want %d", len(log.seen), size)
	}
	quarter := size / 4
	if quarter < 5 {
		t.Fatalf("%d submissions are too few to compare: LAB_SOAK is to be 20 or more", size)
	}
	early, late := least(log.seen[quarter:2*quarter]), least(log.seen[3*quarter:])
	t.Logf("files, processes and memory (KiB) at least: %v in the second quarter, %v in the last", early, late)
	if late.files > early.files+4 || late.processes > early.processes+2 || late.memory > early.memory*5/4+32<<10 {
		t.Errorf("lab grade grows: files, processes and KiB %v, then %v", early, late)
	}
}
