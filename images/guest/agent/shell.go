package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

const banner = "\nThis is the guest's shell. Programs are in /bin and /bbin, ftrace is in /sys/kernel/tracing; poweroff ends the guest.\n"

// runShell runs shells on the console until one exits by itself. Ctrl-C reaches
// u-root's shell as well as its command, for it has no job control, and may end
// both; another shell follows then. u-root's init would end with the first, and
// the kernel with it.
func runShell() error {
	sane, err := settings("/dev/console")
	if err != nil {
		return err
	}
	for text := banner; ; text = "\n" {
		again, err := shellOnce(text, sane)
		if !again {
			return err
		}
	}
}

// settings returns those of a terminal.
func settings(path string) (syscall.Termios, error) {
	var t syscall.Termios
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return t, err
	}
	defer f.Close()
	return t, ioctl(int(f.Fd()), syscall.TCGETS, &t)
}

// shellOnce opens the console anew: the end of a session hangs its terminal up,
// and an open file of before would not be read from any more. It also undoes the
// settings of a line editor that could not do so itself.
func shellOnce(text string, sane syscall.Termios) (again bool, err error) {
	console, err := os.OpenFile("/dev/console", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false, err
	}
	defer console.Close()
	if err := ioctl(int(console.Fd()), syscall.TCSETS, &sane); err != nil {
		return false, fmt.Errorf("set the console up: %w", err)
	}
	console.WriteString(text)
	cmd := exec.Command("/bbin/gosh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = console, console, console
	cmd.Dir = "/root"
	cmd.Env = []string{"PATH=/bin:/bbin", "HOME=/root", "TERM=linux"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false, errors.New("the shell has ended")
	case !errors.As(err, &exit):
		return false, fmt.Errorf("run the shell: %w", err)
	case exit.Exited():
		return false, fmt.Errorf("the shell has ended: %w", err)
	}
	return true, nil
}
