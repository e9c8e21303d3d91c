package trace

import "maps"

// Constants are the kernel's own names that expressions in a lab may use, with
// the values of include/uapi/linux/sched.h and asm-generic/signal.h, which are
// ABI and the same on every architecture here.
func Constants() map[string]int {
	c := map[string]int{"CSIGNAL": 0xff, "SIGCHLD": 17}
	for _, f := range CloneFlags() {
		c[f.Name] = f.Bit
	}
	return c
}

// Flag is one named bit.
type Flag struct {
	Name string
	Bit  int
}

// CloneFlags returns the flags of clone, lowest bit first
// (include/uapi/linux/sched.h).
func CloneFlags() []Flag {
	return []Flag{
		{"CLONE_VM", 0x100}, {"CLONE_FS", 0x200}, {"CLONE_FILES", 0x400}, {"CLONE_SIGHAND", 0x800},
		{"CLONE_PIDFD", 0x1000}, {"CLONE_PTRACE", 0x2000}, {"CLONE_VFORK", 0x4000}, {"CLONE_PARENT", 0x8000},
		{"CLONE_THREAD", 0x10000}, {"CLONE_NEWNS", 0x20000}, {"CLONE_SYSVSEM", 0x40000}, {"CLONE_SETTLS", 0x80000},
		{"CLONE_PARENT_SETTID", 0x100000}, {"CLONE_CHILD_CLEARTID", 0x200000}, {"CLONE_DETACHED", 0x400000},
		{"CLONE_UNTRACED", 0x800000}, {"CLONE_CHILD_SETTID", 0x1000000}, {"CLONE_NEWCGROUP", 0x2000000},
		{"CLONE_NEWUTS", 0x4000000}, {"CLONE_NEWIPC", 0x8000000}, {"CLONE_NEWUSER", 0x10000000},
		{"CLONE_NEWPID", 0x20000000}, {"CLONE_NEWNET", 0x40000000}, {"CLONE_IO", 0x80000000},
	}
}

// Env returns what an expression of a lab sees of this event. Words are Go ints
// that keep all 64 bits, so a kernel address is a negative number: sums,
// differences and equality come out right, order does not.
//
//	point, symbol         strings
//	address, cpu, round   ints
//	task                  {address, pid, tgid, comm}
//	reg, arg, read        name → int
//	pc, sp, ret           the registers of those roles, named by roles
//	role → register name, such as {"pc": "rip"}, comes from the caller.
func (e Event) Env(roles map[string]string) map[string]any {
	env := map[string]any{
		"point": e.Point, "symbol": e.Symbol, "address": int(e.Address),
		"cpu": e.CPU, "round": e.Round,
	}
	if e.Task != nil {
		env["task"] = map[string]any{
			"address": int(e.Task.Address), "pid": e.Task.PID, "tgid": e.Task.TGID, "comm": e.Task.Comm,
		}
	}
	reg, arg := map[string]int{}, map[string]int{}
	for name, v := range e.Registers {
		reg[name] = int(v)
	}
	for _, a := range e.Args {
		arg[a.Name] = int(a.Value)
	}
	read := map[string]int{}
	for name, v := range e.Reads {
		read[name] = int(v)
	}
	env["reg"], env["arg"], env["read"] = reg, arg, read
	for role, name := range roles {
		if v, ok := reg[name]; ok {
			env[role] = v
		}
	}
	return env
}

// With returns env with the constants and more added.
func With(env map[string]any, more map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range Constants() {
		out[k] = v
	}
	maps.Copy(out, env)
	maps.Copy(out, more)
	return out
}
