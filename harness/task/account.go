package task

import (
	"context"
	"encoding/binary"
	"errors"
	"math/bits"
	"time"

	"kernellab/harness/trace"
)

// Times holds a task's start and its processor time.
type Times struct {
	Start time.Duration `json:"start_ns"` // since boot, time of suspension included
	// User and System are the times of this task, counted in ticks.
	User   time.Duration `json:"user_ns"`
	System time.Duration `json:"system_ns"`
	// GroupUser and GroupSystem are the times of its thread group, scaled to the time
	// that the scheduler measured, as in ps and /proc/PID/stat.
	GroupUser   time.Duration `json:"group_user_ns"`
	GroupSystem time.Duration `json:"group_system_ns"`
	Ran         time.Duration `json:"ran_ns"` // by the scheduler's clock
}

func (v *View) times(ctx context.Context, i *Info, task object) Times {
	read := func(o object, path string) time.Duration {
		n, err := o.number(ctx, path)
		i.note(path, err)
		return time.Duration(n)
	}
	t := Times{}
	t.Start, t.User, t.System, t.Ran = v.own(ctx, i, task)
	signal, err := task.member(ctx, "signal")
	if !i.note("signal", err) {
		return t
	}
	// kernel/sched/cputime.c: thread_group_cputime and cputime_adjust
	user, system, ran := read(signal, "utime"), read(signal, "stime"), read(signal, "sum_sched_runtime")
	threads, err := v.Threads(ctx, task.addr)
	i.note("threads", err)
	for _, addr := range threads {
		o := v.object("task_struct", addr)
		user, system, ran = user+read(o, "utime"), system+read(o, "stime"), ran+read(o, "se.sum_exec_runtime")
	}
	before := [2]time.Duration{read(signal, "prev_cputime.utime"), read(signal, "prev_cputime.stime")}
	t.GroupUser, t.GroupSystem = adjust(user, system, ran, before)
	return t
}

// adjust is cputime_adjust of kernel/sched/cputime.c.
func adjust(user, system, ran time.Duration, before [2]time.Duration) (u, s time.Duration) {
	if before[0]+before[1] >= ran {
		return before[0], before[1]
	}
	switch {
	case system == 0:
		s = 0
	case user == 0:
		s = ran
	default:
		hi, lo := bits.Mul64(uint64(system), uint64(ran))
		if sum := uint64(system + user); hi < sum {
			q, _ := bits.Div64(hi, lo, sum)
			s = time.Duration(q)
		}
	}
	s = max(s, before[1])
	u = ran - s
	if u < before[0] {
		u = before[0]
		s = ran - u
	}
	return u, s
}

// Memory holds the sizes of a process's address space, in kilobytes, by the names in
// /proc/PID/status.
type Memory struct {
	Size  uint64 `json:"vm_size"`
	Peak  uint64 `json:"vm_peak"`
	RSS   uint64 `json:"vm_rss"` // the exact size of all resident pages
	Anon  uint64 `json:"rss_anon"`
	File  uint64 `json:"rss_file"`
	Shmem uint64 `json:"rss_shmem"`
	Swap  uint64 `json:"vm_swap"`
	// Quick is VmRSS by the kernel's approximate counters, which lack some pages of
	// each CPU. Kernels from 6.2 on show it.
	Quick  uint64 `json:"vm_rss_quick"`
	Data   uint64 `json:"vm_data"`
	Stack  uint64 `json:"vm_stk"`
	Text   uint64 `json:"vm_exe"`
	Locked uint64 `json:"vm_lck"`
	Tables uint64 `json:"vm_pte"`
	Maps   uint64 `json:"maps"` // mappings
}

