package task

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"kernellab/harness/trace"
)

// Info describes a task. A part that the task does not have (a kernel thread has no
// memory) is empty. For a part that could not be read Unread has the reason.
type Info struct {
	trace.Task
	// FullName is a kernel thread's name if it is too long for comm.
	FullName     string   `json:"full_name,omitempty"`
	CPU          int      `json:"cpu"`
	Running      bool     `json:"running"` // on its CPU now
	State        State    `json:"state"`
	Flags        uint64   `json:"flags"`
	FlagNames    []string `json:"flag_names"`
	KernelThread bool     `json:"kernel_thread"`

	RealParent *trace.Task  `json:"real_parent,omitempty"`
	Parent     *trace.Task  `json:"parent,omitempty"` // the task that waits for it: a traced task's tracer
	Traced     bool         `json:"traced,omitempty"`
	Leader     *trace.Task  `json:"group_leader,omitempty"`
	Children   []trace.Task `json:"children,omitempty"`
	Siblings   []trace.Task `json:"siblings,omitempty"`
	Threads    []trace.Task `json:"threads,omitempty"` // of its group, itself included
	LWPs       []LWP        `json:"lwps,omitempty"`    // the same, with their states and times
	Group      int          `json:"process_group,omitempty"`
	Session    int          `json:"session,omitempty"`
	TTY        *Terminal    `json:"tty,omitempty"` // the controlling terminal

	Exe  string   `json:"exe,omitempty"`
	Root string   `json:"root,omitempty"`
	Cwd  string   `json:"cwd,omitempty"`
	Args []string `json:"args,omitempty"`

	Files   []File   `json:"files,omitempty"`
	Times   Times    `json:"times"`
	Clock   *Clock   `json:"clock,omitempty"` // of the guest, at the stop
	Memory  *Memory  `json:"memory,omitempty"`
	Creds   *Creds   `json:"credentials,omitempty"`
	Signals *Signals `json:"signals,omitempty"`

	Thread Thread `json:"thread_info"`
	Stack  Stack  `json:"stack"`

	Unread map[string]string `json:"unread,omitempty"`
}

// Thread holds fields of thread_info.
type Thread struct {
	Flags   uint64   `json:"flags"`
	CPU     int      `json:"cpu"`
	Preempt *Preempt `json:"preempt_count,omitempty"`
}

// NoTaskError is returned for a pid that no task has.
type NoTaskError struct {
	PID   int
	Count int // number of tasks
}

func (e *NoTaskError) Error() string {
	return fmt.Sprintf("the guest has no task with pid %d; lab ps lists its %d tasks", e.PID, e.Count)
}

// note reports whether a part could be read, and records err if not.
func (i *Info) note(what string, err error) bool {
	if err == nil {
		return true
	}
	if i.Unread == nil {
		i.Unread = map[string]string{}
	}
	i.Unread[what] = err.Error()
	return false
}

// Limits of lists of tasks. PID_MAX_LIMIT is 4 million, but guests have a few hundred.
const (
	maxTasks   = 1 << 16
	maxThreads = 1 << 14
)

// Processes lists the leaders of all thread groups, the idle task first. With an error
// it also returns the leaders found until then.
func (v *View) Processes(ctx context.Context) ([]uint64, error) {
	sym, err := v.im.Symbols.Lookup("init_task")
	if err != nil {
		return nil, fmt.Errorf("list the tasks: %w", err)
	}
	out := []uint64{sym.Addr}
	f, err := v.field("task_struct", "tasks")
	if err != nil {
		return nil, fmt.Errorf("list the tasks: %w", err)
	}
	all, err := v.list(ctx, sym.Addr+uint64(f.Offset), "task_struct", "tasks", maxTasks)
	for _, o := range all {
		out = append(out, o.addr)
	}
	if err != nil {
		err = fmt.Errorf("list the tasks: %w", err)
	}
	return out, err
}

// Threads lists the tasks in the thread group of the task at addr.
func (v *View) Threads(ctx context.Context, addr uint64) ([]uint64, error) {
	signal, err := v.object("task_struct", addr).member(ctx, "signal")
	if err != nil {
		return nil, err
	}
	f, err := v.field("signal_struct", "thread_head")
	if err != nil {
		return nil, err
	}
	all, err := v.list(ctx, signal.addr+uint64(f.Offset), "task_struct", "thread_node", maxThreads)
	var out []uint64
	for _, o := range all {
		out = append(out, o.addr)
	}
	return out, err
}

