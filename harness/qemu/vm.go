// Package qemu runs one virtual machine: it makes the command line, runs the process
// and connects to it. QEMU inherits socket pairs for the gdbstub and the console, so
// that no port, path or retry is needed. The package does not interpret what is sent
// over them.
//
// The process has its own process group. Close terminates it, waits, and then kills
// it. The kernel kills it if our process dies.
package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is the time from SIGTERM to SIGKILL.
const grace = 2 * time.Second

// versionLimit is the time limit of --version.
const versionLimit = 30 * time.Second

// exitLimit is how long to wait for QEMU's exit after its sockets were closed.
const exitLimit = 500 * time.Millisecond

// MissingError says that QEMU is not installed.
type MissingError struct {
	Binary, Package string
	Err             error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: run 'lab qemu fetch' for lab's own QEMU, which is used without --qemu and LAB_QEMU, or install the package %s", e.Binary, e.Package)
}

func (e *MissingError) Unwrap() error { return e.Err }

// ExitError says that QEMU ended although Close was not called.
type ExitError struct {
	Binary string
	State  string         // "exit status 1", "signal: killed"
	Stderr string         // the end of its output
	Signal syscall.Signal // that ended it, 0 for none
}

func (e *ExitError) Error() string {
	if e.Signal == syscall.SIGBUS {
		// The file of its memory is sparse, and what a page needs could not be had.
		return fmt.Sprintf("%s ended by itself (%s): there was no room for the guest's memory; make room on the cache's disk with lab clean, or set LAB_CACHE to a folder on another disk", e.Binary, e.State)
	}
	if e.Stderr == "" {
		return fmt.Sprintf("%s ended by itself (%s)", e.Binary, e.State)
	}
	return fmt.Sprintf("%s ended by itself (%s): %s", e.Binary, e.State, e.Stderr)
}

// Clean reports whether QEMU exited because the guest switched off or reset.
func (e *ExitError) Clean() bool { return e.State == "exit status 0" && e.Stderr == "" }

// Crashed reports whether QEMU ended by a fault of its own or gave up, as a guest can make
// it do. A QEMU that somebody killed, or that was refused memory, did not.
func (e *ExitError) Crashed() bool {
	switch e.Signal {
	case 0:
		return !e.Clean()
	case syscall.SIGABRT:
		return !strings.Contains(strings.ToLower(e.Stderr), "allocate")
	case syscall.SIGSEGV, syscall.SIGILL, syscall.SIGFPE, syscall.SIGTRAP:
		return true
	}
	return false
}

// VM is a running machine.
type VM struct {
	cmd     *exec.Cmd
	name    string // in messages
	gdb     net.Conn
	console net.Conn
	output  *os.File // the console, if it can only be read
	stderr  *tail

	monitor  *monitor
	inFile   bool // with Config.RAM: see save.go
	incoming bool
	shared   bool // the guest's writes change the file

	done    chan struct{} // closed when the process was waited for
	waitErr error         // valid once done is closed
	closing sync.Once
	asked   chan struct{} // closed when Close was called
}

// Start starts a machine. Cancelling ctx closes it.
func Start(ctx context.Context, c Config) (_ *VM, err error) {
	path, err := exec.LookPath(c.Path())
	if err != nil {
		return nil, &MissingError{Binary: c.Path(), Package: c.Arch.QEMU.Package, Err: err}
	}
	vm := &VM{name: c.name(), stderr: &tail{limit: 4096}, done: make(chan struct{}), asked: make(chan struct{})}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			vm.closeConns()
			if vm.output != nil {
				vm.output.Close()
			}
		}
	}()
	var qmp net.Conn
	var files []*os.File
	for _, i := range c.inherits() {
		var file *os.File
		switch i {
		case inheritsOutput:
			vm.output, file, err = outputPipe()
		case inheritsConsole:
			vm.console, file, err = socketPair()
		case inheritsGDB:
			vm.gdb, file, err = socketPair()
		case inheritsMonitor:
			qmp, file, err = socketPair()
		case inheritsRAM:
			files = append(files, c.RAM) // the caller closes it
			continue
		}
		if err != nil {
			return nil, err
		}
		files, theirs = append(files, file), append(theirs, file)
	}
	vm.monitor, vm.inFile, vm.incoming = newMonitor(qmp.(*net.UnixConn)), c.RAM != nil, c.Incoming
	vm.shared = vm.inFile && (!c.Incoming || c.Shared)
	vm.cmd = exec.Command(path, slices.Concat(c.command()[1:], c.Args())...)
	vm.cmd.Stderr = vm.stderr
	vm.cmd.Stdout = vm.stderr
	vm.cmd.ExtraFiles = files
	vm.cmd.WaitDelay = grace
	vm.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	started := make(chan error, 1)
	go vm.run(ctx, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", vm.name, err)
	}
	if c.CPUs > 1 && TurnsRepeat() == nil {
		if err := vm.takeTurns(ctx); err != nil {
			vm.Close()
			return nil, err
		}
	}
	return vm, nil
}

