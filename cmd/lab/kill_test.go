package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/internal/labtest"
)

// moment is when a run is killed.
type moment struct {
	name string
	come func(pid int, out *waiter) bool
}

// drives is the name of the moment at which the program runs.
const drives = "drives"

// processorTime is what a process has used of the processor, 0 when it is gone.
func processorTime(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(text), ") ") // the name may have spaces
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11]) // in hundredths of a second, as the next
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// moments are those of runs that follow each other with one cache, which holds no
// snapshot before the first.
func moments(cache string) []moment {
	machine := func(pid int, incoming bool) bool {
		return slices.ContainsFunc(children(pid), func(c child) bool {
			return strings.Contains(c.line, "qemu-system") && strings.Contains(c.line, " -incoming ") == incoming
		})
	}
	snapshots := func(n int) bool {
		found, _ := filepath.Glob(filepath.Join(cache, "snapshots/*/manifest.json"))
		return n <= len(slices.DeleteFunc(found, func(path string) bool { return filepath.Ext(filepath.Dir(path)) != "" }))
	}
	return []moment{
		{"starts", func(int, *waiter) bool { return true }},
		{"boots", func(pid int, _ *waiter) bool { return machine(pid, false) }},
		{"has the snapshot of the booted guest", func(int, *waiter) bool { return snapshots(1) }},
		{"runs to the first stop", func(pid int, _ *waiter) bool { return machine(pid, true) }},
		{"has the snapshot of the first stop", func(int, *waiter) bool { return snapshots(2) }},
		{"restores", func(pid int, _ *waiter) bool { return machine(pid, true) }},
		// Its program does not end, so it gets a second of the processor in any case.
		{drives, func(pid int, _ *waiter) bool {
			return slices.ContainsFunc(machinesOf(pid), func(c child) bool { return processorTime(c.pid) >= time.Second })
		}},
	}
}

// A run killed at any moment, while it boots, saves, restores or drives, leaves
// the next one working, no QEMU, and nothing in the cache that is not swept.
func TestKilledRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("runs QEMU: not with -short")
	}
	lab, err := exec.LookPath("lab")
	if err != nil {
		t.Fatal(err)
	}
	// One architecture: a guest has no part in what is left of its QEMU. TestSignalsLeaveNothing
	// has the other.
	for _, a := range arch.All()[:1] {
		t.Run(a.Name, func(t *testing.T) {
			cache := borrowedCache(t, a)
			endless := t.TempDir()
			writeFiles(t, endless, map[string]string{"prog.c": readFile(t, "../../labs/fork-new/testdata/hostile/endless-loop/prog.c"), "answers.yaml": ""})
			run := func(format string, more ...string) *exec.Cmd {
				cmd := exec.Command(lab, append([]string{"run", "fork-new", "--arch", a.Name, "--format", format}, more...)...)
				cmd.Env = append(os.Environ(), "LAB_CACHE="+cache)
				cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
				return cmd
			}
			for _, m := range moments(cache) {
				var more []string
				if m.name == drives {
					more = []string{"--submission", endless, "--timeout", "24h"}
				}
				cmd := run("text", more...)
				out := &waiter{seen: make(chan struct{})}
				cmd.Stdout, cmd.Stderr = out, out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				tick := time.NewTicker(5 * time.Millisecond)
				for going := true; going && !m.come(cmd.Process.Pid, out); {
					select {
					case err := <-ended:
						t.Errorf("lab ended before it %s: %v\n%s", m.name, err, out)
						ended <- err
						going = false
					case <-tick.C:
					}
				}
				tick.Stop()
				machines := children(cmd.Process.Pid)
				cmd.Process.Kill()
				<-ended
				emptied(t, cache, machines)
			}
			cmd := run("json")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil {
				t.Fatalf("the run after the killed ones: %v\n%s%s", err, stderr.String(), stdout.String())
			}
			if strings.Contains(stderr.String(), "damaged") {
				t.Errorf("a killed run left a damaged snapshot:\n%s", stderr.String())
			}
			for _, pattern := range []string{"snapshots/*.new", "snapshots/*.old", "tmp/[a-z]*"} {
				if left, _ := filepath.Glob(filepath.Join(cache, pattern)); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			}
		})
	}
}

// realCache returns the folder of the cache, which has a kernel for an architecture and
// QEMU. It skips or fails the test where they are lacking.
func realCache(t *testing.T, a arch.Arch) string {
	t.Helper()
	cache := &images.Cache{}
	if all, err := linux.In(cache).Kernels(a.Name); err != nil || len(all) == 0 {
		labtest.Lacking(t, a.Name, fmt.Sprintf("the cache holds no kernel for %s (%v): lab kernels fetch brings one", a.Name, err))
	}
	qemutest.Command(t, a.Name, a.QEMU.Binary)
	root, err := cache.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// borrowedCache has the real cache's kernel and guest, and snapshots of its own.
func borrowedCache(t *testing.T, a arch.Arch) string {
	t.Helper()
	root, dir := realCache(t, a), t.TempDir()
	for _, part := range []string{"kernels", "unpacked", "qemu", "initramfs", "programs", "std"} {
		from, err := (&images.Cache{}).Path(part)
		if err == nil {
			err = os.Symlink(from, filepath.Join(dir, part))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "apt")); err == nil {
		if err := os.Symlink(filepath.Join(root, "apt"), filepath.Join(dir, "apt")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// emptied waits until the machines of a killed run are gone, and whatever else was
// started with a path of the cache.
func emptied(t *testing.T, cache string, machines []child) {
	t.Helper()
	tick, hang := time.NewTicker(20*time.Millisecond), time.After(sessionLimit)
	defer tick.Stop()
	for {
		left := users(cache)
		for _, m := range machines {
			if commandLine(m.pid) == m.line {
				left = append(left, fmt.Sprintf("%d %s", m.pid, m.line))
			}
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-hang:
			t.Fatalf("still running: %v", left)
		}
	}
}

// child is a process that another has started, with its words.
type child struct {
	pid  int
	line string
}

// children lists the processes that a process has started and that run a program.
func children(pid int) []child {
	var found []child
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list) // of a thread that has ended since: its children are another's
		for word := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				continue
			}
			if line := commandLine(pid); line != "" {
				found = append(found, child{pid, line})
			}
		}
	}
	return found
}

// commandLine returns the words of a process, "" when it has ended.
func commandLine(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
}

// users lists the processes that were started with a path under dir.
func users(dir string) []string {
	var found []string
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || !bytes.Contains(b, []byte(dir+"/")) {
			continue
		}
		found = append(found, fmt.Sprintf("%s %q", path, bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
	}
	return found
}
