// Command zoo is the init of a guest whose tasks are to be read from outside.
// It makes processes of many kinds, and each time a line comes in on the console
// it tells what the guest's own /proc says of every task, a JSON object a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if os.Getpid() == 1 {
		keeper()
	}
	if err := animal(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "zoo: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// keeper is pid 1.
func keeper() {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}} {
		os.MkdirAll(m[1], 0o755)
		syscall.Mount(m[0], m[1], m[0], 0, "")
	}
	os.WriteFile("/proc/sys/kernel/printk", []byte("1"), 0)
	if cmdline, _ := os.ReadFile("/proc/cmdline"); strings.Contains(string(cmdline), "zoo.trace") {
		ftrace()
	}
	for _, kind := range kinds() {
		if err := keep(kind); err != nil {
			fmt.Printf("zoo: %s: %v\n", kind, err)
		}
	}
	traced := tracee()
	settle()
	if traced != nil {
		traced()
	}
	in := bufio.NewReader(os.Stdin)
	for {
		tell()
		fmt.Println("ZOO-READY")
		in.ReadString('\n')
	}
}

func kinds() []string {
	return []string{
		"sleeper", "threads", "pipes", "sockets", "deleted", "gone", "deep", "args", "noargs", "user", "signals",
		"stopped", "zombie", "special", "chroot", "title", "busy", "fork",
	}
}

// keep starts an animal and waits for it to say that it is in place.
func keep(kind string) error {
	self := "/bin/zoo"
	argv := []string{"zoo", kind}
	attr := &os.ProcAttr{Dir: "/", Env: []string{"HOME=/tmp"}, Sys: &syscall.SysProcAttr{Setsid: true}}
	switch kind {
	case "gone":
		self = "/tmp/gone"
		data, err := os.ReadFile("/bin/zoo")
		if err != nil {
			return err
		}
		if err := os.WriteFile(self, data, 0o755); err != nil {
			return err
		}
	case "args":
		for i := range 3000 {
			argv = append(argv, fmt.Sprintf("argument %d %s", i, strings.Repeat("x", i%60)))
		}
		argv = append(argv, "", "", "ende")
	case "user":
		attr.Sys.Credential = &syscall.Credential{Uid: 1000, Gid: 1001, Groups: []uint32{7, 20, 4242}}
	}
	rd, wr, err := os.Pipe()
	if err != nil {
		return err
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	attr.Files = []*os.File{null, wr, os.Stderr}
	p, err := os.StartProcess(self, argv, attr)
	wr.Close()
	if err != nil {
		return err
	}
	rd.SetReadDeadline(time.Now().Add(30 * time.Second))
	bufio.NewReader(rd).ReadString('\n')
	if kind == "stopped" {
		p.Signal(syscall.SIGSTOP)
	}
	if kind == "gone" {
		os.Remove(self)
	}
	return nil
}

// tracee starts a process that pid 1 traces.
func tracee() func() {
	cmd := exec.Command("/bin/zoo", "sleeper")
	if cmd.Start() != nil {
		return nil
	}
	return func() {
		runtime.LockOSThread()
		syscall.PtraceAttach(cmd.Process.Pid)
	}
}

// settle waits until three looks in a row show no task that runs, but this one: the
// animals have said that they are in place, and their runtimes' threads take a while
// to go to sleep. A look takes the guest a tenth of a second.
func settle() {
	for quiet, looks := 0, 0; quiet < 3 && looks < 50; looks++ {
		quiet++
		if running() {
			quiet = 0
		}
	}
}

// running reports whether a task of another process than this one runs.
func running() bool {
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/stat")
	return slices.ContainsFunc(tasks, func(path string) bool {
		stat, _ := os.ReadFile(path) // a task may be gone
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "R") && !strings.HasPrefix(path, "/proc/1/")
	})
}

var held []any // so that the collector closes no file

func hold(vs ...any) { held = append(held, vs...) }

func animal(kind string) error {
	if err := dress(kind); err != nil {
		return err
	}
	os.Stdout.WriteString("in place\n")
	for {
		if kind == "busy" {
			for n := 0; n < 1<<25; n++ {
				runtime.KeepAlive(n)
			}
		}
		time.Sleep(1000 * time.Hour)
	}
}

func open(path string, flags int) error {
	f, err := os.OpenFile(path, flags, 0o644)
	hold(f)
	return err
}

