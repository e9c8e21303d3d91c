package task_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/task"
	"kernellab/internal/labtest"
)

// These tests read a running kernel's tasks and compare them with what its own
// /proc says. They use the kernels in the cache.

// account is what the guest's /proc says of a process or thread.
type account struct {
	PID      int               `json:"pid"`
	Stat     string            `json:"stat"`
	Status   string            `json:"status"`
	Cmdline  []byte            `json:"cmdline"`
	Links    map[string]string `json:"links"`
	FDs      map[string]string `json:"fds"`
	Threads  []account         `json:"threads"`
	Children string            `json:"children"`
	Pages    map[string]uint64 `json:"pages"` // some entries of /proc/PID/pagemap, by address
}

// report is what the guest's /proc says of all processes.
type report struct {
	Reader    int       `json:"reader"` // the process that read it
	Processes []account `json:"processes"`
}

// tell has the guest read its /proc, and returns its processes by their numbers.
func (z *zoo) tell(t *testing.T, pipe string) (reader int, all map[int]account) {
	t.Helper()
	b, err := z.Agent.ReadFile(t.Context(), pipe)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatalf("%v: %.200q", err, b)
	}
	all = map[int]account{}
	for _, a := range r.Processes {
		if a.Stat == "" {
			continue // ended while it was read
		}
		all[a.PID] = a
	}
	return r.Reader, all
}

// stat returns the fields of /proc/PID/stat by their numbers in proc(5).
func (a account) stat(n int) string {
	switch open, end := strings.IndexByte(a.Stat, '('), strings.LastIndexByte(a.Stat, ')'); n {
	case 1:
		return a.Stat[:open-1]
	case 2:
		return a.Stat[open+1 : end]
	default:
		words := strings.Fields(a.Stat[end+1:])
		return words[n-3]
	}
}

// status returns the fields of /proc/PID/status.
func (a account) status() map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(a.Status) {
		name, value, _ := strings.Cut(line, ":")
		out[name] = strings.Join(strings.Fields(value), " ")
	}
	return out
}

// TestAgreesWithProc compares every task of a guest with its own /proc, read
// before and after: what changed in between is not compared, and that is little.
func TestAgreesWithProc(t *testing.T) {
	eachKernel(t, agree)
}

