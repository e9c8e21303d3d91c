package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// What a program may take of its guest's memory. Processes are accounted for in a
// control group, with most of what the kernel keeps for them: page tables, stacks,
// pipes, sockets, locks. Beside that, an ordinary user can make the kernel keep memory
// that belongs to no process, which nothing frees when the program is killed, or that no
// group is charged for: bounds has what limits it. In the worst case all of it together
// is less than the group leaves, on every kernel: the agent has to answer, and to kill.

// memoryMax is what the processes of programs may have, in bytes. Together they end when
// they want more: then no process is left that waits for one that was killed.
const memoryMax = 96 << 20

// bounds are values of the kernel's files below /proc/sys. A kernel lacks those that it
// has no use for.
var bounds = [][2]string{
	// System V: semaphores of 64 bytes, in all 4000; messages, of which each empty one
	// takes 64 bytes and counts as one of msgmnb; pages of shared memory. Nothing of it
	// ends with a process.
	{"kernel/sem", "250 4000 100 64"},
	{"kernel/msgmni", "16"},
	{"kernel/msgmnb", "8192"},
	{"kernel/shmall", "4096"},
	{"kernel/shmmni", "64"},
	// POSIX message queues, of which a user may have 800 KiB (RLIMIT_MSGQUEUE).
	{"fs/mqueue/queues_max", "16"},
	// Open files, of all processes together, and with them sockets and their buffers.
	// Netlink's are charged to nobody.
	{"fs/file-max", "512"},
	{"net/core/rmem_default", "32768"},
	{"net/core/rmem_max", "32768"},
	{"net/core/wmem_default", "32768"},
	{"net/core/wmem_max", "32768"},
	{"net/core/optmem_max", "8192"},
	// Pages of pipes, of all processes together.
	{"fs/pipe-user-pages-soft", "1024"},
	{"fs/pipe-user-pages-hard", "2048"},
	// Each watch keeps an inode.
	{"fs/inotify/max_user_watches", "256"},
	{"fs/inotify/max_user_instances", "16"},
	{"fs/inotify/max_queued_events", "256"},
	{"fs/fanotify/max_user_marks", "256"},
	{"fs/fanotify/max_user_groups", "16"},
	{"fs/fanotify/max_queued_events", "256"},
	{"fs/epoll/max_user_watches", "4096"},
	{"fs/aio-max-nr", "1024"},
}

// bound sets the bounds.
func bound() error {
	for _, b := range bounds {
		err := os.WriteFile(filepath.Join("/proc/sys", b[0]), []byte(b[1]), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// group is a control group of processes; "" is none.
type group string

// groups is where control groups are.
const groups = "/sys/fs/cgroup"

// makeGroup makes the group of the programs. It returns none where the kernel has no
// control groups for memory: there the other bounds are all.
func makeGroup() (group, error) {
	err := mount("cgroup2", groups, "cgroup2", "")
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	err = os.WriteFile(filepath.Join(groups, "cgroup.subtree_control"), []byte("+memory"), 0)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	g := filepath.Join(groups, "programs")
	if err := os.Mkdir(g, 0o755); err != nil {
		return "", err
	}
	for _, v := range [][2]string{{"memory.max", strconv.Itoa(memoryMax)}, {"memory.oom.group", "1"}} {
		if err := os.WriteFile(filepath.Join(g, v[0]), []byte(v[1]), 0); err != nil {
			return "", err
		}
	}
	return group(g), nil
}

// add puts a process into the group.
func (g group) add(pid int) error {
	if g == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(string(g), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("put process %d into its group: %w", pid, err)
	}
	return nil
}
