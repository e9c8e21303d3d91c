package main

import (
	"context"
	"fmt"
	"io"
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
	"kernellab/harness/gdb"
	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/internal/console"
	"kernellab/internal/labtest"
	"kernellab/labs"
)

// openFile opens a kernel image.
func openFile(t testing.TB, a *app, path, arch string) (prepare.Target, error) {
	t.Helper()
	found, err := a.host().Open(t.Context(), prepare.Kernels{Arch: arch, Names: []string{path}})
	if err != nil {
		return prepare.Target{}, err
	}
	return found[0], nil
}

// onKernel runs a subtest on the default kernel of each architecture.
func onKernel(t *testing.T, binaries []string, test func(t *testing.T, a *app, tg prepare.Target)) {
	for _, m := range arch.All() {
		t.Run(m.Name, func(t *testing.T) {
			labtest.Long(t)
			labtest.Programs(t, m.Name, binaries...)
			qemutest.Command(t, m.Name, m.QEMU.Binary)
			a := newApp(strings.NewReader(""), os.Stdout, os.Stderr)
			k, err := linux.In(a.cache).Find(m.Name, linux.DefaultSpec(m.Name))
			if err != nil {
				labtest.Lacking(t, m.Name, err.Error())
			}
			tg, err := openFile(t, a, k.Path, m.Name)
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

// Real gdb with the helper and a lab's script, in a session as a person has it, stops
// at the same points in the same order as the harness does. kthread has tasks that are
// known by a condition, a condition on reads and an earlier stop, and a return.
func TestGDBScriptAgreesWithRun(t *testing.T) {
	onKernel(t, []string{gdb.Debugger}, func(t *testing.T, a *app, tg prepare.Target) {
		names := []string{"fork-new", "kthread"}
		if tg.Arch.Name != arch.Names()[0] {
			names = names[:1] // conditions are gdb's own, the same everywhere
		}
		for _, name := range names {
			t.Run(name, func(t *testing.T) { agreesWithRun(t, a, tg, name) })
		}
	})
}

func agreesWithRun(t *testing.T, a *app, tg prepare.Target, name string) {
	l, err := prepare.Lab(name)
	if err != nil {
		t.Fatal(err)
	}
	job, err := a.host().Job(t.Context(), l, tg, prepare.Machine{Seed: prepare.DefaultSeed, CPUs: 1})
	if err != nil {
		t.Fatal(err)
	}
	out, err := harness.Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	var want stops
	for _, e := range out.Trace.Events {
		if e.Point != "" && e.Aside == "" {
			want = append(want, e.Point+" "+e.Symbol)
		}
	}
	config, err := a.host().Shell(t.Context(), tg)
	if err != nil {
		t.Fatal(err)
	}
	text := gdbSession(t, a, l, tg, config)
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
}

// sessionLimit ends a session that hangs.
const sessionLimit = 10 * time.Minute

// gdbSession does a lab by hand: it boots a guest to its shell, runs the lab's
// script in gdb, types the program's name, and returns what gdb printed until the
// program had printed its last line.
func gdbSession(t testing.TB, a *app, l labs.Lab, tg prepare.Target, config qemu.Config) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), sessionLimit)
	defer cancel()
	dir, release, err := gdb.Folder(ctx, a.cache)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	config.GDBSocket = filepath.Join(dir, "gdb.sock")
	session, err := gdb.WriteSession(dir, l, tg, config.GDBSocket)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := qemu.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	done := &waiter{mark: l.Output[len(l.Output)-1], seen: make(chan struct{})}
	prompted := console.NewPrompted(done)
	go io.Copy(prompted, vm.Console())

	ready := &waiter{mark: "Ready:", seen: make(chan struct{})}
	program := exec.CommandContext(ctx, gdb.Debugger, "-batch", "-nx", "-ex", "set $lab_auto = 1", "-x", session, "-ex", "continue")
	program.Stdout, program.Stderr = ready, ready
	ended := make(chan error, 1)
	await := func(what string, come <-chan struct{}) {
		t.Helper()
		var err error
		select {
		case <-come:
			return
		case <-vm.Exited():
			err = vm.Err()
		case err = <-ended:
			err = fmt.Errorf("gdb has ended: %w", err)
		case <-ctx.Done():
			err = ctx.Err()
		}
		t.Fatalf("wait for %s: %v\ngdb said:\n%s\nthe console:\n%s", what, err, ready, done)
	}
	await("the guest's prompt", prompted.Prompt)
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer program.Process.Kill()
	go func() { ended <- program.Wait() }()
	await("gdb", ready.seen)
	// The guest reads this when gdb lets it go on.
	if _, err := io.WriteString(vm.Console(), l.Name+"\n"); err != nil {
		t.Fatal(err)
	}
	await("the program's end", done.seen)
	vm.Close()
	<-ended
	return ready.String()
}
