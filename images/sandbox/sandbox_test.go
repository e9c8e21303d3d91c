package sandbox_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"kernellab/images/sandbox"
	"kernellab/internal/labtest"
)

// each runs a test with every kind that this host offers.
func each(t *testing.T, test func(t *testing.T, b sandbox.Box)) {
	for _, k := range []sandbox.Kind{sandbox.Bubblewrap, sandbox.Landlock} {
		t.Run(string(k), func(t *testing.T) {
			test(t, find(t, k))
		})
	}
}

// find returns a sandbox, or skips the test where the host has none of that kind.
// Bubblewrap can be installed, so that it is missing fails where labtest says so;
// what a kernel or a container forbids always skips.
func find(t *testing.T, k sandbox.Kind) sandbox.Box {
	t.Helper()
	b, err := sandbox.Find(t.Context(), k)
	var none *sandbox.UnavailableError
	if errors.As(err, &none) {
		if k == sandbox.Bubblewrap {
			labtest.Programs(t, "x86_64", "bwrap")
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func shell(t *testing.T, b sandbox.Box, script string, l sandbox.Limits) (sandbox.Result, error) {
	t.Helper()
	return b.Run(t.Context(), sandbox.Command{
		Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/bin:/bin"},
		Work: t.TempDir(), Read: sandbox.System(), Limits: l,
	})
}

// What is not given can not be read, and nothing but the work folder be written.
func TestReach(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the answers"), 0o644); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, b sandbox.Box) {
		for name, script := range map[string]string{
			"a host file":      "cat " + secret,
			"passwd":           "cat /etc/passwd",
			"environment":      "cat /proc/$PPID/environ",
			"write the system": "echo x > /usr/bin/planted",
			"write a root":     "echo x > /planted",
			"write elsewhere":  "echo x > " + filepath.Dir(secret) + "/planted",
			"list home":        "ls /root /home",
			"a device":         "head -c 1 /dev/zero",
		} {
			r, err := shell(t, b, script, sandbox.Limits{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if r.Code == 0 || strings.Contains(r.Output, "answers") {
				t.Errorf("%s: exit status %d, %q: want a refusal", name, r.Code, r.Output)
			}
		}
		r, err := shell(t, b, "echo made > file && cat file && env", sandbox.Limits{})
		if err != nil || r.Code != 0 || !strings.HasPrefix(r.Output, "made\n") {
			t.Errorf("its own folder: %+v, %v", r, err)
		}
		if strings.Contains(r.Output, "HOME=") {
			t.Errorf("the environment is not only what was given:\n%s", r.Output)
		}
	})
}

func TestLimits(t *testing.T) {
	each(t, func(t *testing.T, b sandbox.Box) {
		small := sandbox.Limits{CPU: time.Second, Memory: 64 << 20, FileSize: 1 << 20, Output: 100}
		for _, tt := range []struct{ name, script, want string }{
			{"for ever", "while :; do :; done", "more than 1s of processor time"},
			{"a huge file", "exec head -c 2000000 /usr/bin/perl /usr/bin/bash /usr/bin/dpkg > file", "a file of more than 1 MiB"},
			{"memory", `exec perl -e '$x = "x" x 1e9'`, "more than 64 MiB of memory"},
			{"none", "exit 3", ""},
		} {
			r, err := shell(t, b, tt.script, small)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if r.Code == 0 || r.Exceeded != tt.want {
				t.Errorf("%s: exit status %d, exceeded %q, want %q\n%s", tt.name, r.Code, r.Exceeded, tt.want, r.Output)
			}
		}
		r, err := shell(t, b, "i=0; while [ $i -lt 100 ]; do echo 0123456789; i=$((i+1)); done", small)
		if err != nil || r.Code != 0 || !strings.HasSuffix(r.Output, "… and 1000 bytes more\n") {
			t.Errorf("much output: %+v, %v", r, err)
		}
	})
}

// A command that only sleeps went over a limit of its own, and leaves no process.
func TestSleeps(t *testing.T) {
	each(t, func(t *testing.T, b sandbox.Box) {
		for idle := 500 * time.Millisecond; ; idle *= 2 { // a busy host may need longer than that to start it
			r, err, began := waits(t, b, "sleep 100000 & sleep 100000", sandbox.Limits{Idle: idle})
			if want := "more than " + idle.String() + " in which it did nothing"; err != nil || r.Code == 0 || r.Exceeded != want {
				t.Fatalf("%+v, %v, want it to have taken %s", r, err, want)
			}
			if began {
				return
			}
		}
	})
}

// A command that somebody keeps from running does not sleep: that it took too long is the
// host's trouble. It leaves no process.
func TestWall(t *testing.T) {
	each(t, func(t *testing.T, b sandbox.Box) {
		for wall := 500 * time.Millisecond; ; wall *= 2 {
			r, err, began := waits(t, b, "sleep 100000 & kill -STOP $$", sandbox.Limits{Wall: wall, Idle: wall / 4})
			if late := new(sandbox.TimeoutError); errors.As(err, &late) && began {
				return
			} else if err == nil && began || err != nil && late.Limit == 0 {
				t.Fatalf("%+v, %v, want a TimeoutError", r, err)
			}
		}
	})
}

// The compiler has no pipe of ours: what reads it does not wait for itself.
func TestOwnOutput(t *testing.T) {
	each(t, func(t *testing.T, b sandbox.Box) {
		for fd := range 8 {
			r, err := shell(t, b, fmt.Sprintf("cat /proc/self/fd/%d /dev/fd/%d; cat <&%d; echo went on", fd, fd, fd), sandbox.Limits{})
			if err != nil || r.Exceeded != "" {
				t.Errorf("descriptor %d: %+v, %v", fd, r, err)
			}
		}
	})
}

// waits runs a command that has to be ended, and reports whether it began.
func waits(t *testing.T, b sandbox.Box, script string, l sandbox.Limits) (r sandbox.Result, err error, began bool) {
	t.Helper()
	work := t.TempDir()
	path := filepath.Join(work, "alive")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Every process of the command holds the other end, so that it is closed when
	// none is left.
	pipe, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	r, err = b.Run(t.Context(), sandbox.Command{
		Path: "/bin/sh", Args: []string{"-c", "exec 3>alive; echo began >&3; " + script}, Env: []string{"PATH=/usr/bin:/bin"},
		Work: work, Read: sandbox.System(), Limits: l,
	})
	if err := pipe.SetReadDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	said, rerr := io.ReadAll(pipe)
	if rerr != nil {
		t.Fatalf("a process of the command is left: %v", rerr)
	}
	return r, err, string(said) == "began\n"
}

func TestNothingToRun(t *testing.T) {
	each(t, func(t *testing.T, b sandbox.Box) {
		const path = "/usr/bin/no-such-compiler"
		r, err := b.Run(t.Context(), sandbox.Command{Path: path, Work: t.TempDir(), Read: sandbox.System()})
		if err != nil { // bubblewrap says that it started nothing
			r.Output = err.Error()
		} else if r.Code == 0 {
			t.Errorf("%s: exit status 0: %+v", path, r)
		}
		if !strings.Contains(r.Output, path) {
			t.Errorf("%+v, %v: want them to name %s", r, err, path)
		}
	})
}

func TestRefusal(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := sandbox.Find(t.Context(), sandbox.Bubblewrap)
	var none *sandbox.UnavailableError
	if !errors.As(err, &none) {
		t.Fatalf("error %v, want an UnavailableError", err)
	}
	for _, w := range []string{"lab doctor --install", "LAB_SANDBOX=none", "prlimit"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
	if _, err := sandbox.Find(t.Context(), "chroot"); err == nil || !strings.Contains(err.Error(), "bubblewrap") {
		t.Errorf("an unknown kind: %v", err)
	}
}

// TestAlone runs a command that may start no other: under bubblewrap it can not, and
// its threads run all the same.
func TestAlone(t *testing.T) {
	b := find(t, sandbox.Bubblewrap)
	if !b.Filters() {
		t.Skip("this host has no filters of system calls")
	}
	run := func(alone bool, path string, args ...string) sandbox.Result {
		t.Helper()
		r, err := b.Run(t.Context(), sandbox.Command{
			Path: path, Args: args, Env: []string{"PATH=/usr/bin:/bin"}, Work: t.TempDir(), Read: sandbox.System(), Alone: alone,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, script := range []string{"/usr/bin/true; echo went on", "(echo went on)", "echo went on | cat", "/usr/bin/true & wait; echo went on"} {
		if r := run(true, "/bin/sh", "-c", script); strings.Contains(r.Output, "went on") && !strings.Contains(r.Output, "fork") {
			t.Errorf("%s: exit status %d, %q", script, r.Code, r.Output)
		}
		if r := run(false, "/bin/sh", "-c", script); !strings.Contains(r.Output, "went on") {
			t.Errorf("%s, where others may be started: exit status %d, %q", script, r.Code, r.Output)
		}
	}
	if r := run(true, "/bin/sh", "-c", "exec echo by itself"); r.Code != 0 || r.Output != "by itself\n" {
		t.Errorf("a command by itself: %+v", r)
	}
	programs := []string{"fork()"}
	if runtime.GOARCH == "amd64" { // fork, vfork, and clone with SIGCHLD
		programs = append(programs, "syscall(57)", "syscall(58)", "syscall(56, 17, 0, 0, 0, 0)")
	}
	for _, program := range programs {
		if r := run(true, "/usr/bin/perl", "-e", "my $r = "+program+"; print defined $r && $r >= 0 ? \"made one\" : \"refused\"; exit 0"); r.Output != "refused" {
			t.Errorf("%s: %+v", program, r)
		}
	}
}