// run starts the process, closes the machine when ctx ends, and waits for the
// process. It keeps a thread for itself, because the kernel sends the parent death
// signal when the thread that made the child ends.
func (vm *VM) run(ctx context.Context, started chan<- error) {
	runtime.LockOSThread()
	err := vm.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { vm.Close() })
	vm.waitErr = vm.cmd.Wait()
	stop() // otherwise ctx would keep the machine reachable
	close(vm.done)
}

// GDB returns the connection to the gdbstub, nil when Config.GDBSocket is set.
func (vm *VM) GDB() net.Conn { return vm.gdb }

// Console returns the connection to the first serial port if Config.Interactive is
// set and Config.ConsoleSocket is not, and nil otherwise. The caller must read it
// continuously, because a full buffer stalls the guest.
func (vm *VM) Console() net.Conn { return vm.console }

// Output returns a pipe with the output of the first serial port, or nil if Console or
// Config.ConsoleSocket is in use. It ends with QEMU. The caller must read it
// continuously and close it.
func (vm *VM) Output() *os.File { return vm.output }

// Stops returns how many times the machine has stopped so far, and a channel that
// is closed at the next stop. See Settle.
func (vm *VM) Stops() (uint64, <-chan struct{}) {
	vm.monitor.mu.Lock()
	defer vm.monitor.mu.Unlock()
	return vm.monitor.stops, vm.monitor.stopped
}

// Settle returns when Stops counts every stop until now.
func (vm *VM) Settle(ctx context.Context) error {
	if err := vm.monitor.run(ctx, []command{{Execute: "query-status"}}, nil, false); err != nil {
		return vm.because("ask for the machine's state", err)
	}
	return nil
}

// PID returns QEMU's process id.
func (vm *VM) PID() int { return vm.cmd.Process.Pid }

// Used returns the processor time that QEMU has used, 0 for one that has ended.
func (vm *VM) Used() time.Duration {
	// The clock of another process's processor time, as clock_getcpuclockid(3) makes it.
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^vm.PID()<<3|scheduled), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Peek reads two words of 32 bits from a physical address, of a device too, of a guest
// that may be running, and returns them as one of 64. The guest does not notice.
func (vm *VM) Peek(ctx context.Context, addr uint64) (uint64, error) {
	answer, err := vm.monitor.exchange(ctx, []command{{
		Execute: "human-monitor-command", Arguments: map[string]string{"command-line": fmt.Sprintf("xp /2wx %#x", addr)},
	}}, nil, false)
	if err != nil {
		return 0, vm.because("read the guest's memory", err)
	}
	// "0000000000101000: 0x00000001 0x00000000"
	var text string
	var low, high uint32
	if err := json.Unmarshal(answer, &text); err != nil {
		return 0, fmt.Errorf("read the guest's memory: %w", err)
	}
	_, words, _ := strings.Cut(text, ":")
	if _, err := fmt.Sscanf(words, "%v %v", &low, &high); err != nil {
		return 0, fmt.Errorf("read the guest's memory: %q: %w", text, err)
	}
	return uint64(high)<<32 | uint64(low), nil
}

