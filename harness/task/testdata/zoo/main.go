// Command zoo makes processes of many kinds in a guest whose tasks are read from
// outside, and says what the guest's own /proc has of them.
//
// The kernel starts it as the first process. It leaves a keeper behind and becomes
// the guest's agent. The keeper answers whoever reads the pipes in /zoo, each once
// and in this order: ready, with what went wrong while it made the animals; before
// and after, with what /proc says of every process.
//
// As a program that the agent runs it is "zoo look", which reads /proc without end,
// or "zoo traced FUNCTIONS", which has ftrace write down the kernel's own stack at
// the functions while it makes a child, between two marks like the agent's.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	var err error
	switch {
	case os.Getpid() == 1:
		err = first()
	case os.Args[1] == "keeper":
		err = keeper()
	case os.Args[1] == "look":
		err = look()
	case os.Args[1] == "traced":
		err = traced(os.Args[2])
	default:
		err = animal(os.Args[1])
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "zoo: %s: %v\n", strings.Join(os.Args[1:], " "), err)
		os.Exit(1)
	}
}

// pipes is the folder of the pipes that the keeper writes to.
const pipes = "/zoo"

// first is the first process.
func first() error {
	if err := os.Mkdir(pipes, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"ready", "before", "after"} {
		if err := syscall.Mkfifo(filepath.Join(pipes, name), 0o600); err != nil {
			return fmt.Errorf("make the pipe %s: %w", name, err)
		}
	}
	if _, err := os.StartProcess("/bin/zoo", []string{"zoo", "keeper"}, &os.ProcAttr{Dir: "/", Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}); err != nil {
		return err
	}
	return syscall.Exec("/init", []string{"/init"}, os.Environ())
}

// keeper has the animals and answers.
func keeper() error {
	runtime.LockOSThread() // a thread traces, not a process
	return errors.Join(
		answer("ready", func() any { return populate() }),
		answer("before", func() any { return tell() }),
		answer("after", func() any { return tell() }),
	)
}

// answer waits until somebody reads a pipe, and writes what text returns to it, as JSON.
func answer(pipe string, text func() any) error {
	f, err := os.OpenFile(filepath.Join(pipes, pipe), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(text()), f.Close())
}

// populate makes the animals and returns what went wrong.
func populate() (problems []string) {
	try := func(what string, err error) {
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", what, err))
		}
	}
	try("chmod", os.Chmod("/bin/zoo", 0o755)) // the agent hides programs
	for _, kind := range kinds() {
		try(kind, keep(kind))
	}
	child := exec.Command("/bin/zoo", "sleeper")
	try("the traced one", child.Start())
	// The animals have said that they are in place, and their runtimes' threads
	// take a while to go to sleep.
	time.Sleep(2 * time.Second)
	if child.Process != nil {
		try("trace", syscall.PtraceAttach(child.Process.Pid))
	}
	try("ftrace", syscall.Mount("tracefs", tracing, "tracefs", 0, ""))
	for _, dir := range []string{"", "options"} {
		try("ftrace", os.Chmod(tracing+dir, 0o755))
	}
	for _, file := range []string{
		"tracing_on", "set_ftrace_filter", "set_ftrace_pid", "current_tracer", "options/func_stack_trace", "options/sym-offset", "trace",
	} {
		try("ftrace", os.Chmod(tracing+file, 0o666))
	}
	return problems
}

