package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// errSleeps says that a command only sleeps, which no busy host makes it do.
var errSleeps = errors.New("the command only sleeps")

// watch calls end when a process and all that it has started have only slept for as long
// as idle. A process that waits for a processor, for a disk or for whoever stopped it does
// not sleep.
func watch(ctx context.Context, pid int, idle time.Duration, end func(error)) {
	tick := time.NewTicker(max(idle/10, time.Millisecond))
	defer tick.Stop()
	var last int64
	since := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		used, sleep := sleeping(pid)
		if now := time.Now(); !sleep || used != last {
			last, since = used, now
		} else if now.Sub(since) >= idle {
			end(errSleeps)
			return
		}
	}
}

// sleeping reports whether all threads of a process and of its descendants sleep, and how
// much processor time these have used, in ticks.
func sleeping(pid int) (used int64, sleep bool) {
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if p, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			if s, err := readStat(path); err == nil {
				parents[p] = s.parent
			}
		}
	}
	family := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for p, parent := range parents {
			if family[parent] && !family[p] {
				family[p], grown = true, true
			}
		}
	}
	for p := range family {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p))
		if len(threads) == 0 {
			return 0, false // it has ended meanwhile
		}
		for _, path := range threads {
			s, err := readStat(path)
			if err != nil || !strings.Contains("SZX", s.state) {
				return 0, false
			}
			used += s.used
		}
	}
	return used, true
}

// stat is what is read of a thread's stat file (proc_pid_stat(5)).
type stat struct {
	state  string // "S" sleeps
	parent int
	used   int64 // processor time in ticks
}

func readStat(path string) (s stat, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	// The name in parentheses may hold anything.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 13 {
		return s, fmt.Errorf("%s: %d fields", path, len(f))
	}
	user, uerr := strconv.ParseInt(f[11], 10, 64)
	system, serr := strconv.ParseInt(f[12], 10, 64)
	s.state, s.used = f[0], user+system
	s.parent, err = strconv.Atoi(f[1])
	return s, errors.Join(err, uerr, serr)
}