// TestFiveLevels does the same where processors have another level of page
// tables, on a kernel that knows of it. riscv64's default is five.
func TestFiveLevels(t *testing.T) {
	labtest.Long(t)
	t.Parallel()
	a, err := arch.Lookup("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	a.QEMU.CPU += ",+la57"
	for _, k := range kernels(t, a) {
		im, err := kernel.Open(k.Path)
		if err != nil {
			t.Fatal(err)
		}
		if len(im.Symbols.Named("__pgtable_l5_enabled")) > 0 {
			agree(t, openZoo(t, a, k.Path))
			return
		}
	}
	labtest.Lacking(t, a.Name, "no kernel in the cache knows of five levels: lab kernels fetch brings one")
}

// agree compares one guest.
func agree(t *testing.T, z *zoo) {
	reader, before := z.tell(t, "/zoo/before")
	ctx := t.Context()
	up := z.uptime(t)
	trips := z.Stub.RoundTrips()
	view := z.reader.View()
	leaders, err := view.Processes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	regs, current := z.stand(ctx, t)
	read := map[int]*task.Info{}
	for _, leader := range leaders {
		threads := []uint64{leader}
		if leader != leaders[0] {
			if threads, err = view.Threads(ctx, leader); err != nil {
				t.Error(err)
			}
		}
		for _, addr := range threads {
			var live map[string]uint64
			if addr == current {
				live = regs
			}
			i, err := view.Inspect(ctx, addr, live)
			if err != nil {
				t.Fatal(err)
			}
			read[i.PID] = i
		}
	}
	entries := z.entries(t, view, before, read)
	t.Logf("%d tasks read, %d exchanges; the last is at %#x", len(read), z.Stub.RoundTrips()-trips, leaders[len(leaders)-1])
	clock, err := view.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// The timer's last interrupt was before the agent read its /proc, by a tick or so.
	const tick = 20 * time.Millisecond
	if later := z.uptime(t); clock.Now < up-tick || clock.Now > later+tick {
		t.Errorf("the clock is at %s, /proc/uptime says %s before and %s after", clock.Now, up, later)
	}
	if got, want := clock.Booted/int64(time.Second), z.booted(t); got != want {
		t.Errorf("the guest booted at %d, /proc/stat says %d", got, want)
	}
	_, after := z.tell(t, "/zoo/after")
	c := comparison{t: t, read: read, reader: reader, entries: entries}
	for pid, a := range before {
		b, still := after[pid]
		if !still || a.stat(22) != b.stat(22) {
			continue
		}
		c.process(a, b)
	}
	t.Logf("%d processes, %d threads and %d values compared, %d left out because they changed meanwhile; left out: %v",
		c.processes, c.threads, c.compared, c.changed, c.why)
	t.Logf("%d page frames compared, %d controlling terminals", c.frames, c.terminals)
	if c.terminals == 0 {
		t.Errorf("no task has a controlling terminal")
	}
	if c.frames < 300 {
		t.Errorf("too few page frames were compared")
	}
	if c.processes < 40 || c.compared < 40*c.processes || c.changed*50 > c.compared {
		t.Errorf("too little was compared")
	}
}

// entries reads the page table entries of all processes of which pagemap says something.
func (z *zoo) entries(t *testing.T, view *task.View, told map[int]account, read map[int]*task.Info) map[int]map[string]task.Entry {
	mm, err := z.reader.Member("task_struct", "mm")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]map[string]task.Entry{}
	for pid, a := range told {
		if read[pid] == nil {
			continue
		}
		out[pid] = map[string]task.Entry{}
		for hex := range a.Pages {
			addr, err := strconv.ParseUint(hex, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			space, err := z.reader.Field(t.Context(), uint64(read[pid].Address), mm)
			if err == nil {
				out[pid][hex], err = view.Entry(t.Context(), space, addr)
			}
			if err != nil {
				t.Errorf("pid %d: the page of %s: %v", pid, hex, err)
			}
		}
	}
	return out
}

// pages compares page table entries with pagemap (Documentation/admin-guide/mm/pagemap.rst).
func (c *comparison) pages(i *task.Info, a, b account) {
	told := func(a account, at string) string {
		const present, frame = 1 << 63, 1<<55 - 1
		if a.Pages[at]&present == 0 {
			return "not present"
		}
		return fmt.Sprintf("frame %#x", a.Pages[at]&frame)
	}
	if i.TGID == 1 || i.TGID == c.reader {
		return // they ran in between
	}
	for at := range a.Pages {
		got := "not present"
		if e := c.entries[i.PID][at]; e.Present {
			got = fmt.Sprintf("frame %#x", e.Frame)
			c.frames++
			if !e.User {
				c.t.Errorf("pid %d (%s): the page of %s is not the user's: %#x", i.PID, i.Comm, at, e.Value)
			}
		}
		c.same(i, "page "+at, got, told(a, at), told(b, at))
	}
}

// comparison is one guest's tasks as read and as /proc has them.
type comparison struct {
	t                                     *testing.T
	read                                  map[int]*task.Info
	reader                                int // the process that read /proc
	processes, threads, compared, changed int
	entries                               map[int]map[string]task.Entry
	frames, terminals                     int
	why                                   map[string]int
}

// same compares a value with what /proc said before and after.
func (c *comparison) same(i *task.Info, what, got, before, after string) {
	if before != after && got != before && got != after {
		if c.why == nil {
			c.why = map[string]int{}
		}
		c.why[what]++
		c.changed++
		return
	}
	c.compared++
	if got != before && got != after {
		c.t.Errorf("pid %d (%s): %s is %.300q, /proc says %.300q; unread: %v", i.PID, i.Comm, what, got, before, i.Unread)
	}
}

func (c *comparison) process(a, b account) {
	i := c.read[a.PID]
	if i == nil {
		c.t.Errorf("pid %d (%s) was not read", a.PID, a.stat(2))
		return
	}
	c.processes++
	for what, why := range i.Unread {
		allowed := strings.HasPrefix(what, "thread_info.preempt_count") && strings.Contains(why, "only for the running task") ||
			what == "stack" && strings.Contains(why, "has ended")
		if !allowed {
			c.t.Errorf("pid %d (%s): %s could not be read: %s", i.PID, i.Comm, what, why)
		}
	}
	c.thread(i, a, b, true)
	c.pages(i, a, b)
	c.same(i, "cmdline", cmdline(i.Args), string(trimCmdline(a.Cmdline)), string(trimCmdline(b.Cmdline)))
	for name, got := range map[string]string{"exe": i.Exe, "cwd": i.Cwd, "root": i.Root} {
		if i.KernelThread && name == "exe" {
			continue
		}
		c.same(i, name, got, a.Links[name], b.Links[name])
	}
	got := map[string]string{}
	for _, f := range i.Files {
		got[strconv.Itoa(f.FD)] = f.Path
		if f.Unread != "" {
			c.t.Errorf("pid %d fd %d: %s", i.PID, f.FD, f.Unread)
		}
	}
	for _, fd := range keys(got, a.FDs) {
		if i.PID == c.reader && strings.HasPrefix(a.FDs[fd], "/proc/") {
			continue // that is it reading
		}
		c.same(i, "fd "+fd, got[fd], a.FDs[fd], b.FDs[fd])
	}
	var tids, want, want2 []string
	for _, t := range i.Threads {
		tids = append(tids, strconv.Itoa(t.PID))
	}
	for _, t := range a.Threads {
		want = append(want, strconv.Itoa(t.PID))
	}
	for _, t := range b.Threads {
		want2 = append(want2, strconv.Itoa(t.PID))
	}
	for _, s := range [][]string{tids, want, want2} {
		slices.Sort(s)
	}
	c.same(i, "task", strings.Join(tids, " "), strings.Join(want, " "), strings.Join(want2, " "))
	for n, t := range a.Threads {
		if n >= len(b.Threads) || b.Threads[n].PID != t.PID || t.Stat == "" || b.Threads[n].Stat == "" {
			continue
		}
		if i := c.read[t.PID]; i != nil {
			c.threads++
			c.thread(i, t, b.Threads[n], false)
			c.lwp(c.read[a.PID], i, t, b.Threads[n])
		}
	}
}

// lwp compares a thread in its process's list with /proc, and with what was read of the
// thread itself.
func (c *comparison) lwp(process, thread *task.Info, a, b account) {
	at := slices.IndexFunc(process.LWPs, func(l task.LWP) bool { return l.TID == thread.PID })
	if at < 0 {
		c.t.Errorf("pid %d (%s): its thread %d is not among its LWPs", process.PID, process.Comm, thread.PID)
		return
	}
	l := process.LWPs[at]
	own := thread.Times
	if l.Comm != thread.Comm || l.State != thread.State || l.User != own.User || l.System != own.System || l.Ran != own.Ran {
		c.t.Errorf("pid %d: the thread is %+v, and by itself %+v", thread.PID, l, own)
	}
	for n, got := range map[int]string{
		22: strconv.FormatInt(int64(l.Start/(10*time.Millisecond)), 10), 39: strconv.Itoa(l.CPU),
	} {
		c.same(thread, fmt.Sprintf("LWP stat[%d]", n), got, a.stat(n), b.stat(n))
	}
}

// uptime is what the guest's /proc/uptime says.
func (z *zoo) uptime(t *testing.T) time.Duration {
	t.Helper()
	b, err := z.Agent.ReadFile(t.Context(), "/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	up, err := time.ParseDuration(strings.Fields(string(b))[0] + "s")
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// booted is btime of the guest's /proc/stat.
func (z *zoo) booted(t *testing.T) (seconds int64) {
	t.Helper()
	b, err := z.Agent.ReadFile(t.Context(), "/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if n, _ := fmt.Sscanf(line, "btime %d", &seconds); n == 1 {
			return seconds
		}
	}
	t.Fatal("/proc/stat has no btime")
	return 0
}

func keys(a, b map[string]string) []string {
	var out []string
	for _, m := range []map[string]string{a, b} {
		for k := range m {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// trimCmdline takes off what the kernel ends the arguments with.
func trimCmdline(b []byte) []byte { return bytes.TrimSuffix(b, []byte{0}) }

func cmdline(args []string) string { return strings.Join(args, "\x00") }

// thread compares what stat and status say of any thread; the times of a
// process are those of its group.
func (c *comparison) thread(i *task.Info, a, b account, group bool) {
	check := func(what, got, before, after string) { c.same(i, what, got, before, after) }
	ticks := func(d time.Duration) string { return strconv.FormatInt(int64(d/(10*time.Millisecond)), 10) }
	sa, sb := a.status(), b.status()
	parent := "0"
	if i.RealParent != nil && i.RealParent.Address != i.Address {
		parent = strconv.Itoa(i.RealParent.TGID)
	}
	stat := map[int]string{
		1: strconv.Itoa(i.PID), 3: i.State.Letter, 4: parent, 9: strconv.FormatUint(i.Flags, 10),
		5: strconv.Itoa(i.Group), 6: strconv.Itoa(i.Session), 7: "0",
		22: ticks(i.Times.Start), 39: strconv.Itoa(i.CPU),
	}
	if i.TTY != nil {
		c.terminals++
		stat[7] = strconv.FormatUint(i.TTY.Device, 10)
		if i.TTY.Name != "ttyS0" {
			c.t.Errorf("pid %d (%s): its terminal is %q", i.PID, i.Comm, i.TTY.Name)
		}
	}
	if !strings.HasPrefix(i.Comm, "kworker/") { // /proc adds the work to the name
		stat[2] = i.Comm
		if i.FullName != "" && a.stat(2) != i.Comm { // of workqueues only some kernels show it
			stat[2] = i.FullName
		}
	}
	if group {
		stat[14], stat[15] = ticks(i.Times.GroupUser), ticks(i.Times.GroupSystem)
		if i.State.Letter != "Z" {
			stat[20] = strconv.Itoa(len(i.Threads))
		}
	}
	status := map[string]string{
		"State": fmt.Sprintf("%s (%s)", i.State.Letter, i.State.Words), "Tgid": strconv.Itoa(i.TGID), "Pid": strconv.Itoa(i.PID),
	}
	if i.Creds != nil {
		status["Uid"], status["Gid"] = words(i.Creds.UID[:]), words(i.Creds.GID[:])
		status["Groups"] = words(i.Creds.Groups)
		for name, set := range map[string]uint64{
			"CapInh": i.Creds.Caps.Inheritable, "CapPrm": i.Creds.Caps.Permitted, "CapEff": i.Creds.Caps.Effective,
			"CapBnd": i.Creds.Caps.Bounding, "CapAmb": i.Creds.Caps.Ambient,
		} {
			status[name] = fmt.Sprintf("%016x", set)
		}
	}
	if s := i.Signals; s != nil {
		for name, set := range map[string]uint64{
			"SigPnd": s.Pending, "ShdPnd": s.SharedPending, "SigBlk": s.Blocked, "SigIgn": s.Ignored, "SigCgt": s.Caught,
		} {
			status[name] = fmt.Sprintf("%016x", set)
		}
	}
	status["TracerPid"] = "0"
	if i.Traced && i.Parent != nil {
		status["TracerPid"] = strconv.Itoa(i.Parent.PID)
	}
	// A task that ran in between may have been caught at it.
	if i.TGID == 1 || i.TGID == c.reader || sa["voluntary_ctxt_switches"] != sb["voluntary_ctxt_switches"] {
		// How its time divides into user's and system's may change as well, and
		// until 6.1 a flag says that it sleeps (PF_FREEZER_SKIP).
		for _, n := range []int{3, 9, 14, 15} {
			delete(stat, n)
		}
		delete(status, "State")
	}
	if m := i.Memory; m != nil {
		for name, n := range map[string]uint64{
			"VmSize": m.Size, "VmPeak": m.Peak, "VmData": m.Data, "VmStk": m.Stack, "VmExe": m.Text, "VmLck": m.Locked,
			"VmPTE": m.Tables, "VmSwap": m.Swap,
		} {
			status[name] = fmt.Sprintf("%d kB", n)
		}
		// Kernels differ in which of the two they show.
		status["VmRSS"] = fmt.Sprintf("%d kB", m.RSS)
		if quick := fmt.Sprintf("%d kB", m.Quick); sa["VmRSS"] == quick {
			status["VmRSS"] = quick
		}
	}
	for n, got := range stat {
		check(fmt.Sprintf("stat[%d]", n), got, a.stat(n), b.stat(n))
	}
	for name, got := range status {
		check(name, got, sa[name], sb[name])
	}
	if !group {
		var children []string
		for _, t := range i.Children {
			children = append(children, strconv.Itoa(t.PID))
		}
		check("children", strings.Join(children, " "), strings.TrimSpace(a.Children), strings.TrimSpace(b.Children))
	}
}

func words(ns []uint32) string {
	var out []string
	for _, n := range ns {
		out = append(out, strconv.FormatUint(uint64(n), 10))
	}
	return strings.Join(out, " ")
}
