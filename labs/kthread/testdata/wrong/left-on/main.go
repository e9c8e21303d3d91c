// Command left-on is kthread with the switch left on.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

const (
	toggle = "/sys/kernel/mm/transparent_hugepage/enabled"
	name   = "khugepaged"
	none   = "none"
)

func main() {
	// The lab watches the task that asks for the thread.
	runtime.LockOSThread()
	turn("never") // on a machine with more memory it would be on already
	fmt.Printf("%s before: %s\n", name, find(name))
	turn("always")
	fmt.Printf("%s while huge pages are on: %s\n", name, find(name))
	fmt.Printf("%s after: none\n", name)
}

// turn writes to the switch.
func turn(to string) {
	if err := os.WriteFile(toggle, []byte(to), 0); err != nil {
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
