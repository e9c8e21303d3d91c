// Command agent is the first process of a guest. It sets the machine up and runs
// programs for the host as an ordinary user, each held before its exec until the
// host lets it go. They meet in a mailbox: see package mailbox.
//
// The kernel starts it as /init. With lab.mode=shell on the kernel's command
// line it runs u-root's shell on the console; with lab.mode=init it becomes the
// program that lab.init names; with anything else it serves the host. It knows the standard library only,
// so that it starts fast under an emulated processor.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"kernellab/images/guest/mailbox"
)

const (
	uid = 1000 // programs run as this user and group
	cwd = "/tmp"
)

func main() {
	if os.Getpid() != firstProcess {
		fmt.Fprintln(os.Stderr, "agent: this is the first process of a guest, it does nothing elsewhere")
		os.Exit(2)
	}
	err := boot()
	fmt.Fprintln(os.Stderr, "agent:", err)
	syscall.Sync()
	// The machine goes with its first process: without this the kernel
	// would panic, and the host take that for the kernel's fault.
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// boot returns only when the guest is of no more use.
func boot() error {
	if err := mount("proc", "/proc", "proc", ""); err != nil {
		return err
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if err := mountAll(); err != nil {
		return err
	}
	switch mode(string(cmdline)) {
	case "shell":
		if err := mountTracing(); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err) // a kernel can lack it
		}
		return runShell()
	case "init":
		return runInit(string(cmdline))
	}
	if err := confine(); err != nil {
		return err
	}
	makeThreads()
	post, err := openMailbox()
	if err != nil {
		return err
	}
	pages, err := makeLanding()
	if err != nil {
		return fmt.Errorf("make the landing: %w", err)
	}
	s := newServer(post.exchange)
	if s.group, err = makeGroup(); err != nil {
		return fmt.Errorf("make the programs' control group: %w", err)
	}
	go s.reap()
	// Made now, it is in the snapshot that runs start from: making it is a third
	// of what a run would have to do before its program begins.
	if s.spare, err = s.hold(); err != nil {
		return err
	}
	runtime.LockOSThread()
	return s.serve(mailbox.Reply{Landing: pages})
}

// makeThreads has Go's runtime make the threads that serving will want, which
// keeps them: each is a clone less in every run, where code that has not run yet
// is slow and a debugger may watch the call.
func makeThreads() {
	const threads = 8
	var ready, gone sync.WaitGroup
	ready.Add(threads)
	release := make(chan struct{})
	for range threads {
		gone.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	close(release)
	gone.Wait()
}

// mode returns the value of lab.mode on the kernel's command line.
func mode(cmdline string) string { return option(cmdline, "lab.mode") }

// option returns the last value of an option of the kernel's command line.
func option(cmdline, name string) string {
	m := ""
	for _, f := range strings.Fields(cmdline) {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			m = v
		}
	}
	return m
}

func mount(source, target, fstype, data string) error {
	if err := syscall.Mount(source, target, fstype, syscall.MS_NOSUID, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", fstype, target, err)
	}
	return nil
}

func mountAll() error {
	for _, m := range [][4]string{
		{"devtmpfs", "/dev", "devtmpfs", ""},
		{"sysfs", "/sys", "sysfs", ""},
		// An inode may have two access control lists of 64 KiB each, which count as
		// nothing.
		{"tmpfs", "/tmp", "tmpfs", "mode=1777,size=32m,nr_inodes=128"},
	} {
		if err := mount(m[0], m[1], m[2], m[3]); err != nil {
			return err
		}
	}
	return nil
}

// confine sets the guest up for programs that are not to be trusted.
func confine() error {
	// The console, the kernel's log and the multiplexers of terminals are
	// not for programs. A node that this kernel lacks needs no closing.
	for _, dev := range []string{"kmsg", "console", "tty", "ttyS0", "ptmx", "vcs", "vcsa"} {
		if err := os.Chmod("/dev/"+dev, 0o600); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := hide(); err != nil {
		return err
	}
	// The root is a tmpfs where the kernel has that, and open to everybody.
	if err := os.Chmod("/", 0o755); err != nil {
		return err
	}
	for path, value := range map[string]string{
		// A program's crash is reported to the host by the agent; the
		// kernel's line about it carries a name of the program's choosing.
		"/proc/sys/debug/exception-trace": "0",
		"/proc/sys/kernel/dmesg_restrict": "1",
		"/proc/sys/kernel/kptr_restrict":  "1",
		"/proc/sys/kernel/core_pattern":   "/dev/null",
		"/proc/self/oom_score_adj":        "-1000",
		// A namespace of its own would make the program root in it, and put
		// most of the kernel's code within its reach.
		"/proc/sys/user/max_user_namespaces": "0",
		"/proc/sys/kernel/io_uring_disabled": "2",
		// A debugger in the guest can set the processor's debug registers,
		// and with a watchpoint and a step at once it hangs QEMU 7.2.
		"/proc/sys/kernel/yama/ptrace_scope":    "2",
		"/proc/sys/kernel/perf_event_paranoid":  "3",
		"/proc/sys/vm/unprivileged_userfaultfd": "0",
		// Programs for the kernel are for root.
		"/proc/sys/kernel/unprivileged_bpf_disabled": "1",
		// The mailbox and the landing stay where they are.
		"/proc/sys/vm/compact_unevictable_allowed": "0",
	} {
		if err := os.WriteFile(path, []byte(value), 0); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := bound(); err != nil {
		return err
	}
	return favour()
}

// programs is where those are that the host may start.
const programs = "/bin"

// hide keeps the programs of the host's from programs: among them are the labs'
// own, which do what a student's is asked to. The one that is started is shown.
func hide() error {
	list, err := os.ReadDir(programs)
	if err != nil {
		return err
	}
	for _, e := range list {
		if !e.Type().IsRegular() {
			continue
		}
		if err := os.Chmod(filepath.Join(programs, e.Name()), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// show lets everybody run a program that is to be started.
func show(program string) error {
	info, err := os.Lstat(program)
	if err != nil || filepath.Dir(program) != programs || !info.Mode().IsRegular() {
		return nil // exec will tell what is wrong with it
	}
	return os.Chmod(program, 0o755)
}

// favour puts the agent's threads before any program's: it has to answer, and to
// kill, whatever they do. Threads that follow inherit that; programs do not.
func favour() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, tid, -20); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("raise the agent's priority: %w", err)
		}
	}
	return nil
}

func ioctl(fd int, request uintptr, t *syscall.Termios) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(t)))
	if errno != 0 {
		return errno
	}
	return nil
}
