package harness

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// guestRoom is what a guest may take of the host's memory: all of its own, and
// QEMU's translated code. Most take a third of it.
const guestRoom = 384 << 20

// Room is how many guests the machine has room for at once: one a processor, as
// far as free memory allows, and always one. What a container may use counts.
func Room() int { return room(runtime.GOMAXPROCS(0), freeMemory("/")) }

// AtOnce is how many guests to run at once when a person asks for n: n, or as many as
// there is Room for when n is 0.
func AtOnce(n int) int {
	if n > 0 {
		return n
	}
	return Room()
}

// room is Room for so many processors and bytes; bytes is negative when it is
// not known.
func room(processors int, bytes int64) int {
	n := max(processors, 1)
	if bytes >= 0 {
		n = min(n, int(bytes/guestRoom))
	}
	return max(n, 1)
}

// freeMemory returns what the kernel and the control group leave, in bytes, or -1
// when neither tells. root is where proc and sys are mounted.
func freeMemory(root string) int64 {
	free := int64(-1)
	least := func(n int64) {
		if free < 0 || n < free {
			free = max(n, 0)
		}
	}
	text, _ := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemAvailable:" {
			if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				least(kb << 10)
			}
		}
	}
	// In a container its own group is the root of what it sees (cgroup v2).
	group := func(name string) (int64, bool) {
		text, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", name))
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return n, err == nil // "max" is no limit
	}
	if limit, ok := group("memory.max"); ok {
		if used, ok := group("memory.current"); ok {
			least(limit - used)
		}
	}
	return free
}
