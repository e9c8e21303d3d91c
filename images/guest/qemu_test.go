package guest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"kernellab/images"
	"kernellab/images/guest"
	"kernellab/images/qemutest"
	"kernellab/labtest"
)

// machines are what QEMU is told for each architecture.
var machines = map[string][]string{
	"x86_64":  {"qemu-system-x86_64", "-M", "pc", "-cpu", "qemu64"},
	"riscv64": {"qemu-system-riscv64", "-M", "virt"},
}

const bootLimit = 3 * time.Minute

// kernels returns the kernels to boot: those that LAB_TEST_KERNELS lists as
// arch=path, separated by commas, or the newest of each series in the cache.
func kernels(t *testing.T, arch string) map[string]string {
	t.Helper()
	labtest.Long(t)
	found := map[string]string{}
	if list := os.Getenv("LAB_TEST_KERNELS"); list != "" {
		for _, e := range strings.Split(list, ",") {
			if a, path, ok := strings.Cut(e, "="); ok && a == arch {
				found[strings.TrimPrefix(filepath.Base(path), "vmlinu")+" "+filepath.Base(filepath.Dir(path))] = path
			}
		}
		return found
	}
	ks, err := new(images.Cache).Kernels(arch)
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]bool{}
	for _, k := range ks {
		if !series[k.Series] {
			series[k.Series] = true
			found[k.Release] = k.Path
		}
	}
	return found
}

// boot starts QEMU with its serial line on an inherited socket pair.
func boot(t *testing.T, arch, kernel, initrd, cmdline string) (*exec.Cmd, net.Conn) {
	t.Helper()
	args := slices.Clone(machines[arch])
	args = append(qemutest.Command(t, arch, args[0]), args[1:]...)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console of QEMU")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "-accel", "tcg", "-smp", "1", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot",
		"-chardev", "socket,id=con0,fd=3", "-serial", "chardev:con0",
		"-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 nokaslr oops=panic panic=-1 quiet "+cmdline)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		conn.Close()
		if t.Failed() {
			t.Logf("replay: %s\n%s", strings.Join(args, " "), stderr.String())
		}
	})
	return cmd, conn
}

