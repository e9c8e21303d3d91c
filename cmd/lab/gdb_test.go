package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/qemu"
	"kernellab/images"
	"kernellab/images/guest"
	"kernellab/images/qemutest"
	"kernellab/labtest"
)

// onKernel runs a subtest on the default kernel of each architecture.
func onKernel(t *testing.T, binaries []string, test func(t *testing.T, a *app, tg target)) {
	for _, m := range arch.All() {
		t.Run(m.Name, func(t *testing.T) {
			labtest.Long(t)
			labtest.Programs(t, m.Name, binaries...)
			qemutest.Command(t, m.Name, m.QEMU.Binary)
			a := &app{stdin: strings.NewReader(""), stdout: os.Stdout, stderr: os.Stderr, cache: &images.Cache{}}
			k, err := a.cache.Find(m.Name, images.DefaultSpec(m.Name))
			if err != nil {
				labtest.Lacking(t, m.Name, err.Error())
			}
			tg, err := a.fileTarget(k.Path, m.Name)
			if err != nil {
				t.Fatal(err)
			}
			t.Parallel()
			test(t, a, tg)
		})
	}
}

// stops are the points and symbols that a run or a gdb session passed.
type stops []string

var printed = regexp.MustCompile(`(?m)^point (\S+) symbol (\S+)`)

// Real gdb with the generated script stops at the same points in the same order
// as the harness does.
func TestGDBScriptAgreesWithRun(t *testing.T) {
	onKernel(t, []string{debugger}, func(t *testing.T, a *app, tg target) {
		l, err := getLab("fork-new")
		if err != nil {
			t.Fatal(err)
		}
		program, initrd, err := a.guestFiles(t.Context(), l, tg.arch, newProgress(os.Stderr))
		if err != nil {
			t.Fatal(err)
		}
		out, err := harness.Run(t.Context(), harness.Job{
			QEMU: qemutest.Command(t, tg.arch.Name, tg.arch.QEMU.Binary), Lab: l.Name, Arch: tg.arch, Image: tg.image, Kernel: tg.path, Initrd: initrd,
			Program: program, ProgramName: l.Name, Plan: l.Plan(tg.arch.Name), Rules: l.Rules(tg.arch.Name),
		})
		if err != nil {
			t.Fatal(err)
		}
		var want stops
		for _, e := range out.Trace.Events {
			if e.Point != "" && e.Aside == "" {
				want = append(want, e.Point+" "+e.Symbol)
			}
		}
		dir, release, err := a.socketDir(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		socket := filepath.Join(dir, "gdb.sock")
		session, err := writeSession(dir, l, tg, socket)
		if err != nil {
			t.Fatal(err)
		}
		text := gdbSession(t, tg, initrd, l.Name, session, socket)
		var got stops
		for _, m := range printed.FindAllStringSubmatch(text, -1) {
			got = append(got, m[1]+" "+m[2])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("points -run +gdb:\n%s\ngdb said:\n%s", diff, text)
		}
		if len(got) < 7 {
			t.Errorf("only %d stops: %v", len(got), got)
		}
	})
}

// gdbSession runs a lab's script in gdb against a guest of its own, and returns
// what gdb printed until the program had ended.
func gdbSession(t testing.TB, tg target, initrd, program, session, socket string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m, err := harness.Boot(ctx, qemu.Config{Command: qemutest.Command(t, tg.arch.Name, tg.arch.QEMU.Binary), Arch: tg.arch, Kernel: tg.path, Initrd: initrd, GDBSocket: socket}, tg.image.Release, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	proc, err := m.Agent.Start(ctx, guest.Program{Path: "/bin/" + program})
	if err != nil {
		t.Fatal(err)
	}
	ready := &waiter{mark: "Ready:", seen: make(chan struct{})}
	gdb := exec.CommandContext(ctx, debugger, "-batch", "-nx", "-ex", "set $lab_auto = 1", "-x", session, "-ex", "continue")
	gdb.Stdout, gdb.Stderr = ready, ready
	if err := gdb.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- gdb.Wait() }()
	defer gdb.Process.Kill()
	select {
	case <-ready.seen:
	case err := <-ended:
		t.Fatalf("gdb ended before it was ready: %v\n%s", err, ready)
	case <-ctx.Done():
		t.Fatalf("gdb did not get ready:\n%s", ready)
	}
	if err := proc.Go(ctx); err != nil {
		t.Fatalf("%v\ngdb said:\n%s", err, ready)
	}
	exit, err := proc.Wait(ctx)
	if err != nil {
		t.Fatalf("%v\ngdb said:\n%s", err, ready)
	}
	if exit.Code != 0 {
		t.Errorf("%s exited with %d under gdb", program, exit.Code)
	}
	m.Close()
	<-ended
	return ready.String()
}
