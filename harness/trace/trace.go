// Package trace writes and reads traces. A trace records every stop of the guest in a
// run. It is a JSON Lines document with schema lab.trace/2: a header that identifies
// the kernel, machine, program and lab, one line per event, and an end event. A trace
// without an end event is incomplete and cannot pass.
//
// A trace does not depend on the host: the same kernel, machine, program and plan give
// the same bytes everywhere.
package trace

import (
	"fmt"
	"maps"
	"strconv"
	"time"
)

// Schema names the document and its version.
const Schema = "lab.trace/2"

// Word is an address or register of 64 bits. In JSON it is a string "0x…", because not
// every reader of JSON numbers keeps 64 bits.
type Word uint64

func (w Word) String() string { return fmt.Sprintf("%#x", uint64(w)) }

// MarshalText encodes w as "0x…".
func (w Word) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText decodes the result of MarshalText.
func (w *Word) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 0, 64)
	if err != nil {
		return fmt.Errorf("word %q: want a number of at most 64 bits such as 0xffffffff81000000", b)
	}
	*w = Word(v)
	return nil
}

// Header is the first line of a trace.
type Header struct {
	Schema  string  `json:"schema"`
	Lab     string  `json:"lab"`
	Arch    string  `json:"arch"`
	Kernel  Kernel  `json:"kernel"`
	Program Program `json:"program"`
	Machine Machine `json:"machine"`
	// Plan is the SHA-256, in hex, of the lab's plan: its points and reads.
	Plan   string  `json:"plan"`
	Points []Point `json:"points"`
	// Variant has the values of the lab's variants in a student's task, by name; nil
	// is the lab's own task.
	Variant map[string]string `json:"variant,omitempty"`
	// Instead are points at other ways to do what the lab is about. Stops there are
	// asides.
	Instead []Point `json:"instead,omitempty"`
	// Sizes are sizes of kernel types, in bytes, by type name. "stack_top" is the
	// type at the top of a user task's kernel stack.
	Sizes map[string]int `json:"sizes,omitempty"`
	// SwitchFrame is the number of bytes that __switch_to pops between a new task's
	// saved stack pointer and its first instruction.
	SwitchFrame int `json:"switch_frame"`
	// Roles are names of registers by role: "pc", "sp", "ret" and, where the
	// architecture has one, "link".
	Roles map[string]string `json:"roles"`
}

// Machine identifies the machine that the kernel ran on.
type Machine struct {
	QEMU string `json:"qemu"` // QEMU's version, "10.0.13"
	Seed uint32 `json:"seed"` // of its random numbers
	CPUs int    `json:"cpus"`
	// Args are those of QEMU's arguments that affect the guest, without names of files.
	Args []string `json:"args"`
	// Initramfs is the SHA-256 of the initramfs, in hex.
	Initramfs string `json:"initramfs"`
}

// Kernel identifies the kernel that ran.
type Kernel struct {
	Release string `json:"release"` // uname -r
	Banner  string `json:"banner"`  // "Linux version …"
	SHA256  string `json:"sha256"`  // of the image file
}

// Program identifies the program that ran in the guest.
type Program struct {
	Name   string   `json:"name"`
	SHA256 string   `json:"sha256"` // of its executable
	Args   []string `json:"args,omitempty"`
	// Script is the text that set ftrace up and ran the program, "" for none.
	Script string `json:"script,omitempty"`
	// Limit is its time limit by the guest's clock, in ns.
	Limit time.Duration `json:"limit_ns"`
}

// Point is a point of the lab as this kernel resolved it.
type Point struct {
	Point string `json:"point"` // the lab's name for it
	// Place is the point's name in points.yaml, if it differs.
	Place   string `json:"place,omitempty"`
	Symbol  string `json:"symbol"`
	Address Word   `json:"address"` // 0 for a call's return, whose address varies
	Why     string `json:"why"`     // why Symbol was chosen
	// Inlined is the function into which the point's function is inlined, "" if it
	// is called.
	Inlined string `json:"inlined,omitempty"`
	// Source is the point's source position, such as "kernel/fork.c:2172", or ""
	// without a vmlinux.
	Source string `json:"source,omitempty"`
	// Missing says why the point cannot be observed on this kernel, "" if it can.
	Missing string `json:"missing,omitempty"`
}

// The kinds of event.
const (
	KindStop    = "stop"    // the guest halted at a point
	KindProgram = "program" // the program's process was made; Task.PID is its pid
	KindFtrace  = "ftrace"  // what the kernel's own tracer recorded, before the exit event
	KindExit    = "exit"    // the program ended
	KindEnd     = "end"     // the run was driven to its end; always the last line
)