func kinds() []string {
	return []string{
		"sleeper", "threads", "pipes", "sockets", "deleted", "gone", "deep", "args", "noargs", "user", "signals",
		"stopped", "zombie", "special", "chroot", "title", "busy", "fork", "terminal",
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
		attr.Sys.Credential = &syscall.Credential{Uid: 1234, Gid: 1001, Groups: []uint32{7, 20, 4242}}
	}
	rd, wr, err := os.Pipe()
	if err != nil {
		return err
	}
	defer rd.Close()
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	attr.Files = []*os.File{null, wr, wr}
	if kind == "terminal" {
		tty, err := os.OpenFile("/dev/ttyS0", os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			return err
		}
		defer tty.Close()
		attr.Files[0], attr.Sys.Setctty = tty, true
	}
	p, err := os.StartProcess(self, argv, attr)
	wr.Close()
	if err != nil {
		return err
	}
	said, err := bufio.NewReader(rd).ReadString('\n')
	if said != inPlace {
		return fmt.Errorf("%q instead of being in place: %w", said, err)
	}
	switch kind {
	case "stopped":
		return p.Signal(syscall.SIGSTOP)
	case "gone":
		return os.Remove(self)
	}
	return nil
}

// inPlace is what an animal prints when it is.
const inPlace = "in place\n"

var held []any // so that the collector closes no file

func hold(vs ...any) { held = append(held, vs...) }

func animal(kind string) error {
	if err := dress(kind); err != nil {
		return err
	}
	os.Stdout.WriteString(inPlace)
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
		os.Stdout.WriteString(inPlace)
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
	Pages   map[string]uint64 `json:"pages,omitempty"` // some entries of pagemap, by address
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
	a.Pages = pages(dir)
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

// pages reads what pagemap says of the first, the middle and the last page of each mapping.
func pages(dir string) map[string]uint64 {
	maps, _ := os.ReadFile(filepath.Join(dir, "maps"))
	pagemap, err := os.Open(filepath.Join(dir, "pagemap"))
	if err != nil {
		return nil
	}
	defer pagemap.Close()
	out := map[string]uint64{}
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n != 2 {
			continue // an address of the kernel's, as that of vsyscall
		}
		if strings.Contains(line, "[vvar") {
			continue // pagemap leaves out frames that are no memory of the process (VM_PFNMAP)
		}
		const page = 4096
		for _, at := range []int64{from, from + (to-from)/page/2*page, to - page} {
			var entry [8]byte
			if _, err := pagemap.ReadAt(entry[:], at/page*8); err == nil {
				out[strconv.FormatInt(at, 16)] = binary.LittleEndian.Uint64(entry[:])
			}
		}
	}
	return out
}

// report is what /proc says of all processes.
type report struct {
	Reader    int       `json:"reader"` // the keeper, which is at it
	Processes []account `json:"processes"`
}

func tell() report {
	r := report{Reader: os.Getpid()}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		r.Processes = append(r.Processes, read(dir))
	}
	return r
}

// look reads /proc, which takes the kernel through many of its functions.
func look() error {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for {
		fmt.Fprintln(null, read("/proc/self"))
	}
}

// tracing is where ftrace's files are.
const tracing = "/sys/kernel/tracing/"

// traced makes the kernel write down its own stack at each of the functions, a list
// with commas, while this makes a child.
func traced(functions string) error {
	var errs []error
	set := func(name, value string) {
		if err := os.WriteFile(tracing+name, []byte(value), 0); err != nil {
			errs = append(errs, fmt.Errorf("set %s to %s: %w", name, value, err))
		}
	}
	runtime.LockOSThread()
	set("tracing_on", "0")
	set("set_ftrace_filter", strings.ReplaceAll(functions, ",", " "))
	set("set_ftrace_pid", strconv.Itoa(syscall.Gettid()))
	set("current_tracer", "function")
	set("options/func_stack_trace", "1")
	set("options/sym-offset", "1")
	set("trace", "")
	mark()
	set("tracing_on", "1")
	// Long calls, so that interrupts come in the kernel too.
	zero, err := syscall.Open("/dev/zero", syscall.O_RDONLY, 0)
	errs = append(errs, err)
	buf := make([]byte, 8<<20)
	for range 4 {
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
	mark()
	return errors.Join(errs...)
}

// mark makes the system call by which the agent stops the guest.
func mark() { syscall.RawSyscall(syscall.SYS_SETHOSTNAME, 0, ^uintptr(0), 0) }