func (v *View) memory(ctx context.Context, i *Info, task object) *Memory {
	addr, err := task.number(ctx, "mm")
	if !i.note("mm", err) || addr == 0 {
		return nil
	}
	mm := v.object("mm_struct", addr)
	if !i.note("mm", mm.valid("task_struct.mm")) {
		return nil
	}
	read := func(path string) uint64 {
		n, err := mm.number(ctx, path)
		i.note("mm."+path, err)
		return n
	}
	const kb = pageSize / 1024
	m := &Memory{
		Size: kb * read("total_vm"), Data: kb * read("data_vm"), Stack: kb * read("stack_vm"),
		Locked: kb * read("locked_vm"), Tables: read("pgtables_bytes") / 1024, Maps: read("map_count"),
	}
	m.Peak = max(m.Size, kb*read("hiwater_vm"))
	start, end := read("start_code"), read("end_code")
	m.Text = ((end+pageSize-1)&^(pageSize-1) - start&^(pageSize-1)) / 1024
	var exact, quick [4]uint64
	for n := range exact {
		exact[n], quick[n], err = v.counter(ctx, mm, n)
		i.note("mm.rss_stat", err)
	}
	// include/linux/mm_types_task.h: MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES
	m.File, m.Anon, m.Swap, m.Shmem = kb*exact[0], kb*exact[1], kb*exact[2], kb*exact[3]
	m.RSS, m.Quick = m.File+m.Anon+m.Shmem, kb*(quick[0]+quick[1]+quick[3])
	return m
}

// counter reads one of the counters of resident pages: an atomic number until
// 6.1, a percpu_counter from 6.2.
func (v *View) counter(ctx context.Context, mm object, n int) (exact, quick uint64, err error) {
	f, err := v.field("mm_struct", "rss_stat")
	if err != nil {
		return 0, 0, err
	}
	if f.Struct != "percpu_counter" {
		c, err := v.field(f.Struct, "count")
		if err != nil {
			return 0, 0, err
		}
		w, err := v.word(ctx, mm.addr+uint64(f.Offset+c.Offset+8*n))
		w = uint64(max(0, int64(w)))
		return w, w, err
	}
	size := f.Size / max(1, f.Count)
	pc := v.object("percpu_counter", mm.addr+uint64(f.Offset+n*size))
	count, err := pc.number(ctx, "count")
	if err != nil {
		return 0, 0, err
	}
	offset, err := pc.number(ctx, "counters")
	if err != nil {
		return 0, 0, err
	}
	cpus, err := v.variable(ctx, "nr_cpu_ids", 4)
	if err != nil || cpus > maxCPUs {
		return 0, 0, errors.Join(err, errTooMuch)
	}
	sum := int64(count)
	for cpu := range int(cpus) {
		var buf [4]byte
		if err := v.perCPU(ctx, cpu, offset, buf[:]); err != nil {
			return 0, 0, err
		}
		sum += int64(int32(binary.LittleEndian.Uint32(buf[:])))
	}
	return uint64(max(0, sum)), uint64(max(0, int64(count))), nil
}

// Creds are a task's objective credentials.
type Creds struct {
	UID    [4]uint32 `json:"uid"` // real, effective, saved, file system
	GID    [4]uint32 `json:"gid"`
	Groups []uint32  `json:"groups,omitempty"`
	Caps   Caps      `json:"capabilities"`
}

// Caps holds sets of capabilities, one bit each.
type Caps struct {
	Inheritable uint64 `json:"inheritable"`
	Permitted   uint64 `json:"permitted"`
	Effective   uint64 `json:"effective"`
	Bounding    uint64 `json:"bounding"`
	Ambient     uint64 `json:"ambient"`
}

const maxGroups = 65536 // NGROUPS_MAX

