package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits bound a command. The zero value of each has a default.
type Limits struct {
	CPU      time.Duration // processor time, 20 s
	Wall     time.Duration // by the clock, thirty times that: a busy host is not the stranger's fault
	Idle     time.Duration // by the clock, in which it only sleeps, as long as CPU
	Memory   int64         // bytes of data, a process, 512 MiB
	FileSize int64         // bytes, a file, 64 MiB
	Output   int           // bytes kept of what is printed, 16 KiB
}

func (l *Limits) defaults() {
	if l.CPU <= 0 {
		l.CPU = 20 * time.Second
	}
	if l.Wall <= 0 {
		l.Wall = 30 * l.CPU
	}
	if l.Idle <= 0 {
		l.Idle = l.CPU
	}
	if l.Memory <= 0 {
		l.Memory = 512 << 20
	}
	if l.FileSize <= 0 {
		l.FileSize = 64 << 20
	}
	if l.Output <= 0 {
		l.Output = 16 << 10
	}
}

// limits returns the start of a command line that sets the limits. The hard limit
// of the processor time is later than the soft: SIGXCPU can be told from a kill.
func limits(prlimit string, l Limits) []string {
	cpu := int64((l.CPU + time.Second - 1) / time.Second)
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	return []string{
		prlimit, "--cpu=" + n(cpu) + ":" + n(cpu+2), "--data=" + n(l.Memory), "--fsize=" + n(l.FileSize),
		"--core=0", "--nofile=256", "--",
	}
}

const (
	sigXCPU = 128 + int(syscall.SIGXCPU)
	sigXFSZ = 128 + int(syscall.SIGXFSZ)
	sigKill = 128 + int(syscall.SIGKILL)
)

// outOfMemory is what compilers say when they are refused memory.
var outOfMemory = []string{
	"cannot allocate memory", "out of memory", "memory exhausted", "failed to reserve memory", "bad_alloc",
}

// exceeded finds the limit that ended a command which used so much processor time.
func exceeded(r Result, used time.Duration, l Limits) string {
	if r.Code == 0 {
		return ""
	}
	output := strings.ToLower(r.Output)
	said := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(output, t) })
	}
	switch {
	case r.Code == sigXCPU || used >= l.CPU || said("sigxcpu", "cpu time limit exceeded"):
		return fmt.Sprintf("more than %s of processor time", l.CPU)
	case r.Code == sigXFSZ || said("sigxfsz", "file size limit exceeded", "file too large"):
		return fmt.Sprintf("a file of more than %d MiB", l.FileSize>>20)
	case r.Code == sigKill || said(outOfMemory...):
		return fmt.Sprintf("more than %d MiB of memory", l.Memory>>20)
	}
	return ""
}

// output is what a command prints to: a file that has no name. A source can have the
// compiler read it through /proc/self/fd, where a pipe would let the compiler wait for
// itself.
type output struct{ *os.File }

func newOutput() (output, error) {
	f, err := os.CreateTemp("", "lab-output")
	if err != nil {
		return output{}, err
	}
	return output{f}, os.Remove(f.Name())
}

// start returns the first bytes of what was printed, and how many there are beyond.
func (o output) start(most int) string {
	b := make([]byte, most)
	n, _ := o.ReadAt(b, 0)
	s := strings.ToValidUTF8(string(b[:n]), "\uFFFD")
	if info, err := o.Stat(); err == nil && info.Size() > int64(n) {
		s += fmt.Sprintf("\n… and %d bytes more\n", info.Size()-int64(n))
	}
	return s
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
