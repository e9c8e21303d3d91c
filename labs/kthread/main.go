// Command kthread makes the kernel start a thread of its own, looks at it, and
// makes the kernel end it.
//
// psimon watches how long tasks wait for a CPU. The kernel runs it only while
// someone has set a trigger, so setting one is a way to have a kernel thread made.
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// The program inherits /proc/pressure/cpu, opened by root, as this descriptor.
	pressure = 3
	// Notify whoever polls the file when tasks have waited for the CPU for half of
	// the last second. Nobody polls it here. The kernel replaces the last byte by a
	// NUL.
	trigger = "some 500000 1000000\n"

	name = "psimon"
	none = "none"
)

func main() {
	// The lab watches the task that asks for the thread.
	runtime.LockOSThread()
	file := os.NewFile(pressure, "/proc/pressure/cpu")
	if _, err := file.Stat(); err != nil {
		// In the guest's shell nobody has opened it, and the program is root's.
		file, err = os.OpenFile("/proc/pressure/cpu", os.O_RDWR, 0)
		check(err)
	}
	fmt.Printf("%s before: %s\n", name, find(name))
	_, err := file.WriteString(trigger)
	check(err)
	fmt.Printf("%s while a trigger is set: %s\n", name, find(name))
	if slices.Contains(os.Args[1:], "user-helper") { // lab run kthread --what-if
		// The kernel does not have this family, so it looks for a module.
		const noFamily = 11 // AF_ROSE
		syscall.Socket(noFamily, syscall.SOCK_STREAM, 0)
	}
	if slices.Contains(os.Args[1:], "keep-open") { // lab run kthread --what-if
		runtime.KeepAlive(file)
		return
	}
	// The kernel forgets a trigger when its file is closed.
	check(file.Close())
	// The call returned when the thread's function had. The task takes a moment
	// more to go.
	for i := 0; i < 100 && find(name) != none; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Printf("%s after: %s\n", name, find(name))
	os.Exit(task("status", 0))
}

// task returns a value of a student's task, which is an argument NAME=VALUE, or the lab's
// own.
func task(name string, own int) int {
	for _, arg := range os.Args[1:] {
		if text, ok := strings.CutPrefix(arg, name+"="); ok {
			if n, err := strconv.Atoi(text); err == nil {
				return n
			}
		}
	}
	return own
}

// check ends the program when there is an error.
func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// find says who the parent of the process of that name is.
func find(name string) string {
	processes, _ := os.ReadDir("/proc")
	for _, p := range processes {
		// A process may have ended meanwhile, and much of this is no process.
		if comm(p.Name()) == name {
			status, _ := os.ReadFile("/proc/" + p.Name() + "/status")
			return "a child of " + comm(field(status, "PPid"))
		}
	}
	return none
}

// comm returns the name of a process, "" when there is none.
func comm(pid string) string {
	if pid == "" || pid[0] < '0' || pid[0] > '9' {
		return ""
	}
	name, _ := os.ReadFile("/proc/" + pid + "/comm")
	return strings.TrimSpace(string(name))
}

// field returns a line of a status file.
func field(status []byte, key string) string {
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
