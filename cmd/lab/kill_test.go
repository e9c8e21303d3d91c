package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/images"
	"kernellab/images/qemutest"
)

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
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			cache := borrowedCache(t, a)
			run := func() *exec.Cmd {
				cmd := exec.Command(lab, "run", "fork-new", "--arch", a.Name, "--format", "json")
				cmd.Env = append(os.Environ(), "LAB_CACHE="+cache)
				cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
				return cmd
			}
			for _, after := range []time.Duration{200, 900, 2500, 4000, 5500} {
				cmd := run()
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				timer := time.AfterFunc(after*time.Millisecond, func() { cmd.Process.Kill() })
				cmd.Wait()
				timer.Stop()
				emptied(t, cache)
			}
			cmd := run()
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

// borrowedCache has the real cache's kernel and guest, and snapshots of its own.
func borrowedCache(t *testing.T, a arch.Arch) string {
	t.Helper()
	lacking := t.Skipf
	if slices.Contains(strings.Split(os.Getenv("LAB_REQUIRE"), ","), a.Name) {
		lacking = t.Fatalf
	}
	real := &images.Cache{}
	all, err := real.Kernels(a.Name)
	if err != nil || len(all) == 0 {
		lacking("the cache holds no kernel for %s (%v): lab kernels fetch brings one", a.Name, err)
	}
	qemutest.Command(t, a.Name, a.QEMU.Binary)
	root, err := real.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, part := range []string{"kernels", "qemu", "initramfs", "programs", "std"} {
		from, err := real.Path(part)
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

// emptied waits until no QEMU maps memory or runs a kernel of the cache any more.
func emptied(t *testing.T, cache string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		left := users(cache)
		if len(left) == 0 {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still running: %v", left)
		}
	}
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