func attach(t *testing.T, arch, kernel, initrd string) *guest.Agent {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	for try := 0; ; try++ {
		var log bytes.Buffer
		_, conn := boot(t, arch, kernel, initrd, "lab.mode=agent")
		a, err := guest.Await(ctx, conn, guest.Options{Log: &log})
		if err == nil {
			hello := time.Since(began)
			if err := a.Pair(ctx); err != nil {
				t.Fatal(err)
			}
			t.Logf("%v from the start of QEMU to the agent's hello, %v to a session", hello.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
			t.Cleanup(func() {
				a.Close()
				if t.Failed() {
					t.Logf("console:\n%s", strings.Join(a.Tail(40), "\n"))
				}
			})
			return a
		}
		var p *guest.PanicError
		if !errors.As(err, &p) || try == 2 {
			t.Fatalf("attach: %v\nconsole:\n%s", err, log.String())
		}
		t.Logf("booting once more: %v", err)
	}
}

// exercise is a guest program that shows what the agent promises.
const exercise = `package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"strings"
	"time"
)

func main() {
	switch os.Args[1] {
	case "report":
		fmt.Println("pid", os.Getpid(), "uid", os.Getuid(), "gid", os.Getgid())
		groups, _ := os.Getgroups()
		wd, _ := os.Getwd()
		fmt.Println("groups", len(groups), "cwd", wd)
		for _, dev := range []string{"/dev/ttyS0", "/dev/console", "/dev/kmsg", "/proc/1/mem", "/dev/mem"} {
			for _, flag := range []int{os.O_RDONLY, os.O_WRONLY} {
				if f, err := os.OpenFile(dev, flag, 0); err == nil {
					fmt.Println("opened", dev)
					f.Close()
				}
			}
		}
		status, _ := os.ReadFile("/proc/self/status")
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "SigBlk") || strings.HasPrefix(line, "SigIgn") {
				fmt.Print(line)
			}
		}
		fds, _ := os.ReadDir("/proc/self/fd")
		for _, fd := range fds {
			if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "pipe:") && to != "/dev/null" {
				fmt.Println("has", to)
			}
		}
		os.Stderr.WriteString("on stderr\n")
		out, err := exec.Command("/proc/self/exe", "child").Output()
		fmt.Printf("child said %q %v\n", out, err)
		os.Exit(3)
	case "child":
		fmt.Print("hello")
	case "loop":
		for {
		}
	case "flood":
		line := strings.Repeat("x", 1<<16)
		for i := 0; i < 32; i++ {
			os.Stdout.WriteString(line)
		}
	case "binary":
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		os.Stdout.Write(all)
	case "daemons":
		for i := 0; i < 2; i++ {
			c := exec.Command("/proc/self/exe", "sleep")
			c.Stdout = os.Stdout
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			c.Start()
		}
		fmt.Println("left")
	case "sleep":
		time.Sleep(time.Hour)
	case "closed":
		os.Stdout.Close()
		os.Stderr.Close()
		os.Exit(4)
	case "write":
		f, err := os.OpenFile("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY, 0)
		if err != nil {
			os.Exit(1)
		}
		f.Close()
	case "signal":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	}
}
`

func testKernel(t *testing.T, arch, kernel string) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	goarch, err := images.GoArch(arch)
	if err != nil {
		t.Fatal(err)
	}
	cache := &images.Cache{}
	bin, err := cache.BuildProgram(ctx, goarch, "exercise", fstest.MapFS{"main.go": {Data: []byte(exercise)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	fork, err := cache.BuildProgram(ctx, goarch, "fork-new", os.DirFS("../../labs/fork-new"), nil)
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := cache.Initramfs(ctx, goarch, map[string]string{"exercise": bin, "fork-new": fork}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// An emulated kernel may break by itself: that is not what is tested.
	const tries = 3
	for try := 1; ; try++ {
		a := attach(t, arch, kernel, initrd)
		err := exerciseAgent(ctx, t, a)
		var p *guest.PanicError
		if errors.As(err, &p) && try < tries {
			t.Logf("once more, for the machine failed: %v", err)
			a.Close()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}

// exerciseAgent reports what is wrong to t, and returns an error when it could
// not go on.
func exerciseAgent(ctx context.Context, t *testing.T, a *guest.Agent) error {
	if err := a.Ping(ctx); err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		args []string
		may  []string // files that it may write to
		kill bool     // while it runs
		held bool     // do not let it go
		ok   func(e guest.Exit, pid int) bool
	}{
		{name: "report", args: []string{"exercise", "report"}, ok: func(e guest.Exit, pid int) bool {
			want := fmt.Sprintf("pid %d uid 1000 gid 1000\ngroups 0 cwd /tmp\n"+
				"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nNoNewPrivs:\t1\nchild said \"hello\" <nil>\n", pid)
			return sorted(string(e.Stdout())) == sorted(want) && string(e.Stderr()) == "on stderr\n" &&
				e.Code == 3 && e.Signal == 0 && e.Leftover == 0 && e.ExecError == ""
		}},
		{name: "the lab's program", args: []string{"fork-new"}, ok: func(e guest.Exit, _ int) bool {
			return e.Code == 0 && sorted(string(e.Merged())) == "Child Complete!\nThis is Child Process!\nThis is Parent Process!"
		}},
		{name: "may not write", args: []string{"exercise", "write"}, ok: func(e guest.Exit, _ int) bool { return e.Code == 1 }},
		{name: "may write", args: []string{"exercise", "write"}, may: []string{"/sys/kernel/mm/transparent_hugepage/enabled"}, ok: func(e guest.Exit, _ int) bool { return e.Code == 0 }},
		{name: "kill", args: []string{"exercise", "loop"}, kill: true, ok: func(e guest.Exit, _ int) bool {
			return e.Signal == syscall.SIGKILL && e.Code == -1
		}},
		{name: "kill held", args: []string{"exercise", "loop"}, kill: true, held: true, ok: func(e guest.Exit, _ int) bool {
			return e.Signal == syscall.SIGKILL
		}},
		{name: "flood", args: []string{"exercise", "flood"}, ok: func(e guest.Exit, _ int) bool {
			return len(e.Stdout()) == 256<<10 && e.Dropped == 32<<16-256<<10 && e.Code == 0
		}},
		{name: "binary", args: []string{"exercise", "binary"}, ok: func(e guest.Exit, _ int) bool {
			for i, c := range e.Stdout() {
				if int(c) != i {
					return false
				}
			}
			return len(e.Stdout()) == 256
		}},
		{name: "daemons", args: []string{"exercise", "daemons"}, ok: func(e guest.Exit, _ int) bool {
			return e.Leftover == 2 && e.Killed == 2 && string(e.Stdout()) == "left\n"
		}},
		{name: "closed output", args: []string{"exercise", "closed"}, ok: func(e guest.Exit, _ int) bool { return e.Code == 4 }},
		{name: "ends by signal", args: []string{"exercise", "signal"}, ok: func(e guest.Exit, _ int) bool { return e.Signal == syscall.SIGKILL }},
		{name: "absent program", args: []string{"absent"}, ok: func(e guest.Exit, _ int) bool {
			return e.Code == 127 && e.ExecError == "no such file or directory"
		}},
	} {
		p, err := a.Start(ctx, guest.Program{Path: "/bin/" + c.args[0], Args: c.args, Writable: c.may})
		if err != nil {
			return err
		}
		comm, err := a.ReadFile(ctx, fmt.Sprintf("/proc/%d/comm", p.PID))
		if err != nil {
			return err
		}
		if string(comm) != "init\n" {
			t.Errorf("%s: held process is %q, want the agent's copy", c.name, comm)
		}
		if !c.held {
			if err := p.Go(ctx); err != nil {
				return err
			}
		}
		if c.kill {
			if err := p.Kill(ctx); err != nil {
				return err
			}
		}
		e, err := p.Wait(ctx)
		if err != nil {
			return err
		}
		if !c.ok(e, p.PID) {
			out := e.Merged()
			e.Output = nil
			t.Errorf("%s: pid %d, %+v\n%s", c.name, p.PID, e, out[:min(len(out), 2000)])
		}
	}
	began := time.Now()
	b, err := a.ReadFile(ctx, "/proc/kallsyms")
	if err != nil {
		return err
	}
	if !regexp.MustCompile(`(?m)^[0-9a-f]*[1-9a-f][0-9a-f]* T kernel_clone$`).Match(b) {
		t.Errorf("no address of kernel_clone in /proc/kallsyms, %d bytes", len(b))
	}
	t.Logf("/proc/kallsyms: %d bytes in %v", len(b), time.Since(began).Round(time.Millisecond))
	return nil
}

func sorted(s string) string {
	l := strings.Split(strings.TrimSpace(s), "\n")
	slices.Sort(l)
	return strings.Join(l, "\n")
}

func TestBoot(t *testing.T) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		ks := kernels(t, arch)
		if len(ks) == 0 {
			t.Run(arch, func(t *testing.T) {
				labtest.Lacking(t, arch, fmt.Sprintf("the cache has no kernel; run: lab kernels fetch %s --arch %s", images.DefaultSpec(arch), arch))
			})
		}
		for name, path := range ks {
			t.Run(arch+"/"+name, func(t *testing.T) { testKernel(t, arch, path) })
		}
	}
}

// TestShell types at the guest's shell. It boots one kernel of each architecture.
func TestShell(t *testing.T) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		t.Run(arch, func(t *testing.T) {
			ks := kernels(t, arch)
			if len(ks) == 0 {
				labtest.Lacking(t, arch, fmt.Sprintf("the cache has no kernel; run: lab kernels fetch %s --arch %s", images.DefaultSpec(arch), arch))
			}
			names := slices.Sorted(maps.Keys(ks))
			goarch, err := images.GoArch(arch)
			if err != nil {
				t.Fatal(err)
			}
			initrd, err := new(images.Cache).Base(t.Context(), goarch, nil)
			if err != nil {
				t.Fatal(err)
			}
			cmd, conn := boot(t, arch, ks[names[0]], initrd, "lab.mode=shell")
			var seen []byte
			limit := time.Now().Add(bootLimit)
			// until reads up to want. Each time the shell takes the terminal it
			// drops what was typed before, so the line is typed again now
			// and then.
			until := func(line, want string) {
				t.Helper()
				buf := make([]byte, 4096)
				var typed time.Time
				for !bytes.Contains(seen, []byte(want)) {
					if time.Since(typed) > 3*time.Second && line != "" {
						typed = time.Now()
						io.WriteString(conn, line)
					}
					conn.SetReadDeadline(time.Now().Add(time.Second))
					n, err := conn.Read(buf)
					seen = append(seen, buf[:n]...)
					if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(limit)) {
						t.Fatalf("wait for %q: %v\nconsole:\n%s", want, err, seen)
					}
				}
				_, seen, _ = bytes.Cut(seen, []byte(want))
			}
			until("", "$ ")
			until("id\r", "uid=0(root)")
			until("echo begun$((1+1)); sleep 1000\r", "begun2")
			until("\x03", "$ ")
			until("echo back$((1+1))\r", "back2")
			until("poweroff\r", "Power down")
			if err := cmd.Wait(); err != nil {
				t.Errorf("QEMU ended with %v", err)
			}
		})
	}
}
