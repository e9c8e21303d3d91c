// Command exercise is a guest program that shows what a guest's programs can and
// cannot do: see live_test.go.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	do := map[string]func(){
		"report": report, "child": func() { fmt.Print("hello") }, "loop": loop, "flood": flood, "binary": bytes,
		"daemons": daemons, "sleep": func() { time.Sleep(time.Hour) }, "closed": closed, "write": write, "inherited": inherited,
		"signal": signal, "streams": streams, "chance": chance, "pry": pry, "mark": mark, "bomb": bomb, "stubborn": stubborn,
	}[os.Args[1]]
	do()
}

// report prints what a program can say of itself.
func report() {
	groups, _ := os.Getgroups()
	wd, _ := os.Getwd()
	fmt.Println("pid", os.Getpid(), "uid", os.Getuid(), "gid", os.Getgid(), "groups", groups, "cwd", wd)
	fmt.Println("args", strings.Join(os.Args[1:], " "), "env", os.Environ())
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		for _, name := range []string{"NoNewPrivs", "SigBlk", "SigIgn", "CapEff"} {
			if strings.HasPrefix(line, name) {
				fmt.Print(line)
			}
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "pipe:") && to != "/dev/null" {
			fmt.Println("has", to)
		}
	}
	os.Stderr.WriteString("on stderr\n")
	out, err := exec.Command("/proc/self/exe", "child").Output()
	fmt.Printf("child said %q %v\n", out, err)
	os.Exit(3)
}

func loop() {
	for {
	}
}

func flood() {
	line := strings.Repeat("x", 1<<16)
	for range 32 {
		os.Stdout.WriteString(line)
	}
}

func bytes() {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	os.Stdout.Write(all)
}

// daemons leaves two processes behind, in sessions of their own.
func daemons() {
	for range 2 {
		c := exec.Command("/proc/self/exe", "sleep")
		c.Stdout = os.Stdout
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		c.Start()
	}
	fmt.Println("left")
}

func closed() {
	os.Stdout.Close()
	os.Stderr.Close()
	os.Exit(4)
}

// inherited prints what it was given beside its standard input and output.
func inherited() {
	for fd := 3; ; fd++ {
		name, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
		if err != nil || name == "anon_inode:[eventpoll]" { // of Go's runtime
			return
		}
		fmt.Println(fd, name)
	}
}

func write() {
	if _, err := os.OpenFile(os.Args[2], os.O_WRONLY, 0); err != nil {
		os.Exit(1)
	}
}

// signal ends by a signal of that number.
func signal() {
	var n syscall.Signal
	fmt.Sscan(os.Args[2], &n)
	// By the kernel's default, which Go's runtime has replaced.
	action := [4]uint64{}
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	syscall.Kill(os.Getpid(), n)
	select {}
}

// streams writes to both by turns, so that the agent has read each before the next.
func streams() {
	for range 3 {
		os.Stdout.WriteString("out")
		time.Sleep(10 * time.Millisecond)
		os.Stderr.WriteString("err")
		time.Sleep(10 * time.Millisecond)
	}
}

// chance prints what a kernel makes up: each is the same in every machine of one seed.
func chance() {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	random := make([]byte, 16)
	syscall.RawSyscall(getrandom, uintptr(unsafe.Pointer(&random[0])), uintptr(len(random)), 0)
	stat, _ := os.ReadFile("/proc/self/stat")
	maps, _ := os.ReadFile("/proc/self/maps")
	uptime, _ := os.ReadFile("/proc/uptime")
	fmt.Printf("%s%x\n%s%s%s%d\n", id, random, stat, maps, uptime, time.Now().UnixNano())
}

// getrandom's number is in neither architecture's package syscall.
var getrandom = map[string]uintptr{"amd64": 318, "riscv64": 278}[runtime.GOARCH]

