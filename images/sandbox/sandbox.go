// Package sandbox runs a compiler over a stranger's sources where it can read
// nothing but them and what it is made of, has no network, and is limited in
// time, memory, file size and output.
//
// The work is done by tools that are well kept, not by code of ours: bubblewrap
// (bwrap) makes namespaces with nothing mounted in them but what a command is
// given, as root or, where the host allows user namespaces, without privileges;
// prlimit of util-linux sets the limits. In a container that forbids namespaces
// the kernel's Landlock (Documentation/userspace-api/landlock.rst) bounds what
// can be read and written instead. A host that has neither gives an
// [*UnavailableError] with the reasons: there is no silent fallback.
//
// The package knows nothing of languages. It runs commands that read a stranger's
// text; it is no place to run a stranger's program.
package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Kind is how commands are kept apart from the host.
type Kind string

// The kinds, the strongest first.
const (
	// Bubblewrap shows a command nothing of the host but what it is given.
	Bubblewrap Kind = "bubblewrap"
	// Landlock refuses a command all files but those it is given, and TCP where
	// the kernel can (6.7 on).
	Landlock Kind = "landlock"
	// None sets the limits only. It is for a host that is thrown away after one
	// submission, and never chosen unasked.
	None Kind = "none"
)

// Env is the environment variable that chooses a kind.
const Env = "LAB_SANDBOX"

// Command is what to run.
type Command struct {
	Path string
	Args []string
	Env  []string // the whole environment
	// Work is the folder that can be written, and the command's own.
	Work string
	// Read are the files and folders of the host that can be read, where they
	// are there. Libraries are among them if the command needs them.
	Read []string
	// Alone is of a command that starts no other: under bubblewrap it then can not,
	// so that the limits of a process are those of all.
	Alone bool
	Limits
}

// Result is how a command ended that ran.
type Result struct {
	Code   int    // exit status, 0 for success
	Output string // standard output and error
	// Exceeded says which limit ended the command, "" for none: "more than 20 s
	// of processor time".
	Exceeded string
	Took     time.Duration
}

// UnavailableError says that a host can not keep a command apart.
type UnavailableError struct {
	Reasons []string // one for each kind that was tried
}

func (e *UnavailableError) Error() string {
	return "this host can not compile a submission's sources safely: " + strings.Join(e.Reasons, "; ") +
		"; install bubblewrap (lab doctor --install), or where containers may not have namespaces use a kernel with Landlock;" +
		" " + Env + "=none does without, for a host that is thrown away after each submission"
}

// TimeoutError says that a command took too long by the clock while it had not
// used up its processor time: the host is too busy.
type TimeoutError struct {
	Limit time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the compiler took more than %s on a busy host", e.Limit)
}

// Box runs commands. Its methods may be called by any number of goroutines.
type Box struct {
	Kind  Kind
	bwrap string
	limit string // prlimit
	// filters: the kernel takes a filter of system calls.
	filters bool
}

// Filters reports whether a command that is Alone can not start another.
func (b Box) Filters() bool { return b.filters }

// workIn is where a command finds its work folder under bubblewrap.
const workIn = "/work"

// Find returns the strongest kind that this host offers, or the one that asked
// names, tried out. asked is "" for the choice of $LAB_SANDBOX.
func Find(ctx context.Context, asked Kind) (Box, error) {
	if asked == "" {
		asked = Kind(os.Getenv(Env))
	}
	kinds := []Kind{Bubblewrap, Landlock}
	switch asked {
	case "":
	case Bubblewrap, Landlock, None:
		kinds = []Kind{asked}
	default:
		return Box{}, fmt.Errorf("%s=%s: want %s, %s or %s", Env, asked, Bubblewrap, Landlock, None)
	}
	limit, err := exec.LookPath("prlimit")
	if err != nil {
		return Box{}, &UnavailableError{Reasons: []string{"prlimit of util-linux is missing"}}
	}
	var none UnavailableError
	for _, k := range kinds {
		b := Box{Kind: k, limit: limit}
		err := b.try(ctx)
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return Box{}, context.Cause(ctx)
		}
		none.Reasons = append(none.Reasons, fmt.Sprintf("%s: %v", k, err))
	}
	return Box{}, &none
}

// try finds out whether the kind works here.
func (b *Box) try(ctx context.Context) error {
	if b.Kind == Bubblewrap {
		var err error
		if b.bwrap, err = exec.LookPath("bwrap"); err != nil {
			return errors.New("not installed")
		}
	}
	dir, err := os.MkdirTemp("", "lab-sandbox")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Where a filter is not to be had the rest of bubblewrap is.
	if b.filters = b.Kind == Bubblewrap && auditArch() != 0; b.filters {
		if err := b.nothing(ctx, dir); err == nil {
			return nil
		}
		b.filters = false
	}
	return b.nothing(ctx, dir)
}

