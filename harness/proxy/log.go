package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kernellab/harness/rsp"
)

// maxInstructions limits the list of a stretch's instructions, which takes 8 bytes each.
const maxInstructions = 64 << 20

// errLong says that a stretch is too long to be gone back into.
var errLong = fmt.Errorf("more than %d instructions were executed between two stops: set a breakpoint on the way, and run there again", maxInstructions)

// QEMU can write as much of its log ahead of the reader as the pipe takes: some 190
// instructions, or 12,000 where a few more do no harm. A line has some 85 bytes.
const (
	smallPipe = 16 << 10
	largePipe = 1 << 20
)

// execLog is QEMU's log of the instructions that a machine executes.
type execLog struct {
	stub *rsp.Client
	path string
	fd   int
	rest []byte // an unfinished line
	buf  []byte
	pcs  []uint64
}

// logInstructions switches the log of a halted machine on. one-insn-per-tb makes QEMU's
// blocks one instruction long. Nothing else may read or write the log meanwhile.
func logInstructions(ctx context.Context, stub *rsp.Client, dir string, pipe int) (_ *execLog, err error) {
	g := &execLog{stub: stub, path: filepath.Join(dir, "instructions"), fd: -1, buf: make([]byte, min(pipe, 64<<10))}
	if err := os.Remove(g.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := unix.Mkfifo(g.path, 0o600); err != nil {
		return nil, fmt.Errorf("make a pipe for QEMU's log: %w", err)
	}
	// Opened for both, it neither waits for QEMU nor ends with it.
	if g.fd, err = unix.Open(g.path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open the pipe for QEMU's log: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(g.fd), unix.F_SETPIPE_SZ, pipe); err != nil && pipe == smallPipe {
		unix.Close(g.fd)
		return nil, fmt.Errorf("set the size of the pipe for QEMU's log: %w", err)
	}
	if err := g.monitor(ctx, fmt.Sprintf("logfile %q", g.path), "one-insn-per-tb on", "log exec,nochain"); err != nil {
		unix.Close(g.fd)
		return nil, err
	}
	return g, nil
}

// monitor runs commands that print nothing unless they fail.
func (g *execLog) monitor(ctx context.Context, commands ...string) error {
	for _, command := range commands {
		printed, err := g.stub.Monitor(ctx, command)
		if err != nil {
			return err
		}
		if text := strings.TrimSpace(printed); text != "" {
			return fmt.Errorf("QEMU's monitor: %s: %s", command, text)
		}
	}
	return nil
}

// close switches the log of the halted machine off.
func (g *execLog) close(ctx context.Context) error {
	err := g.monitor(ctx, "log none", "one-insn-per-tb off")
	unix.Close(g.fd)
	return errors.Join(err, os.Remove(g.path))
}

// read reads at most size bytes of what has been written. It waits for at most the time
// given, 0 for not at all, and reports whether there was any.
func (g *execLog) read(size int, wait time.Duration) (bool, error) {
	if wait > 0 {
		fds := []unix.PollFd{{Fd: int32(g.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, int(wait.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			return false, fmt.Errorf("wait for QEMU's log: %w", err)
		}
	}
	n, err := unix.Read(g.fd, g.buf[:min(size, len(g.buf))])
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read QEMU's log: %w", err)
	}
	left := append(g.rest, g.buf[:n]...)
	for {
		line, rest, whole := bytes.Cut(left, []byte("\n"))
		if !whole {
			break
		}
		if err := g.line(string(line)); err != nil {
			return true, err
		}
		left = rest
	}
	g.rest = append(g.rest[:0], left...)
	if len(g.pcs) > maxInstructions {
		return true, errLong
	}
	return true, nil
}

// line reads a line of the log (log_cpu_exec and cpu_tb_exec in QEMU's
// accel/tcg/cpu-exec.c). A block is logged before QEMU knows whether it may run; where it
// may not, because the machine is to stop or a timer has expired, a second line says so.
//
//	Trace 0: 0x7f12ac000100 [00000000/ffffffff81094980/0040c2b0/ff062201]
//	Stopped execution of TB chain before 0x7f12ac2a60c0 [ffffffff812c0da6]
func (g *execLog) line(text string) error {
	switch {
	case strings.HasPrefix(text, "Trace "):
		_, text, _ := strings.Cut(text, "/")
		text, _, _ = strings.Cut(text, "/")
		if pc, err := strconv.ParseUint(text, 16, 64); err == nil {
			g.pcs = append(g.pcs, pc)
			return nil
		}
	case strings.HasPrefix(text, "Stopped execution of TB chain before "):
		if len(g.pcs) > 0 {
			g.pcs = g.pcs[:len(g.pcs)-1]
			return nil
		}
		return nil
	}
	return fmt.Errorf("QEMU's log has the line %q, which is not one of a block", text)
}

// tick is how long a reader waits for QEMU at a time.
const tick = 5 * time.Millisecond

// follow reads the log of a running guest until it has stopped or limit instructions
// have been executed, -1 for any number.
func (g *execLog) follow(ctx context.Context, over <-chan struct{}, limit int) error {
	for limit < 0 || len(g.pcs) < limit {
		stopped := false
		select {
		case <-over:
			stopped = true
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		wait := tick
		if stopped {
			wait = 0
		}
		more, err := g.read(len(g.buf), wait)
		if err != nil {
			return err
		}
		if stopped && !more {
			return nil
		}
	}
	return nil
}

// drip reads the log slowly until the guest has stopped, so that the guest, which is
// being halted, executes few more instructions.
func (g *execLog) drip(ctx context.Context, over <-chan struct{}) error {
	for {
		pause := time.NewTimer(time.Millisecond)
		select {
		case <-over:
			pause.Stop()
			return g.follow(ctx, over, -1)
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
			if _, err := g.read(len(g.buf)/32, 0); err != nil {
				return err
			}
		}
	}
}