// pry prints what it can get at, which has to be nothing.
func pry() {
	files := []string{
		"/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore", "/dev/kmsg", "/dev/console", "/dev/ttyS0", "/dev/tty",
		"/proc/1/mem", "/proc/1/maps", "/proc/1/pagemap", "/proc/1/environ", "/proc/1/auxv", "/proc/1/stack", "/proc/1/syscall",
		"/bin/.landing", "/proc/sysrq-trigger",
	}
	for _, file := range append(files, "/init", "/bin/exercise", "/bin/new", "/proc/sys/kernel/hostname") {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY} {
			if flag == os.O_RDONLY && !slices.Contains(files, file) {
				continue
			}
			f, err := os.OpenFile(file, flag, 0)
			if err != nil {
				continue
			}
			if _, err := f.Read(make([]byte, 16)); err == nil || flag == os.O_WRONLY {
				fmt.Println("opened", file, flag)
			}
		}
	}
	if fds, err := os.ReadDir("/proc/1/fd"); err == nil {
		fmt.Println("listed", len(fds), "files of the agent")
	}
	bins, _ := filepath.Glob("/bin/*")
	for _, bin := range bins {
		if f, err := os.Open(bin); err == nil && bin != "/bin/exercise" {
			if info, err := os.Lstat(bin); err == nil && info.Mode().IsRegular() {
				fmt.Println("read", f.Name())
			}
		}
	}
	// Its own memory's physical addresses would say where others' may be.
	if f, err := os.Open("/proc/self/pagemap"); err == nil {
		var here byte = 1
		entry := make([]byte, 8)
		f.ReadAt(entry, int64(uintptr(unsafe.Pointer(&here))/4096*8))
		if number := binary.NativeEndian.Uint64(entry) & (1<<55 - 1); number != 0 {
			fmt.Printf("its memory is at page %#x\n", number)
		}
	}
	calls := map[string]syscall.Errno{}
	_, _, calls["kill"] = syscall.RawSyscall(syscall.SYS_KILL, 1, uintptr(syscall.SIGKILL), 0)
	_, _, calls["ptrace"] = syscall.RawSyscall6(syscall.SYS_PTRACE, syscall.PTRACE_ATTACH, 1, 0, 0, 0, 0)
	_, _, calls["setuid"] = syscall.RawSyscall(syscall.SYS_SETUID, 0, 0, 0)
	_, _, calls["unshare"] = syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER, 0, 0)
	_, _, calls["unshare of pids"] = syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWPID, 0, 0)
	_, _, calls["reboot"] = syscall.RawSyscall(syscall.SYS_REBOOT, syscall.LINUX_REBOOT_MAGIC1, syscall.LINUX_REBOOT_MAGIC2, syscall.LINUX_REBOOT_CMD_POWER_OFF)
	// As the agent's mark, but for the length: it would be refused otherwise.
	name := []byte("mine")
	_, _, calls["sethostname"] = syscall.RawSyscall(syscall.SYS_SETHOSTNAME, uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), 0)
	for call, errno := range calls {
		if errno == 0 {
			fmt.Println(call, "succeeds")
		}
	}
	fmt.Println("done")
}

// mark makes the agent's call again and again, by the agent's name, in several
// processes and threads.
func mark() {
	calls := func(n int) {
		runtime.LockOSThread()
		name := []byte("init\x00")
		syscall.RawSyscall(syscall.SYS_PRCTL, 15, uintptr(unsafe.Pointer(&name[0])), 0) // PR_SET_NAME
		for i := range n {
			_, _, errno := syscall.RawSyscall(syscall.SYS_SETHOSTNAME, uintptr(i+1)<<12, ^uintptr(0), 0)
			if errno != syscall.EPERM {
				fmt.Println("call", i, errno)
			}
		}
	}
	if len(os.Args) > 2 {
		calls(20)
		return
	}
	done := make(chan bool)
	for range 3 {
		go func() { calls(20); done <- true }()
	}
	out, err := exec.Command("/proc/self/exe", "mark", "again").CombinedOutput()
	for range 3 {
		<-done
	}
	fmt.Printf("%s%v\n", out, err)
}

// bomb makes processes that make processes, until it is killed.
func bomb() {
	for {
		syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	}
}

// stubborn ignores what can be ignored, and leaves one that does so too.
func stubborn() {
	ignore := [4]uint64{1} // SIG_IGN
	for n := range 64 {
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(n+1), uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0)
	}
	syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	for {
	}
}