// Find returns the address of the task with a pid, which may be a thread. The error
// is a *NoTaskError if there is none.
func (v *View) Find(ctx context.Context, pid int) (uint64, error) {
	leaders, listErr := v.Processes(ctx)
	count := 0
	for _, leader := range leaders {
		threads := []uint64{leader}
		if t, err := v.Threads(ctx, leader); err == nil && leader != leaders[0] {
			threads = t
		}
		for _, addr := range threads {
			count++
			t, err := v.Identify(ctx, addr)
			if err == nil && t.PID == pid {
				return addr, nil
			}
		}
	}
	if listErr != nil {
		return 0, listErr
	}
	return 0, &NoTaskError{pid, count}
}

// Identify reads the pid, tgid and name of the task at addr. It returns an error for
// memory that cannot be a task.
func (v *View) Identify(ctx context.Context, addr uint64) (trace.Task, error) {
	task := v.object("task_struct", addr)
	t := trace.Task{Address: trace.Word(addr)}
	if err := task.valid("the task"); err != nil {
		return t, err
	}
	pid, err := task.number(ctx, "pid")
	if err != nil {
		return t, err
	}
	tgid, err := task.number(ctx, "tgid")
	if err != nil {
		return t, err
	}
	comm, err := task.raw(ctx, "comm")
	if err != nil {
		return t, err
	}
	t.PID, t.TGID = int(int32(pid)), int(int32(tgid))
	end := -1
	for i, c := range comm {
		if c == 0 {
			end = i
			break
		}
	}
	const maxPID = 4 << 20 // PID_MAX_LIMIT
	if t.PID < 0 || t.TGID < 0 || t.PID > maxPID || t.TGID > maxPID || end < 0 {
		return t, fmt.Errorf("there is no task at %#x: pid %d, tgid %d", addr, t.PID, t.TGID)
	}
	t.Comm = string(comm[:end])
	return t, nil
}

func (v *View) identifyAll(ctx context.Context, all []object) ([]trace.Task, error) {
	var out []trace.Task
	var errs []error
	for _, o := range all {
		t, err := v.Identify(ctx, o.addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, t)
	}
	return out, errors.Join(errs...)
}

// Brief reads the parts of a task that a list of tasks shows: its identity, state,
// flags, parent, CPU and the sizes of its memory.
func (v *View) Brief(ctx context.Context, addr uint64) (*Info, error) {
	id, err := v.Identify(ctx, addr)
	if err != nil {
		return nil, err
	}
	i := &Info{Task: id}
	task := v.object("task_struct", addr)
	i.State, err = v.state(ctx, task)
	i.note("state", err)
	i.Flags, err = task.number(ctx, "flags")
	i.note("flags", err)
	i.FlagNames = flagNames(i.Flags)
	i.KernelThread = i.Flags&flagKthread != 0
	cpu, err := task.first(ctx, "thread_info.cpu", "cpu")
	if i.note("cpu", err) {
		i.CPU = int(cpu)
	}
	i.Running, err = v.running(ctx, task, i.CPU)
	i.note("running", err)
	i.FullName, err = v.fullName(ctx, i, task)
	i.note("full_name", err)
	i.RealParent = v.relative(ctx, i, task, "real_parent")
	i.Memory = v.memory(ctx, i, task)
	return i, nil
}

// running reports whether a task runs on its CPU. on_cpu is not sufficient: it stays
// set until the next task has finished the switch.
func (v *View) running(ctx context.Context, task object, cpu int) (bool, error) {
	if on, err := task.number(ctx, "on_cpu"); err != nil || on == 0 {
		return false, err
	}
	f, err := v.field("rq", "curr")
	if err != nil {
		return false, err
	}
	queues, err := v.im.Symbols.Lookup("runqueues")
	if err != nil {
		return false, err
	}
	var buf [8]byte
	err = v.perCPU(ctx, cpu, queues.Addr+uint64(f.Offset), buf[:])
	return binary.LittleEndian.Uint64(buf[:]) == task.addr, err
}

