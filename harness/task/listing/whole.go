package listing

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kernellab/harness/task"
	"kernellab/harness/trace"
)

// reasons returns the parts that could not be read, each with the reason.
func reasons(unread map[string]string) []string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(unread)) {
		out = append(out, what+": "+unread[what])
	}
	return out
}

// sheet is text in two columns.
type sheet struct{ b strings.Builder }

func (s *sheet) row(label, format string, args ...any) {
	text := plain(fmt.Sprintf(format, args...))
	if text != "" {
		fmt.Fprintf(&s.b, "%-14s %s\n", label, text)
	}
}

func (s *sheet) head(text string) { fmt.Fprintf(&s.b, "\n%s\n", text) }

// Task writes all parts of a task.
func Task(w io.Writer, i *task.Info) error {
	var s sheet
	s.who(i)
	s.family(i)
	s.places(i)
	s.accounts(i)
	s.signals(i)
	s.lwps(i)
	s.files(i)
	s.stack(i)
	if len(i.Unread) > 0 {
		s.head("Not read")
		for _, r := range reasons(i.Unread) {
			fmt.Fprintf(&s.b, "  %s\n", plain(r))
		}
	}
	return written(w, &s.b)
}

func (s *sheet) who(i *task.Info) {
	s.row("task", "%s", i.Address)
	s.row("pid", "%d  tgid %d", i.PID, i.TGID)
	s.row("comm", "%s", i.Comm)
	s.row("full name", "%s", i.FullName)
	on := ""
	if i.Running {
		on = ", running now"
	}
	s.row("cpu", "%d%s", i.CPU, on)
	s.row("state", "%s (%s)", i.State.Letter, i.State.Words)
	s.row("flags", "%#x %s", i.Flags, strings.Join(i.FlagNames, " "))
}

func (s *sheet) family(i *task.Info) {
	one := func(label string, t *trace.Task) {
		if t != nil {
			s.row(label, "%d[%s]", t.PID, t.Comm)
		}
	}
	many := func(label string, ts []trace.Task) {
		var out []string
		for _, t := range ts {
			out = append(out, fmt.Sprintf("%d[%s]", t.PID, t.Comm))
		}
		s.row(label, "%s", strings.Join(short(out), " "))
	}
	one("real parent", i.RealParent)
	if i.Parent != nil && i.RealParent != nil && i.Parent.Address != i.RealParent.Address || i.Traced {
		one("traced by", i.Parent)
	}
	if i.PID != i.TGID {
		one("group leader", i.Leader)
	}
	many("children", i.Children)
	many("siblings", i.Siblings)
	if len(i.Threads) > 1 {
		many("threads", i.Threads)
	}
	if i.Session != 0 || i.Group != 0 {
		tty := "no terminal"
		if i.TTY != nil {
			tty = "terminal " + i.TTY.Name
		}
		s.row("session", "%d, process group %d, %s", i.Session, i.Group, tty)
	}
}

// short shortens a long list.
func short(list []string) []string {
	const most = 12
	if len(list) <= most {
		return list
	}
	return append(slices.Clone(list[:most-1]), fmt.Sprintf("… %d more", len(list)-most+1))
}

func (s *sheet) places(i *task.Info) {
	s.row("exe", "%s", i.Exe)
	s.row("cwd", "%s", i.Cwd)
	s.row("root", "%s", i.Root)
	var args []string
	for _, a := range i.Args {
		args = append(args, fmt.Sprintf("%q", a))
	}
	s.row("args", "%s", strings.Join(args, " "))
}

func (s *sheet) accounts(i *task.Info) {
	t := i.Times
	tick := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	started := tick(t.Start) + " after boot"
	if c := i.Clock; c != nil {
		at := time.Unix(0, c.Booted).Add(t.Start).UTC()
		started += fmt.Sprintf(", %s ago: at %s", tick(c.Now-t.Start), at.Format("2006-01-02 15:04:05.000 UTC"))
	}
	s.row("started", "%s", started)
	s.row("ran", "%s; user %s, system %s; its group: user %s, system %s",
		t.Ran.Round(time.Microsecond), tick(t.User), tick(t.System), tick(t.GroupUser), tick(t.GroupSystem))
	if m := i.Memory; m != nil {
		s.row("memory", "size %d kB (peak %d), resident %d kB (anon %d, file %d, shmem %d), swap %d kB",
			m.Size, m.Peak, m.RSS, m.Anon, m.File, m.Shmem, m.Swap)
		s.row("", "text %d kB, data %d kB, stack %d kB, page tables %d kB, %d mappings", m.Text, m.Data, m.Stack, m.Tables, m.Maps)
	}
	if c := i.Creds; c != nil {
		s.row("uid", "%d  effective %d  saved %d  fs %d", c.UID[0], c.UID[1], c.UID[2], c.UID[3])
		s.row("gid", "%d  effective %d  saved %d  fs %d  groups %v", c.GID[0], c.GID[1], c.GID[2], c.GID[3], c.Groups)
		s.row("capabilities", "effective %016x  permitted %016x  inheritable %016x  bounding %016x  ambient %016x",
			c.Caps.Effective, c.Caps.Permitted, c.Caps.Inheritable, c.Caps.Bounding, c.Caps.Ambient)
	}
}