// Event is one line after the header.
type Event struct {
	Seq  int    `json:"seq"` // from 1, without gaps
	Kind string `json:"kind"`
	// Time is the guest's time since the program's process was made, in ns. A stop
	// advances the guest's clock by up to a millisecond.
	Time int64 `json:"time_ns"`

	// The fields up to Stacks belong to a stop.
	Point   string `json:"point,omitempty"`
	Symbol  string `json:"symbol,omitempty"`
	Address Word   `json:"address,omitempty"`
	Task    *Task  `json:"task,omitempty"`
	// Parent is the real_parent of Task, if the lab reads it.
	Parent *Task `json:"parent,omitempty"`
	// Role is the role of Task in the lab, such as "parent" or "child", or "" for
	// other tasks.
	Role string `json:"role,omitempty"`
	// Round counts the lab's calls by the program, from 1.
	Round int `json:"round,omitempty"`
	// Aside says why the stop is not part of the lab: another task, or another
	// kind of call by the same program. Such a stop has no reads.
	Aside string `json:"aside,omitempty"`
	// ByOther is true for an aside at which the point's condition holds: only the task is
	// another.
	ByOther   bool            `json:"by_other,omitempty"`
	CPU       int             `json:"cpu"`
	Registers map[string]Word `json:"registers,omitempty"` // by the stub's names
	Args      []Arg           `json:"args,omitempty"`
	Reads     map[string]Word `json:"reads,omitempty"` // by the lab's names
	// Texts are the reads whose values are text.
	Texts map[string]string `json:"texts,omitempty"`
	// Finds are the lab's tasks that were found at this stop, by role: addresses of
	// struct task_struct.
	Finds map[string]Word `json:"finds,omitempty"`
	// Arms and Disarms are the points that are armed and disarmed at this stop.
	Arms    []string `json:"arms,omitempty"`
	Disarms []string `json:"disarms,omitempty"`
	// Unread has the reads that failed, with the reasons.
	Unread map[string]string `json:"unread,omitempty"`
	// Fields are the members of the kernel's structures that were read for this
	// stop but not before, by path: "task_struct.thread.sp".
	Fields map[string]Field `json:"fields,omitempty"`

	// Stack is the unwound kernel stack, innermost frame first.
	Stack []Frame `json:"stack,omitempty"`
	// Stacks are kernel stacks of the lab's tasks, if the lab reads them.
	Stacks []StackImage `json:"stacks,omitempty"`

	Exit   *Exit   `json:"exit,omitempty"`
	Ftrace *Ftrace `json:"ftrace,omitempty"`
}

// Task identifies a task by fields of its task_struct.
type Task struct {
	Address Word   `json:"address"` // of struct task_struct
	PID     int    `json:"pid"`
	TGID    int    `json:"tgid"`
	Comm    string `json:"comm"`
}

// Arg is an argument of the function at whose entry the guest is stopped.
type Arg struct {
	Name  string `json:"name"` // from BTF
	Type  string `json:"type"` // C spelling, from BTF
	Value Word   `json:"value"`
}

// Field is the position of a member of a structure in this kernel, from BTF.
type Field struct {
	Offset int    `json:"offset"`         // bytes from the start of the outermost structure
	Size   int    `json:"size"`           // bytes
	Type   string `json:"type"`           // C spelling
	Bits   int    `json:"bits,omitempty"` // of a bit field, which may take fewer bytes than its type
}

// Exit says how the program ended, as the guest's agent reported it.
type Exit struct {
	Code   int    `json:"code"`             // exit status, unless killed
	Signal string `json:"signal,omitempty"` // such as "SIGSEGV", if killed
	// TimedOut says that the program was killed because it took longer than Limit, by
	// the guest's clock. Stuck says that it could not be killed.
	TimedOut bool          `json:"timed_out,omitempty"`
	Stuck    bool          `json:"stuck,omitempty"`
	Limit    time.Duration `json:"limit_ns,omitempty"`
	// Stops is set if the run was ended after this number of stops, because the
	// program may never have stopped calling the lab's points. The other fields are
	// unknown then.
	Stops int `json:"stops,omitempty"`
	// Panic is the message of the kernel's panic, if the lab expects one and it ended the
	// run, without PanicSign. Code is -1 then, and Output is the line of the console.
	Panic  string `json:"panic,omitempty"`
	Output string `json:"output"` // standard output and error
	// Dropped is the number of bytes missing from Output, which has a limit.
	Dropped int64 `json:"dropped,omitempty"`
	// Leftover is the number of the program's processes that outlived it.
	Leftover int `json:"leftover,omitempty"`
}

// PanicSign is how the kernel's report of a panic begins, with the message behind it.
const PanicSign = "Kernel panic - not syncing: "

// Arg returns the value of the argument with a name.
func (e Event) Arg(name string) (Word, bool) {
	for _, a := range e.Args {
		if a.Name == name {
			return a.Value, true
		}
	}
	return 0, false
}

// Trace is the trace of a run.
type Trace struct {
	Header Header
	Events []Event
}

// Fields returns all members that were read in the run, by path.
func (t *Trace) Fields() map[string]Field {
	all := map[string]Field{}
	for _, e := range t.Events {
		maps.Copy(all, e.Fields)
	}
	return all
}

// Complete reports whether the trace has its end event.
func (t *Trace) Complete() bool {
	n := len(t.Events)
	return n > 0 && t.Events[n-1].Kind == KindEnd
}