// dress makes the process what it is.
func dress(kind string) error {
	switch kind {
	case "threads":
		for range 7 {
			started := make(chan struct{})
			go func() {
				runtime.LockOSThread()
				close(started)
				syscall.Nanosleep(&syscall.Timespec{Sec: 1 << 30}, nil)
			}()
			<-started
		}
	case "pipes":
		for range 40 {
			r, w, err := os.Pipe()
			if err != nil {
				return err
			}
			hold(r, w)
		}
		if err := syscall.Mkfifo("/tmp/fifo", 0o600); err != nil {
			return err
		}
		return open("/tmp/fifo", os.O_RDWR)
	case "sockets":
		l, err := net.Listen("unix", "/tmp/listening")
		if err != nil {
			return err
		}
		c, err := net.Dial("unix", "/tmp/listening")
		hold(l, c)
		syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 0)
		syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
		syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		return err
	case "deleted":
		for _, name := range []string{"/tmp/a file with spaces", "/tmp/odd\tname"} {
			if err := open(name, os.O_CREATE|os.O_RDWR); err != nil {
				return err
			}
			os.Remove(name)
		}
		os.MkdirAll("/tmp/lost/inner", 0o755)
		if err := os.Chdir("/tmp/lost/inner"); err != nil {
			return err
		}
		return os.RemoveAll("/tmp/lost")
	case "deep":
		os.MkdirAll("/tmp/mnt", 0o755)
		if err := syscall.Mount("tmpfs", "/tmp/mnt", "tmpfs", 0, ""); err != nil {
			return err
		}
		dir := "/tmp/mnt" + strings.Repeat("/a directory whose name is long", 60)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := open(filepath.Join(dir, strings.Repeat("n", 255)), os.O_CREATE|os.O_RDWR|os.O_APPEND); err != nil {
			return err
		}
		return os.Chdir(dir)
	case "noargs":
		return clearArgs()
	case "signals":
		signal.Ignore(syscall.SIGHUP, syscall.SIGUSR2)
		signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1)
		runtime.LockOSThread()
		mask := uint64(1<<(syscall.SIGUSR1-1) | 1<<(40-1))
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 0, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
		syscall.Syscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(syscall.Gettid()), 40)
		os.Stdout.WriteString("in place\n")
		syscall.Nanosleep(&syscall.Timespec{Sec: 1 << 30}, nil)
	case "zombie":
		_, err := os.StartProcess("/bin/zoo", []string{"zoo", "no such"}, &os.ProcAttr{Files: []*os.File{nil, nil, nil}})
		return err
	case "no such":
		os.Exit(3)
	case "special":
		return special()
	case "chroot":
		os.MkdirAll("/tmp/jail/home", 0o755)
		if err := syscall.Chroot("/tmp/jail"); err != nil {
			return err
		}
		return os.Chdir("/home")
	case "title":
		return title()
	case "fork":
		child()
	}
	return nil
}

// special opens files that are in no directory.
func special() error {
	name, _ := syscall.BytePtrFromString("a memory file")
	memfd := map[string]uintptr{"amd64": 319, "riscv64": 279}[runtime.GOARCH]
	eventfd := map[string]uintptr{"amd64": 290, "riscv64": 19}[runtime.GOARCH]
	timerfd := map[string]uintptr{"amd64": 283, "riscv64": 85}[runtime.GOARCH]
	syscall.Syscall(memfd, uintptr(unsafe.Pointer(name)), 0, 0)
	syscall.Syscall(eventfd, 0, 0, 0)
	syscall.Syscall(timerfd, 1, 0, 0)
	syscall.Syscall(434, uintptr(os.Getpid()), 0, 0) // pidfd_open
	syscall.InotifyInit1(0)
	syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	for _, p := range []string{"/proc/self/ns/mnt", "/proc/self/ns/pid", "/proc/self/ns/net", "/proc/self/status", "/dev/zero", "/sys/kernel", "/"} {
		if err := open(p, os.O_RDONLY); err != nil {
			return err
		}
	}
	return nil
}

// arguments returns where the kernel put the arguments.
func arguments() ([]byte, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return nil, err
	}
	words := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	start, _ := strconv.ParseUint(words[48-3], 10, 64)
	end, _ := strconv.ParseUint(words[49-3], 10, 64)
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&start))), end-start), nil
}

