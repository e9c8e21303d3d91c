package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/images/guest"
	"kernellab/internal/progress"
)

func (a *app) shellCommand() *cobra.Command {
	var machine, spec, attach string
	cmd := &cobra.Command{
		Use:   "shell",
		Short: "Boot to the guest's shell, with the labs' programs in it",
		Long:  "shell boots a kernel to a shell on this terminal; the labs' programs are commands there. Ctrl-A x leaves.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if attach != "" {
				return a.attach(cmd.Context(), attach)
			}
			return a.shell(cmd.Context(), machine, spec)
		},
	}
	archFlag(cmd, &machine, "x86_64")
	cmd.Flags().StringVar(&spec, "kernel", "", "kernel: series, version or image file")
	cmd.Flags().StringVar(&attach, "attach", "", "the console of a guest that lab debug started, by its socket")
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	return cmd
}

func (a *app) shell(ctx context.Context, machine, spec string) error {
	p := progress.New(a.stderr)
	defer p.Done()
	host := a.host(p)
	targets, err := host.Open(ctx, prepare.Kernels{Arch: machine, Names: []string{spec}})
	if err != nil {
		return err
	}
	t := targets[0]
	initrd, err := host.ShellInitramfs(ctx, t.Arch)
	if err != nil {
		return err
	}
	emu, err := host.Emulator(ctx)
	if err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, shellConfig(emu, t, initrd))
	if err != nil {
		return err
	}
	defer vm.Close()
	p.Say("booting %s; Ctrl-A x leaves", t.Name())
	err = a.relay(ctx, vm.Console())
	if err == nil {
		err = vm.Err()
	}
	var ended *qemu.ExitError
	if errors.As(err, &ended) && ended.Stderr == "" {
		return nil // the guest was switched off
	}
	return err
}

// shellConfig is a machine that boots to a shell, for a person.
func shellConfig(emu prepare.Emulator, t prepare.Target, initrd string) qemu.Config {
	return qemu.Config{
		Command: emu.For(t.Arch), Arch: t.Arch, Kernel: t.Path, Initrd: initrd, Append: guest.ShellMode,
		Seed: prepare.DefaultSeed, Interactive: true,
	}
}

func (a *app) attach(ctx context.Context, path string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("attach to %s: %w; is lab debug still running?", path, err)
	}
	defer conn.Close()
	fmt.Fprintln(a.stderr, "lab: attached; Ctrl-A x leaves")
	return a.relay(ctx, conn)
}

const (
	escapeKey = 'A' & 0x1f // Ctrl-A, QEMU's own
	endOfFile = 'D' & 0x1f
)

// relay joins this terminal and a guest's console until either ends. From a
// pipe, lines are handed over as the guest's shell asks for them.
func (a *app) relay(ctx context.Context, console net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { console.SetDeadline(time.Unix(1, 0)) })()
	out := &prompted{w: a.stdout, prompt: make(chan struct{}, 1)}
	keys := a.stdin
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		old, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return fmt.Errorf("take the terminal: %w", err)
		}
		defer term.Restore(int(f.Fd()), old)
		go func() {
			typed(console, keys)
			cancel()
		}()
	} else {
		go func() {
			if piped(ctx, console, keys, out.prompt) != nil {
				cancel()
			}
		}()
	}
	_, err := io.Copy(out, console)
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// typed passes keys on until Ctrl-A x.
func typed(w io.Writer, keys io.Reader) error {
	var buf [256]byte
	escaped := false
	for {
		n, err := keys.Read(buf[:])
		if err != nil {
			return err
		}
		var pass []byte
		for _, k := range buf[:n] {
			switch {
			case escaped && k == 'x':
				return nil
			case !escaped && k == escapeKey:
				escaped = true
				continue
			}
			escaped = false
			pass = append(pass, k)
		}
		if _, err := w.Write(pass); err != nil {
			return err
		}
	}
}

// piped passes a line on at each prompt, and the end of input at the last.
func piped(ctx context.Context, w io.Writer, r io.Reader, prompt <-chan struct{}) error {
	input, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return err
	}
	lines := append(bytes.SplitAfter(bytes.TrimSuffix(input, []byte("\n")), []byte("\n")), []byte{endOfFile})
	for i, line := range lines {
		if i == len(lines)-2 {
			line = append(line, '\n')
		}
		select {
		case <-prompt:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	select {
	case <-prompt: // a shell that came back after the end of input
		return io.EOF
	case <-ctx.Done():
		return ctx.Err()
	}
}

// prompted passes a console on and tells when its shell asks for a command.
type prompted struct {
	w      io.Writer
	line   []byte
	prompt chan struct{}
}

func (p *prompted) Write(b []byte) (int, error) {
	for _, c := range b {
		if c == '\n' || c == '\r' {
			p.line = p.line[:0]
			continue
		}
		if len(p.line) < 256 {
			p.line = append(p.line, c)
		}
	}
	if bytes.HasSuffix(p.line, []byte("$ ")) || bytes.HasSuffix(p.line, []byte("# ")) {
		select {
		case p.prompt <- struct{}{}:
		default:
		}
	}
	return p.w.Write(b)
}
