package task

import (
	"context"
	"errors"
	"time"
)

// Clock is the guest's time by its own timekeeping, as of the last timer interrupt in
// which the kernel counted it: kernel/time/timekeeping.c.
type Clock struct {
	// Now is the time since boot, time of suspension included: the clock of Times.Start
	// and CLOCK_BOOTTIME.
	Now time.Duration `json:"now_ns"`
	// Booted is the time of day at boot, in ns since 1970: btime in /proc/stat has its
	// seconds. It changes when someone sets the clock.
	Booted int64 `json:"booted_unix_ns"`
}

// Clock reads the guest's clock. In the middle of a timer interrupt it is the time that
// this interrupt has counted so far.
func (v *View) Clock(ctx context.Context) (*Clock, error) {
	// The kernel counts in a copy of its timekeeper and publishes it afterwards. Until
	// 6.12 the copy is a variable; from 6.13 on, it is next to the published one, and from
	// 6.17 on in the first element of an array.
	at, err := v.im.Symbols.Lookup("shadow_timekeeper")
	keeper := v.object("timekeeper", at.Addr)
	if err != nil {
		at, err2 := v.im.Symbols.Lookup("timekeeper_data")
		if err2 != nil {
			at, err2 = v.im.Symbols.Lookup("tk_core")
		}
		if err2 != nil {
			return nil, errors.Join(err, err2)
		}
		if keeper, err = v.object("tk_data", at.Addr).member(ctx, "shadow_timekeeper"); err != nil {
			return nil, err
		}
	}
	read := func(path string) int64 {
		n, rerr := keeper.number(ctx, path)
		err = errors.Join(err, rerr)
		return int64(n)
	}
	err = nil
	day := read("xtime_sec")*int64(time.Second) + read("tkr_mono.xtime_nsec")>>(read("tkr_mono.shift")&63)
	sinceStart := day + read("wall_to_monotonic.tv_sec")*int64(time.Second) + read("wall_to_monotonic.tv_nsec")
	suspended := read("offs_boot")
	c := &Clock{Now: time.Duration(sinceStart + suspended), Booted: read("offs_real") - suspended}
	return c, err
}

// LWP is a thread of a process: a light-weight process in the words of ps -L and
// of Solaris.
type LWP struct {
	TID     int           `json:"tid"`
	Comm    string        `json:"comm"`
	State   State         `json:"state"`
	CPU     int           `json:"cpu"`
	Running bool          `json:"running"`
	Start   time.Duration `json:"start_ns"`
	User    time.Duration `json:"user_ns"`
	System  time.Duration `json:"system_ns"`
	Ran     time.Duration `json:"ran_ns"`
}

// lwps reads the threads of the group that i lists.
func (v *View) lwps(ctx context.Context, i *Info) (all []LWP) {
	for _, t := range i.Threads {
		o := v.object("task_struct", uint64(t.Address))
		l := LWP{TID: t.PID, Comm: t.Comm}
		var err error
		l.State, err = v.state(ctx, o)
		i.note("lwps.state", err)
		cpu, err := o.first(ctx, "thread_info.cpu", "cpu")
		i.note("lwps.cpu", err)
		l.CPU = int(cpu)
		l.Running, err = v.running(ctx, o, l.CPU)
		i.note("lwps.running", err)
		l.Start, l.User, l.System, l.Ran = v.own(ctx, i, o)
		all = append(all, l)
	}
	return all
}

// own reads the times of one task.
func (v *View) own(ctx context.Context, i *Info, task object) (start, user, system, ran time.Duration) {
	read := func(paths ...string) time.Duration {
		n, err := task.first(ctx, paths...)
		i.note(paths[0], err)
		return time.Duration(n)
	}
	return read("start_boottime", "start_time"), read("utime"), read("stime"), read("se.sum_exec_runtime")
}

// Terminal is a controlling terminal.
type Terminal struct {
	Name   string `json:"name"`
	Device uint64 `json:"device"` // as in field 7 of /proc/PID/stat
}

// session reads the process group, the session and the controlling terminal of a
// task's process.
func (v *View) session(ctx context.Context, i *Info, task object) {
	signal, err := task.member(ctx, "signal")
	if !i.note("signal", err) {
		return
	}
	// include/linux/pid_types.h: PIDTYPE_PGID, PIDTYPE_SID
	for which, to := range map[string]*int{"pids[2]": &i.Group, "pids[3]": &i.Session} {
		addr, err := signal.number(ctx, which)
		if err == nil && addr != 0 { // the idle task has none
			var f uint64
			f, err = v.pidNumber(ctx, addr)
			*to = int(int32(f))
		}
		i.note("signal."+which, err)
	}
	addr, err := signal.number(ctx, "tty")
	if !i.note("tty", err) || addr == 0 {
		return
	}
	tty, term := v.object("tty_struct", addr), &Terminal{}
	if !i.note("tty", tty.valid("signal_struct.tty")) {
		return
	}
	name, err := tty.member(ctx, "name")
	if err == nil {
		term.Name, err = v.text(ctx, name.addr, 64)
	}
	i.note("tty.name", err)
	driver, err := tty.member(ctx, "driver")
	if i.note("tty.driver", err) {
		index, err := tty.number(ctx, "index")
		i.note("tty.index", err)
		major, err := driver.number(ctx, "major")
		i.note("tty.driver.major", err)
		start, err := driver.number(ctx, "minor_start")
		i.note("tty.driver.minor_start", err)
		minor := start + index
		term.Device = minor&0xff | major<<8 | minor&^0xff<<12 // new_encode_dev
	}
	i.TTY = term
}

// pidNumber reads the number of a struct pid in the guest's first pid namespace.
func (v *View) pidNumber(ctx context.Context, addr uint64) (uint64, error) {
	pid := v.object("pid", addr)
	if err := pid.valid("signal_struct.pids"); err != nil {
		return 0, err
	}
	f, err := v.field("pid", "numbers")
	if err != nil {
		return 0, err
	}
	return v.object("upid", addr+uint64(f.Offset)).number(ctx, "nr")
}