// title writes over the arguments, as setproctitle does.
func title() error {
	args, err := arguments()
	for i := range args {
		args[i] = '*'
	}
	return err
}

func clearArgs() error {
	args, err := arguments()
	clear(args)
	return err
}

// child makes a child by clone with nothing shared, which sleeps.
func child() {
	pid, _, _ := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid != 0 {
		return
	}
	ts := syscall.Timespec{Sec: 1 << 30}
	for {
		syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
	}
}

// account is what /proc says of a process.
type account struct {
	PID     int               `json:"pid"`
	Stat    string            `json:"stat"`
	Status  string            `json:"status"`
	Cmdline []byte            `json:"cmdline"`
	Links   map[string]string `json:"links"`
	FDs     map[string]string `json:"fds"`
	Threads []account         `json:"threads,omitempty"`
	Child   string            `json:"children,omitempty"`
}

func read(dir string) account {
	a := account{Links: map[string]string{}, FDs: map[string]string{}}
	a.PID, _ = strconv.Atoi(filepath.Base(dir))
	file := func(name string) []byte {
		data, _ := os.ReadFile(filepath.Join(dir, name))
		return data
	}
	a.Stat, a.Status, a.Cmdline = string(file("stat")), string(file("status")), file("cmdline")
	for _, name := range []string{"exe", "cwd", "root"} {
		a.Links[name], _ = os.Readlink(filepath.Join(dir, name))
	}
	fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
	for _, fd := range fds {
		a.FDs[fd.Name()], _ = os.Readlink(filepath.Join(dir, "fd", fd.Name()))
	}
	threads, _ := os.ReadDir(filepath.Join(dir, "task"))
	for _, t := range threads {
		sub := filepath.Join(dir, "task", t.Name())
		th := account{}
		th.PID, _ = strconv.Atoi(t.Name())
		for name, to := range map[string]*string{"stat": &th.Stat, "status": &th.Status, "children": &th.Child} {
			data, _ := os.ReadFile(filepath.Join(sub, name))
			*to = string(data)
		}
		a.Threads = append(a.Threads, th)
	}
	return a
}

// tell prints what /proc says of every process.
func tell() {
	all, _ := filepath.Glob("/proc/[0-9]*")
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	defer out.Flush()
	for _, dir := range all {
		line, err := json.Marshal(read(dir))
		if err == nil {
			fmt.Fprintf(out, "ZOO %s\n", line)
		}
	}
}

// ftrace makes the kernel write down its own stack at each function that the
// command line names, while a child is made, and prints what it wrote.
func ftrace() {
	dir := "/sys/kernel/tracing/"
	if err := syscall.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		fmt.Println("ZOO-FAILED mount", err)
	}
	set := func(name, value string) {
		if err := os.WriteFile(dir+name, []byte(value), 0); err != nil {
			fmt.Println("ZOO-FAILED", name, value, err)
		}
	}
	cmdline, _ := os.ReadFile("/proc/cmdline")
	_, list, _ := strings.Cut(string(cmdline), "zoo.trace=")
	list, _, _ = strings.Cut(strings.TrimSpace(list), " ")
	set("tracing_on", "0")
	set("set_ftrace_filter", strings.ReplaceAll(list, ",", " "))
	set("current_tracer", "function")
	set("options/func_stack_trace", "1")
	set("options/sym-offset", "1")
	set("trace", "")
	runtime.LockOSThread()
	set("set_ftrace_pid", strconv.Itoa(syscall.Gettid()))
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ZOO", syscall.Gettid())
	fmt.Println("ZOO-READY")
	in.ReadString('\n')
	set("tracing_on", "1")
	// Long calls, so that interrupts come in the kernel too.
	zero, _ := syscall.Open("/dev/zero", syscall.O_RDONLY, 0)
	buf := make([]byte, 8<<20)
	for range 8 {
		syscall.Read(zero, buf)
	}
	pid, _, _ := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if pid == 0 {
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.Wait4(int(pid), nil, 0, nil)
	set("tracing_on", "0")
	text, _ := os.ReadFile(dir + "trace")
	for line := range strings.Lines(string(text)) {
		fmt.Println("ZOO " + strings.TrimRight(line, "\n"))
	}
	fmt.Println("ZOO-READY")
	in.ReadString('\n')
}
