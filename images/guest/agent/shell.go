package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

const banner = "\nThis is the guest's shell. Programs are in /bin and /bbin; poweroff ends the guest.\n"

// runShell runs shells on the console until one exits by itself. Ctrl-C reaches
// the shell as well as its command, since u-root's has no job control, and ends
// both; another shell follows then. u-root's init would end, and the kernel with
// it.
func runShell() error {
	console, err := os.OpenFile("/dev/console", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	console.WriteString(banner)
	for {
		cmd := exec.Command("/bbin/gosh")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = console, console, console
		cmd.Dir = "/root"
		cmd.Env = []string{"PATH=/bin:/bbin", "HOME=/root", "TERM=linux"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		err := cmd.Run()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return errors.New("the shell has ended")
		case !errors.As(err, &exit):
			return fmt.Errorf("run the shell: %w", err)
		case exit.Exited():
			return fmt.Errorf("the shell has ended: %w", err)
		}
		console.WriteString("\n")
	}
}
