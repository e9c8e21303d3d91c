// Command twice is kthread with the switch turned on, off and on again.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
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
	turn("never")
	turn("always")
	fmt.Printf("%s while huge pages are on: %s\n", name, find(name))
	turn("never")
	// The write returned when the thread's function had. The task takes a moment
	// more to go.
	for i := 0; i < 100 && find(name) != none; i++ {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Printf("%s after: %s\n", name, find(name))
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
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, f := range files {
		status, _ := os.ReadFile(f) // a process may have ended meanwhile
		if field(status, "Name") == name {
			parent, _ := os.ReadFile("/proc/" + field(status, "PPid") + "/comm")
			return "a child of " + strings.TrimSpace(string(parent))
		}
	}
	return none
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