// nothing runs a command that does nothing.
func (b *Box) nothing(ctx context.Context, dir string) error {
	r, err := b.Run(ctx, Command{Path: "/usr/bin/true", Work: dir, Read: System(), Alone: true, Limits: Limits{Wall: time.Minute}})
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return fmt.Errorf("/usr/bin/true ended with %d: %s", r.Code, firstLine(r.Output))
	}
	return nil
}

// Work returns the path at which a command sees its work folder.
func (b Box) Work(dir string) string {
	if b.Kind == Bubblewrap {
		return workIn
	}
	return dir
}

// Run runs a command to its end. A command that fails, or goes over a limit of
// its own, is a Result; an error says that it could not be run, or was cut short
// by the host or by ctx.
func (b Box) Run(ctx context.Context, c Command) (Result, error) {
	c.Limits.defaults()
	timed, cancel := context.WithTimeout(ctx, c.Wall)
	defer cancel()
	out, err := newOutput()
	if err != nil {
		return Result{}, fmt.Errorf("start a sandbox: %w", err)
	}
	defer out.Close()
	argv := limits(b.limit, c.Limits)
	if b.Kind != Bubblewrap {
		argv = append(append(argv, c.Path), c.Args...)
		return b.run(timed, ctx, c, argv, out, nil, nil, nil)
	}
	// Bubblewrap says there that the command ended, and so that it ran: by its
	// exit status alone that can not be told from a failure of its own.
	status, theirs, err := os.Pipe()
	if err != nil {
		return Result{}, fmt.Errorf("start a sandbox: %w", err)
	}
	defer status.Close()
	defer theirs.Close()
	var filter *os.File
	argv = append(argv, b.bwrap)
	if c.Alone && b.filters {
		if filter, err = filterFile(noFork()); err != nil {
			return Result{}, err
		}
		defer filter.Close()
		argv = append(argv, "--seccomp", "4")
	}
	argv = append(append(append(argv, wrap(c)...), c.Path), c.Args...)
	return b.run(timed, ctx, c, argv, out, status, theirs, filter)
}

func (b Box) run(timed, ctx context.Context, c Command, argv []string, out output, status, theirs, filter *os.File) (Result, error) {
	timed, sleeps := context.WithCancelCause(timed)
	defer sleeps(nil)
	cmd := exec.CommandContext(timed, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = c.Env, c.Work
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.Stdout, cmd.Stderr = out.File, out.File
	if theirs != nil {
		cmd.ExtraFiles = []*os.File{theirs}
	}
	if filter != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, filter)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	run := func() error {
		if err := cmd.Start(); err != nil {
			return err
		}
		go watch(timed, cmd.Process.Pid, c.Idle, sleeps)
		return cmd.Wait()
	}
	var err error
	if b.Kind == Landlock {
		err = landlocked(c, b.limit, run)
	} else {
		err = run()
	}
	if cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	r := Result{Output: out.start(c.Output), Took: time.Since(began)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case err != nil && errors.Is(context.Cause(timed), errSleeps):
		r.Code, r.Exceeded = sigKill, fmt.Sprintf("more than %s in which it did nothing", c.Idle)
		return r, nil
	case timed.Err() != nil && err != nil:
		return r, &TimeoutError{Limit: c.Wall}
	case err != nil && !errors.As(err, &exit):
		return r, fmt.Errorf("start a sandbox: %w", err)
	}
	ws, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	r.Code = ws.ExitStatus()
	if ws.Signaled() {
		r.Code = 128 + int(ws.Signal())
	}
	if status != nil {
		theirs.Close()
		if !ended(status) && ws.Exited() {
			return r, fmt.Errorf("start a sandbox: %s", firstLine(r.Output))
		}
	}
	r.Exceeded = exceeded(r, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), c.Limits)
	return r, nil
}

// ended reports whether bubblewrap told the end of the command.
func ended(status *os.File) bool {
	status.SetReadDeadline(time.Now().Add(time.Second))
	buf := make([]byte, 4096)
	var said []byte
	for len(said) < 64<<10 {
		n, err := status.Read(buf)
		said = append(said, buf[:n]...)
		if err != nil {
			break
		}
	}
	return bytes.Contains(said, []byte(`"exit-code"`))
}

// wrap returns bubblewrap's options for a command.
func wrap(c Command) []string {
	args := []string{
		"--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--json-status-fd", "3",
		"--bind", c.Work, workIn, "--dev-bind", "/dev/null", "/dev/null",
	}
	for _, path := range c.Read {
		switch info, err := os.Lstat(path); {
		case err != nil: // it is not there to be read
		case info.Mode()&os.ModeSymlink != 0:
			if to, err := os.Readlink(path); err == nil {
				args = append(args, "--symlink", to, path)
			}
		default:
			args = append(args, "--ro-bind", path, path)
		}
	}
	return append(args, "--remount-ro", "/", "--chdir", workIn, "--")
}

// System is what a dynamically linked program of the distribution's reads.
func System() []string {
	return []string{"/usr/bin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/bin", "/lib", "/lib64"}
}
