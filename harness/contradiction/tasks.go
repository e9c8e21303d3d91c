package contradiction

import (
	"slices"
	"strings"

	"kernellab/harness/trace"
)

// tasks is what a trace has shown of the machine's tasks.
type tasks struct {
	pids      succession[trace.Word, taskKey]    // task by the address of its task_struct
	addresses succession[int, trace.Word]        // address by pid: exec gives a thread its process's
	parents   succession[taskKey, trace.Word]    // address of the parent
	pages     succession[trace.Word, taskKey]    // task by the top page of its stack
	groups    map[int]int                        // thread group by pid
	places    map[taskKey]map[string]trace.Event // the first stop of a task at each place
	released  map[trace.Word]taskKey             // the last task at an address that was released
}

func (tasks) new() tasks {
	return tasks{
		pids: succession[trace.Word, taskKey]{}, addresses: succession[int, trace.Word]{}, parents: succession[taskKey, trace.Word]{},
		pages: succession[trace.Word, taskKey]{}, groups: map[int]int{}, places: map[taskKey]map[string]trace.Event{},
		released: map[trace.Word]taskKey{},
	}
}

// taskKey is a task: addresses of task_struct are used again, and so are pids, but
// none of a run has both again.
type taskKey struct {
	address trace.Word
	pid     int
}

func key(t trace.Task) taskKey { return taskKey{t.Address, t.PID} }

// succession is what each thing had, one value after another: a value that was followed
// by another does not come back.
type succession[K, V comparable] map[K][]V

func (s succession[K, V]) see(c *checker, field string, k K, v V) {
	all := s[k]
	switch i := slices.Index(all, v); {
	case i < 0:
		s[k] = append(all, v)
	case i < len(all)-1:
		c.wrong(field, "%v was %v and then %v, and can not be %v again", k, v, all[len(all)-1], v)
	}
}

// identities checks who the tasks of a stop are.
func (c *checker) identities(e *trace.Event, _ trace.Point) {
	c.identify("task", *e.Task)
	if e.Parent != nil {
		c.identify("parent", *e.Parent)
	}
}

// identify checks who a task is.
func (c *checker) identify(field string, t trace.Task) {
	idle := strings.HasPrefix(t.Comm, "swapper")
	group, known := c.tasks.groups[t.PID]
	switch {
	case !kernelHalf(t.Address) || t.Address%8 != 0:
		c.wrong(field+".address", "%s is no task_struct", t.Address)
	case t.PID < 0 || t.TGID < 0 || (t.PID == 0) != (t.TGID == 0) || t.PID == 0 && !idle:
		c.wrong(field+".pid", "%d[%s] in the thread group %d is no task", t.PID, t.Comm, t.TGID)
	case len(t.Comm) > 15:
		c.wrong(field+".comm", "%q is too long a name", t.Comm)
	case known && group != t.TGID:
		c.wrong(field+".tgid", "%d is in the thread group %d, and was in %d", t.PID, t.TGID, group)
	}
	c.tasks.groups[t.PID] = t.TGID
	if t.PID == 0 { // each processor has such a task
		return
	}
	c.tasks.pids.see(c, field+".pid", t.Address, key(t))
	c.tasks.addresses.see(c, field+".address", t.PID, t.Address)
}

// living reports whether only a task that is not yet dying comes to a place of its own
// accord: the end of do_exit comes after the task was released, and what runs in a
// context switch before the task's first instruction.
func living(place string) bool {
	return strings.HasPrefix(place, "sys_") || slices.Contains([]string{"ret_from_fork", "ret_from_fork_kernel", "begin_new_exec", "proc_exec_connector", "do_exit"}, place)
}

// life checks that a task begins once, ends once, and does not go on after its end.
func (c *checker) life(e *trace.Event, p trace.Point) {
	if p.Address == 0 {
		return
	}
	at, who := place(p), key(*e.Task)
	before := c.tasks.places[who]
	if before == nil {
		before = map[string]trace.Event{}
		c.tasks.places[who] = before
	}
	if living(at) {
		for _, earlier := range sorted(before) {
			seq := before[earlier].Seq
			switch {
			case strings.HasPrefix(at, "ret_from_fork") && living(earlier):
				c.wrong("task", "this is the first instruction of %d[%s], which came to %s in event %d", e.Task.PID, e.Task.Comm, earlier, seq)
			case earlier == "do_exit" || earlier == "do_task_dead":
				c.wrong("task", "%d[%s] came to %s in event %d and ended there", e.Task.PID, e.Task.Comm, earlier, seq)
			}
		}
		if c.tasks.released[who.address] == who {
			c.wrong("task", "%d[%s] was released", e.Task.PID, e.Task.Comm)
		}
	}
	if _, again := before["do_task_dead"]; again && at == "do_task_dead" {
		c.wrong("task", "%d[%s] leaves its processor for the last time again", e.Task.PID, e.Task.Comm)
	}
	if _, ok := before[at]; !ok {
		before[at] = *e
	}
	if gone, ok := e.Arg("p"); ok && at == "release_task" {
		if last := c.tasks.pids[gone]; len(last) > 0 {
			c.tasks.released[gone] = last[len(last)-1]
		}
	}
	if e.Parent != nil {
		c.tasks.parents.see(c, "parent.address", who, e.Parent.Address)
	}
}

// making are the places that a new task passes while it is made, and the argument that
// is the new task.
var making = map[string]string{
	"dup_task_struct": "dst", "sched_fork": "p", "copy_thread": "p", "proc_fork_connector": "task", "wake_up_new_task": "p",
}

// births checks at a task's first instruction that all that was recorded of its making
// was about it. The making of a task that runs went through all these places, before
// its maker could begin the next.
func (c *checker) births(e *trace.Event, p trace.Point) {
	if !strings.HasPrefix(place(p), "ret_from_fork") || e.Aside != "" {
		return
	}
	child := e.Task.Address
	for i, made := range slices.Backward(c.past) {
		at := place(c.points[made.Point])
		if at != "dup_task_struct" && at != "sched_fork" || made.Aside != "" {
			continue
		}
		if made.arg(making[at]) != child {
			continue
		}
		seen := map[string]bool{at: true} // or no longer to be seen
		disarmed := func(q *trace.Event) {
			for _, name := range q.Disarms {
				seen[place(c.points[name])] = true
			}
		}
		for j, q := range c.past[i+1:] {
			disarmed(c.past[i+j].Event)
			at := place(c.points[q.Point])
			arg := making[at]
			if q.Kind != trace.KindStop || q.Task.Address != made.Task.Address || arg == "" || seen[at] || !made.armed[q.Point] {
				continue
			}
			seen[at] = true
			if v := q.arg(arg); v != 0 && v != child {
				c.wrong("task.address", "%s is not the task that its maker had at %s, in event %d: %s", child, q.Point, q.Seq, v)
			}
			if c.plan == nil {
				continue
			}
			reads := c.plan.point(q.Point).reads
			for _, name := range sorted(reads) {
				if pid, ok := q.Reads[name]; ok && reads[name].text == "arg."+arg+".pid" && pid != trace.Word(e.Task.PID) {
					c.wrong("task.pid", "%d is not the pid that the task had at %s, in event %d: %d", e.Task.PID, q.Point, q.Seq, pid)
				}
			}
		}
		return
	}
}