// brief shortens a set of most signals to those that it lacks.
func brief(names []string) []string {
	const all = 64
	if len(names) <= all/2 {
		return names
	}
	out := []string{"all"}
	for n := 1; n <= all; n++ {
		if name := trace.Signal(n); !slices.Contains(names, name) {
			if len(out) == 1 {
				out = append(out, "but")
			}
			out = append(out, name)
		}
	}
	return out
}

// exitSignal names the signal that a task's parent gets at its end.
func exitSignal(n int) string {
	if n < 0 {
		return "none (a thread)"
	}
	return trace.Signal(n)
}

// lwps writes the threads of a process that has several.
func (s *sheet) lwps(i *task.Info) {
	if len(i.LWPs) < 2 {
		return
	}
	s.head("Threads (LWPs)")
	t := tabwriter.NewWriter(&s.b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "  TID\tST\tCPU\tSTARTED\tRAN\tUSER\tSYSTEM\tCOMM\n")
	for _, l := range i.LWPs {
		mark := "  "
		if l.Running {
			mark = "> "
		}
		fmt.Fprintf(t, "%s%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", mark, l.TID, l.State.Letter, l.CPU, l.Start.Round(time.Millisecond),
			l.Ran.Round(time.Microsecond), l.User.Round(time.Millisecond), l.System.Round(time.Millisecond), plain(l.Comm))
	}
	t.Flush()
}

func (s *sheet) signals(i *task.Info) {
	if g := i.Signals; g != nil {
		s.row("signals", "pending %016x  shared %016x  blocked %016x  ignored %016x  caught %016x",
			g.Pending, g.SharedPending, g.Blocked, g.Ignored, g.Caught)
		for _, set := range []string{"pending", "shared_pending", "blocked", "ignored", "caught"} {
			if names := g.Names[set]; len(names) > 0 {
				s.row("", "%s: %s", strings.TrimSuffix(set, "_pending"), strings.Join(brief(names), " "))
			}
		}
		s.row("", "exit signal %s, exit code %#x", exitSignal(g.ExitSignal), g.ExitCode)
	}
	s.row("thread_info", "flags %#x  cpu %d", i.Thread.Flags, i.Thread.CPU)
	if p := i.Thread.Preempt; p != nil {
		s.row("preempt_count", "%s", p)
	}
}

func (s *sheet) files(i *task.Info) {
	if len(i.Files) == 0 {
		return
	}
	s.head("Open files")
	for _, f := range i.Files {
		text := fmt.Sprintf("%-10s %s", f.Kind, f.Path)
		if f.Unread != "" {
			text += "  (not read: " + f.Unread + ")"
		}
		fmt.Fprintf(&s.b, "  %4d  %s\n", f.FD, plain(text))
	}
}

func (s *sheet) stack(i *task.Info) {
	k := i.Stack
	if k.Top == 0 {
		return
	}
	s.head("Kernel stack")
	s.row("  top", "%s", k.Top)
	if k.Bottom < k.SP && k.SP <= k.Top {
		s.row("  pointer", "%s (%d bytes below the top)", k.SP, k.Top-k.SP)
	} else {
		s.row("  pointer", "%s (another stack: the processor's for interrupts, or the program's own)", k.SP)
	}
	s.row("  bottom", "%s, magic %s", k.Bottom, k.Magic)
	s.slots("User registers saved at the top", k.User)
	s.slots("Saved by the switch", k.Switch)
}

func (s *sheet) slots(title string, slots []trace.Slot) {
	if len(slots) == 0 {
		return
	}
	s.head(title)
	for n, slot := range slots {
		fmt.Fprintf(&s.b, "  %-12s %-18s", slot.Name, slot.Value)
		if n%3 == 2 || n == len(slots)-1 {
			s.b.WriteByte('\n')
		}
	}
}