// fullName reads the name of a kernel thread if it is too long for comm. From 5.17 on
// struct kthread has it (kernel/kthread.c).
func (v *View) fullName(ctx context.Context, i *Info, task object) (string, error) {
	if !i.KernelThread || !task.has("worker_private") || !v.object("kthread", 0).has("full_name") {
		return "", nil
	}
	private, err := task.number(ctx, "worker_private")
	if err != nil || private == 0 {
		return "", err
	}
	at, err := v.object("kthread", private).number(ctx, "full_name")
	if err != nil || at == 0 {
		return "", err
	}
	return v.text(ctx, at, 256)
}

func (v *View) relative(ctx context.Context, i *Info, task object, member string) *trace.Task {
	o, err := task.member(ctx, member)
	if err == nil {
		var t trace.Task
		if t, err = v.Identify(ctx, o.addr); err == nil {
			return &t
		}
	}
	i.note(member, err)
	return nil
}

// Inspect reads all parts of the task at addr. regs are the registers of the stopped
// CPU if the task runs on it, and nil otherwise.
func (v *View) Inspect(ctx context.Context, addr uint64, regs map[string]uint64) (*Info, error) {
	i, err := v.Brief(ctx, addr)
	if err != nil {
		return nil, err
	}
	task := v.object("task_struct", addr)
	i.Parent = v.relative(ctx, i, task, "parent")
	traced, err := task.number(ctx, "ptrace")
	i.note("ptrace", err)
	i.Traced = traced != 0
	i.Leader = v.relative(ctx, i, task, "group_leader")
	v.family(ctx, i, task)
	v.places(ctx, i, task)
	if has, err := task.number(ctx, "files"); i.note("files", err) && has != 0 {
		i.Files, err = v.files(ctx, task)
		i.note("files", err)
	}
	i.LWPs = v.lwps(ctx, i)
	v.session(ctx, i, task)
	i.Times = v.times(ctx, i, task)
	i.Clock, err = v.Clock(ctx)
	i.note("clock", err)
	i.Creds = v.creds(ctx, i, task)
	i.Signals = v.signals(ctx, i, task)
	i.Thread.CPU = i.CPU
	i.Thread.Flags, err = task.number(ctx, "thread_info.flags")
	i.note("thread_info.flags", err)
	n, err := v.preemptCount(ctx, task, i.CPU, i.Running)
	if i.note("thread_info.preempt_count", err) {
		i.Thread.Preempt = splitPreempt(n, len(v.arch.Current.Preempt) > 0)
	}
	i.Stack = v.stack(ctx, i, task, regs)
	return i, ctx.Err()
}

// family lists the task's children, siblings and threads.
func (v *View) family(ctx context.Context, i *Info, task object) {
	read := func(what string, of object, head, member string) []trace.Task {
		f, err := v.field("task_struct", head)
		if !i.note(what, err) {
			return nil
		}
		all, err := v.list(ctx, of.addr+uint64(f.Offset), "task_struct", member, maxTasks)
		found, err2 := v.identifyAll(ctx, all)
		i.note(what, errors.Join(err, err2))
		return found
	}
	i.Children = read("children", task, "children", "sibling")
	if i.RealParent != nil && i.RealParent.Address != i.Address {
		for _, t := range read("siblings", v.object("task_struct", uint64(i.RealParent.Address)), "children", "sibling") {
			if t.Address != i.Address {
				i.Siblings = append(i.Siblings, t)
			}
		}
	}
	threads, err := v.Threads(ctx, task.addr)
	i.note("threads", err)
	for _, addr := range threads {
		t, err := v.Identify(ctx, addr)
		if i.note("threads", err) {
			i.Threads = append(i.Threads, t)
		}
	}
}

// places reads the task's executable, directories and arguments.
func (v *View) places(ctx context.Context, i *Info, task object) {
	if fs, err := task.number(ctx, "fs"); i.note("fs", err) && fs != 0 {
		for what, to := range map[string]*string{"root": &i.Root, "pwd": &i.Cwd} {
			path, err := v.object("fs_struct", fs).member(ctx, what)
			if err == nil {
				*to, err = v.path(ctx, path)
			}
			i.note(what, err)
		}
	}
	mm, err := task.number(ctx, "mm")
	if !i.note("mm", err) || mm == 0 {
		return
	}
	space := v.object("mm_struct", mm)
	if exe, err := space.number(ctx, "exe_file"); i.note("exe", err) && exe != 0 {
		path, err := v.object("file", exe).member(ctx, "f_path")
		if err == nil {
			i.Exe, err = v.path(ctx, path)
		}
		i.note("exe", err)
	}
	i.Args, err = v.args(ctx, space)
	i.note("args", err)
}