// Exited is closed when the process has ended and was waited for.
func (vm *VM) Exited() <-chan struct{} { return vm.done }

// Err returns nil while the machine runs or after Close, and an *ExitError when
// it ended by itself.
func (vm *VM) Err() error {
	select {
	case <-vm.asked:
		return nil
	default:
	}
	select {
	case <-vm.done:
		e := &ExitError{Binary: vm.name, State: "exit status 0", Stderr: withoutWarnings(vm.stderr.String())}
		var exit *exec.ExitError
		if errors.As(vm.waitErr, &exit) {
			e.State = exit.ProcessState.String()
			if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
				e.Signal = ws.Signal()
			}
		}
		return e
	default:
		return nil
	}
}

// withoutWarnings removes two harmless warnings from QEMU's output: that the network
// behind the clock's filter (see ClockStep) has no peer, and that a guest which has
// switched off has no active timers.
func withoutWarnings(stderr string) string {
	var kept []string
	for line := range strings.Lines(stderr) {
		if !strings.Contains(line, "has no peer") && !strings.Contains(line, "icount sleep disabled and no active timers") {
			kept = append(kept, line)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ""))
}

// Close ends the machine and waits for its process. It may be called at any time,
// from any goroutine, more than once.
func (vm *VM) Close() error {
	vm.closing.Do(func() {
		close(vm.asked)
		if vm.incoming { // QEMU has no data to write
			vm.signal(syscall.SIGKILL)
			<-vm.done
		}
		vm.signal(syscall.SIGTERM)
		select {
		case <-vm.done:
		case <-time.After(grace):
			vm.signal(syscall.SIGKILL)
			<-vm.done
		}
		vm.closeConns()
	})
	<-vm.done
	return nil
}

// awaitExit waits a moment for the exit of a process that may have closed its sockets.
func (vm *VM) awaitExit() {
	select {
	case <-vm.done:
	case <-time.After(exitLimit):
	}
}

// signal sends sig to QEMU's process group, unless the process has been waited for.
func (vm *VM) signal(sig syscall.Signal) {
	select {
	case <-vm.done:
	default:
		syscall.Kill(-vm.cmd.Process.Pid, sig)
	}
}

func (vm *VM) closeConns() {
	if vm.monitor != nil {
		vm.monitor.close()
	}
	for _, c := range []net.Conn{vm.gdb, vm.console} {
		if c != nil {
			c.Close()
		}
	}
}

// outputPipe returns both ends of a pipe with a buffer of a megabyte, if the system
// allows that, so that the guest does not wait for the reader.
func outputPipe() (ours, theirs *os.File, err error) {
	if ours, theirs, err = os.Pipe(); err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	unix.FcntlInt(theirs.Fd(), unix.F_SETPIPE_SZ, 1<<20) // the default size is enough for a boot
	return ours, theirs, nil
}

// socketPair returns both ends of a stream: ours as a connection, theirs as a file
// that a child can inherit.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	ours := os.NewFile(uintptr(fds[0]), "qemu socket")
	theirs := os.NewFile(uintptr(fds[1]), "qemu socket")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	return conn, theirs, nil
}

// tail keeps the last bytes written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	buf   bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if n := t.buf.Len() - t.limit; n > 0 {
		t.buf.Next(n)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}

// Version returns the version of the QEMU that command starts, such as "10.0.13".
func Version(ctx context.Context, command []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	words := append(slices.Clone(command), "--version")
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	// What it has started, such as a shell script's QEMU, ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = grace
	out, err := cmd.Output()
	if cause := context.Cause(ctx); cause == context.DeadlineExceeded {
		return "", fmt.Errorf("%s: no version after %s: name another QEMU with --qemu", strings.Join(words, " "), versionLimit)
	} else if cause != nil {
		return "", cause
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(words, " "), err)
	}
	// "QEMU emulator version 7.2.22 (Debian …)"
	fields := strings.Fields(string(out))
	for i, w := range fields {
		if w == "version" && i+1 < len(fields) {
			return fields[i+1], nil
		}
	}
	return "", fmt.Errorf("%s: no version in %q", strings.Join(words, " "), out)
}
