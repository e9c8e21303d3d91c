package blocks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"kernellab/harness/arch"
)

// Guest is the machine whose blocks are read: a *rsp.Client.
type Guest interface {
	// Monitor runs a command of QEMU's monitor and returns what it printed.
	Monitor(ctx context.Context, command string) (string, error)
	// Threads returns the vCPUs.
	Threads(ctx context.Context) ([]string, error)
	// Breakpoints returns where breakpoints are set.
	Breakpoints(ctx context.Context) ([]uint64, error)
	ReadMemory(ctx context.Context, addr uint64, buf []byte) error
}

// Total is what ran between two stops.
type Total struct {
	Instructions uint64
	Blocks       uint64
}

// Log reads the blocks of one machine. Its methods may not be called at the same time,
// except for Close.
type Log struct {
	guest  Guest
	dir    string
	pipe   *os.File // QEMU's log, read
	marks  *os.File // the same pipe, to write marks to
	reader *bufio.Reader
	parser *parser
	done   chan error // the end of what On started; nil while the log is off
}

// items are the parts of QEMU's log that are read: blocks, their code when they are
// translated, and interrupts. With nochain QEMU returns to its main loop after each
// block, so that every block is in the log.
const items = "exec,nochain,in_asm,int"

// pipeBytes is the size of the pipe, which QEMU waits for when it is full.
const pipeBytes = 1 << 20

// New prepares a log of a machine of an architecture. Nothing is logged yet.
func New(g Guest, a arch.Arch) (*Log, error) {
	class, ok := decoders()[a.Name]
	if !ok {
		return nil, fmt.Errorf("read QEMU's log of blocks: no decoder for %s", a.Name)
	}
	dir, err := os.MkdirTemp("", "lab-blocks-")
	if err != nil {
		return nil, fmt.Errorf("make a pipe for QEMU's log: %w", err)
	}
	l := &Log{guest: g, dir: dir, parser: newParser(class)}
	if err := l.open(); err != nil {
		l.Close()
		return nil, fmt.Errorf("make a pipe for QEMU's log: %w", err)
	}
	return l, nil
}

func (l *Log) path() string { return filepath.Join(l.dir, "log") }

func (l *Log) open() (err error) {
	if strings.ContainsAny(l.dir, `%"\`) {
		return fmt.Errorf("QEMU takes no log file in %s: set TMPDIR to another folder", l.dir)
	}
	if err := syscall.Mkfifo(l.path(), 0o600); err != nil {
		return err
	}
	// Open for reading and writing, it neither waits for QEMU nor ends when QEMU closes
	// its end.
	if l.pipe, err = os.OpenFile(l.path(), os.O_RDWR|syscall.O_NONBLOCK, 0); err != nil {
		return err
	}
	if l.marks, err = os.OpenFile(l.path(), os.O_RDWR|syscall.O_NONBLOCK, 0); err != nil {
		return err
	}
	if conn, err := l.pipe.SyscallConn(); err == nil {
		// A smaller pipe is only slower, and the host may not allow this size.
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
	}
	l.reader = bufio.NewReaderSize(l.pipe, pipeBytes)
	return nil
}

// Close removes the pipe. A log that is on ends with an error.
func (l *Log) Close() error {
	var errs []error
	for _, f := range []*os.File{l.pipe, l.marks} {
		if f == nil {
			continue
		}
		if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// command runs a command of QEMU's monitor that prints nothing unless it fails.
func (l *Log) command(ctx context.Context, command string) error {
	printed, err := l.guest.Monitor(ctx, command)
	if err == nil && strings.TrimSpace(printed) != "" {
		err = fmt.Errorf("QEMU refuses %q: %s", command, strings.TrimSpace(printed))
	}
	return err
}

// On switches the log on. The guest is stopped. Each is called with every block until
// Off: see the package comment. An error that it returns is the error of Off.
func (l *Log) On(ctx context.Context, each func(Block) error) error {
	if l.done != nil {
		return errors.New("the log of blocks is on already")
	}
	threads, err := l.guest.Threads(ctx)
	if err != nil {
		return err
	}
	if len(threads) != 1 {
		return fmt.Errorf("QEMU's log of blocks cannot be read with %d processors: use one", len(threads))
	}
	for _, c := range []string{fmt.Sprintf(`logfile "%s"`, l.path()), "log " + items} {
		if err := l.command(ctx, c); err != nil {
			return fmt.Errorf("switch QEMU's log of blocks on: %w", err)
		}
	}
	if err := l.readPages(ctx); err != nil {
		return err
	}
	l.done = make(chan error, 1)
	l.parser.begin(each)
	go func() { l.done <- l.read() }()
	return nil
}

// readPages reads the pages that have breakpoints. QEMU runs the code there one
// instruction at a time, in the same translations whether or not the log is on
// (check_for_breakpoints in accel/tcg/cpu-exec.c), so that code may have been translated
// before. All other code is translated anew, as nochain makes other translations.
func (l *Log) readPages(ctx context.Context) error {
	all, err := l.guest.Breakpoints(ctx)
	if err != nil {
		return err
	}
	for _, addr := range all {
		const more = 15 // of an instruction of x86 that begins at the end of the page
		page := make([]byte, pageSize+more)
		at := addr &^ (pageSize - 1)
		for _, size := range []int{pageSize + more, pageSize} {
			if err = l.guest.ReadMemory(ctx, at, page[:size]); err == nil {
				l.parser.pages[at] = page[:size]
				break
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A breakpoint may be set where nothing is mapped.
	}
	return nil
}

// mark ends what is read between On and Off.
const mark = "lab: the guest has stopped\n"

// Off switches the log off. The guest is stopped at pc.
func (l *Log) Off(ctx context.Context, pc uint64) (Total, error) {
	if l.done == nil {
		return Total{}, errors.New("the log of blocks is off")
	}
	if err := l.command(ctx, "log none"); err != nil {
		return Total{}, fmt.Errorf("switch QEMU's log of blocks off: %w", err)
	}
	// QEMU writes each line before the guest goes on, so all of them precede the mark.
	if _, err := io.WriteString(l.marks, mark); err != nil {
		return Total{}, fmt.Errorf("end QEMU's log of blocks: %w", err)
	}
	var err error
	select {
	case err = <-l.done:
	case <-ctx.Done():
		return Total{}, ctx.Err()
	}
	l.done = nil
	if err == nil {
		err = l.parser.end(pc)
	}
	if err != nil {
		return l.parser.total, fmt.Errorf("read QEMU's log of blocks: %w", err)
	}
	return l.parser.total, nil
}

// read reads the log up to the mark. After an error it reads on, as QEMU would otherwise
// wait for the pipe.
func (l *Log) read() (err error) {
	for {
		line, rerr := l.reader.ReadSlice('\n')
		switch {
		case errors.Is(rerr, bufio.ErrBufferFull):
			continue // no line that is read has a megabyte
		case rerr != nil:
			return errors.Join(err, rerr)
		case string(line) == mark:
			return err
		case err == nil:
			err = l.parser.line(line[:len(line)-1])
		}
	}
}