func (v *View) creds(ctx context.Context, i *Info, task object) *Creds {
	cred, err := task.member(ctx, "real_cred")
	if !i.note("real_cred", err) {
		return nil
	}
	c := &Creds{}
	for n, prefix := range []string{"", "e", "s", "fs"} {
		for id, to := range map[string]*uint32{"uid": &c.UID[n], "gid": &c.GID[n]} {
			w, err := cred.number(ctx, prefix+id)
			i.note("real_cred."+prefix+id, err)
			*to = uint32(w)
		}
	}
	for name, to := range map[string]*uint64{
		"cap_inheritable": &c.Caps.Inheritable, "cap_permitted": &c.Caps.Permitted, "cap_effective": &c.Caps.Effective,
		"cap_bset": &c.Caps.Bounding, "cap_ambient": &c.Caps.Ambient,
	} {
		*to, err = cred.number(ctx, name)
		i.note("real_cred."+name, err)
	}
	c.Groups, err = v.groups(ctx, cred)
	i.note("real_cred.group_info", err)
	return c
}

func (v *View) groups(ctx context.Context, cred object) ([]uint32, error) {
	info, err := cred.member(ctx, "group_info")
	if err != nil {
		return nil, err
	}
	n, err := info.number(ctx, "ngroups")
	if err != nil {
		return nil, err
	}
	f, err := v.field("group_info", "gid")
	if err != nil {
		return nil, err
	}
	if n > maxGroups {
		return nil, errTooMuch
	}
	buf := make([]byte, 4*n)
	if err := v.Read(ctx, info.addr+uint64(f.Offset), buf); err != nil {
		return nil, err
	}
	out := make([]uint32, n)
	for j := range out {
		out[j] = binary.LittleEndian.Uint32(buf[4*j:])
	}
	return out, nil
}

// Signals is a task's signal state; bit N-1 of a set is signal N.
type Signals struct {
	Pending       uint64 `json:"pending"`
	SharedPending uint64 `json:"shared_pending"`
	Blocked       uint64 `json:"blocked"`
	Ignored       uint64 `json:"ignored"`
	Caught        uint64 `json:"caught"`
	Threads       int    `json:"threads"`
	ExitSignal    int    `json:"exit_signal"` // signal to its parent at its end; -1 for a thread
	ExitCode      int    `json:"exit_code"`
	// Names has the signals of each set that is not empty, by the set's name here.
	Names map[string][]string `json:"names,omitempty"`
}

// name sets Names.
func (s *Signals) name() {
	for set, bits := range map[string]uint64{
		"pending": s.Pending, "shared_pending": s.SharedPending, "blocked": s.Blocked, "ignored": s.Ignored, "caught": s.Caught,
	} {
		var names []string
		for n := range 64 {
			if bits>>n&1 != 0 {
				names = append(names, trace.Signal(n+1))
			}
		}
		if names != nil {
			if s.Names == nil {
				s.Names = map[string][]string{}
			}
			s.Names[set] = names
		}
	}
}

func (v *View) signals(ctx context.Context, i *Info, task object) *Signals {
	s := &Signals{}
	defer s.name()
	read := func(o object, path string) uint64 {
		n, err := o.number(ctx, path)
		i.note(path, err)
		return n
	}
	s.Pending, s.Blocked = read(task, "pending.signal"), read(task, "blocked")
	s.ExitSignal, s.ExitCode = int(int32(read(task, "exit_signal"))), int(int32(read(task, "exit_code")))
	signal, err := task.member(ctx, "signal")
	if i.note("signal", err) {
		s.SharedPending = read(signal, "shared_pending.signal")
		s.Threads = int(int32(read(signal, "nr_threads")))
	}
	at, err := task.number(ctx, "sighand")
	if !i.note("sighand", err) || at == 0 { // 0 after the task has ended
		return s
	}
	action, err := v.field("sighand_struct", "action")
	if !i.note("sighand", err) || action.Count == 0 {
		return s
	}
	for n := range min(action.Count, 64) {
		k := v.object("k_sigaction", at+uint64(action.Offset+n*(action.Size/action.Count)))
		handler, err := k.number(ctx, "sa.sa_handler")
		if !i.note("sighand.action", err) {
			return s
		}
		switch handler {
		case 0: // SIG_DFL
		case 1: // SIG_IGN
			s.Ignored |= 1 << n
		default:
			s.Caught |= 1 << n
		}
	}
	return s
}
