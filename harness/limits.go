package harness

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// The time limits of a run, generous on purpose: they end what hangs. They are for
// a host of the usual speed, and grow by how much slower this one is: by what is
// known of it beforehand (Job.Slowness), and by what the machine's own start took.
const (
	bootLimit    = 3 * time.Minute
	programLimit = 10 * time.Second
	answerLimit  = 20 * time.Second // for the agent to do what it was asked
	restoreLimit = 30 * time.Second // for a snapshot to run and its agent to answer
	tryLimit     = 5 * time.Second  // for the same of one that was just made
)

// What a machine's start takes on a host of the usual speed, at most.
const (
	usualBoot    = 6 * time.Second
	usualRestore = 250 * time.Millisecond
	usualPlace   = 100 * time.Millisecond // where no agent has to answer
)

// maxSlowness bounds by how much limits grow.
const maxSlowness = 30

// limit is a time limit and how it came about.
type limit struct {
	of       time.Duration
	slowness float64 // by which it was stretched, 1 for not at all
}

func (l limit) hit(what string) error {
	return &LimitError{What: what, Limit: l.of, Slowness: l.slowness}
}

// stretched is a limit on a host that is slower than usual.
func stretched(usual time.Duration, slowness float64) limit {
	slowness = min(max(slowness, 1), maxSlowness)
	return limit{time.Duration(float64(usual) * slowness), slowness}
}

// slowness is what is known of the host before the machine has started.
func (j Job) slowness() float64 { return max(j.Slowness, 1) }

// slowness is by how much the host is slower than usual, judged by how long this
// machine took to start too.
func (m *Machine) slowness() float64 {
	switch {
	case m.stands != nil:
		return max(m.known, float64(m.Restored)/float64(usualPlace), 1)
	case m.Restored > 0:
		return max(m.known, float64(m.Restored)/float64(usualRestore), 1)
	}
	return max(m.known, float64(m.Boot)/float64(usualBoot), 1)
}

// asked is the limit that the caller asked for, or the usual one stretched.
func asked(d, usual time.Duration, slowness float64) limit {
	if d > 0 {
		return limit{d, 1}
	}
	return stretched(usual, slowness)
}

// LimitError says which time limit was hit.
type LimitError struct {
	What  string
	Limit time.Duration
	// Slowness is by how much the limit was stretched because the host is slow, 1
	// for not at all.
	Slowness float64
}

func (e *LimitError) Error() string {
	s := fmt.Sprintf("%s took more than %s", e.What, e.Limit.Round(time.Millisecond))
	if e.Slowness > 1 {
		s += fmt.Sprintf(", the usual %s times %.1f for the speed of this host", time.Duration(float64(e.Limit)/e.Slowness).Round(time.Second), e.Slowness)
	}
	return s + " (raise it with --timeout)"
}

// Host is what limits depend on of the computer.
type Host struct {
	CPUs float64 // processors that this process may use, such as 0.5
	Loop time.Duration
}

// usualLoop is what the loop of MeasureHost takes on a host of the usual speed.
const usualLoop = 1500 * time.Microsecond

// MeasureHost measures how fast a processor is, which takes 2 ms and on a slow host
// some more, and reads how much of it this process may use.
func MeasureHost() Host {
	h := Host{CPUs: float64(runtime.NumCPU())}
	if q, ok := quota(os.DirFS("/")); ok {
		h.CPUs = min(h.CPUs, q)
	}
	for range 3 { // the best of them, as others use the processor too
		began := time.Now()
		if spin(1) == 0 {
			continue // never: it keeps the loop from being left out
		}
		if took := time.Since(began); h.Loop == 0 || took < h.Loop {
			h.Loop = took
		}
		if h.Loop <= usualLoop {
			break // faster makes no difference
		}
	}
	return h
}

// spin does what emulation is made of: dependent arithmetic and small loads.
func spin(x uint64) uint64 {
	var table [256]uint64
	for i := range table {
		table[i] = uint64(i) * 0x9e3779b97f4a7c15
	}
	for range 1 << 20 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		x += table[x&255]
	}
	return x | 1
}

// Slowness is by how much the host is slower than usual for one of atOnce runs
// that share it, 1 where it is not slower.
func (h Host) Slowness(atOnce int) float64 {
	s := max(float64(h.Loop)/float64(usualLoop), 1)
	if h.CPUs > 0 {
		s *= max(float64(atOnce)/h.CPUs, 1)
	}
	return min(s, maxSlowness)
}

// quota returns how many processors the control groups of this process let it
// use (the kernel's Documentation/admin-guide/cgroup-v2.rst, and
// scheduler/sched-bwc.rst for version 1).
func quota(root fs.FS) (cpus float64, ok bool) {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		base := "sys/fs/cgroup"
		switch {
		case f[0] == "0" && f[1] == "":
		case strings.Contains(","+f[1]+",", ",cpu,"):
			base = path.Join(base, "cpu")
		default:
			continue
		}
		// Each group on the way up bounds those below it. In a container the path
		// is often the host's, of which only the root can be seen.
		for dir := path.Clean("/" + f[2]); ; dir = path.Dir(dir) {
			if c, found := groupQuota(root, path.Join(base, dir)); found && (!ok || c < cpus) {
				cpus, ok = c, true
			}
			if dir == "/" {
				break
			}
		}
	}
	return cpus, ok
}

// groupQuota reads the limit of one control group.
func groupQuota(root fs.FS, dir string) (float64, bool) {
	numbers := func(name string) []string {
		data, err := fs.ReadFile(root, path.Join(dir, name))
		if err != nil {
			return nil
		}
		return strings.Fields(string(data))
	}
	f := numbers("cpu.max")
	if len(f) == 0 {
		f = append(numbers("cpu.cfs_quota_us"), numbers("cpu.cfs_period_us")...)
	}
	if len(f) != 2 {
		return 0, false
	}
	share, err1 := strconv.ParseFloat(f[0], 64) // "max", or -1, is no limit
	period, err2 := strconv.ParseFloat(f[1], 64)
	if err1 != nil || err2 != nil || share <= 0 || period <= 0 {
		return 0, false
	}
	return share / period, true
}
