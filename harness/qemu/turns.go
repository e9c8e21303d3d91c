package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// realTime is the scheduling of QEMU's threads in a machine of several vCPUs, all but the
// one that runs the vCPUs: ahead of all ordinary threads.
func realTime() *unix.SchedAttr { return &unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 1} }

// TurnsRepeat returns nil where machines of several vCPUs run the same way each time, else
// the reason: this process may not give QEMU a real-time priority.
//
// With a guest's own time one thread of QEMU runs all vCPUs in turn. When one of them
// stops at a breakpoint, the thread goes on with the next until QEMU's main loop, another
// thread, has stopped the machine, and how far the next one comes is up to the host's
// scheduler. So all of QEMU gets one processor of the host, where the thread of the vCPUs
// comes last: the main loop runs as soon as it is woken, and the machine stops at once.
//
// The main loop must also not be woken by the host's clock: a wake while the guest is at a
// deadline runs the guest's timers in that loop, and the vCPUs then take turns at other
// instructions. See settings for the announcement of a restored machine.
func TurnsRepeat() error {
	tried := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		tried <- unix.SchedSetAttr(0, realTime(), 0)
	}()
	if err := <-tried; err != nil {
		return fmt.Errorf("give QEMU a real-time priority: %w (it takes root, CAP_SYS_NICE or ulimit -r 1)", err)
	}
	return nil
}

// takeTurns schedules the threads of a machine that has not run yet in this way.
func (vm *VM) takeTurns(ctx context.Context) error {
	type cpu struct {
		Thread int `json:"thread-id"`
	}
	var cpus []cpu
	if err := vm.monitor.ask(ctx, "query-cpus-fast", &cpus); err != nil {
		return vm.because("ask for the threads of the vCPUs", err)
	}
	one, err := oneOf(vm.PID())
	if err != nil {
		return err
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", vm.PID()))
	if err != nil {
		return err
	}
	// The main thread is the first, and what it makes from then on is scheduled like it.
	for _, t := range threads {
		thread, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		attr := realTime()
		if slices.ContainsFunc(cpus, func(c cpu) bool { return c.Thread == thread }) {
			attr = &unix.SchedAttr{Policy: unix.SCHED_NORMAL}
		}
		err = unix.SchedSetaffinity(thread, one)
		if err == nil {
			err = unix.SchedSetAttr(thread, attr, 0)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended
			return fmt.Errorf("schedule thread %d of %s: %w", thread, vm.name, err)
		}
	}
	return nil
}

// oneOf returns one of the processors that a process may use. Processes are spread over
// them.
func oneOf(pid int) (*unix.CPUSet, error) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &all); err != nil {
		return nil, err
	}
	nth := pid % all.Count()
	for cpu := 0; ; cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		if nth == 0 {
			one.Set(cpu)
			return &one, nil
		}
		nth--
	}
}
