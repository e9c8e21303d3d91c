// Package trace is the evidence of a run: what was seen at every stop of the
// guest, and on what kernel, image and lab. A trace is a JSON Lines document,
// schema lab.trace/2: a header line, one line an event, and an end line without
// which the trace is incomplete and can not be graded as a pass.
//
// A trace has nothing of the host in it. It is a function of what its header names:
// the same kernel, machine, program and plan give the same bytes everywhere.
//
// The package only writes and reads traces. It judges nothing.
package trace

import (
	"fmt"
	"maps"
	"strconv"
	"time"
)

// Schema names the document and its version.
const Schema = "lab.trace/2"

// Word is an address or register: 64 bits, in JSON a string "0x…", because a
// JSON number can not hold it in every reader.
type Word uint64

func (w Word) String() string { return fmt.Sprintf("%#x", uint64(w)) }

// MarshalText encodes w as "0x…".
func (w Word) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText decodes what MarshalText wrote.
func (w *Word) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 0, 64)
	if err != nil {
		return fmt.Errorf("word %q: want a number of at most 64 bits such as 0xffffffff81000000", b)
	}
	*w = Word(v)
	return nil
}

// Header is the first line: what was run on what.
type Header struct {
	Schema  string  `json:"schema"`
	Lab     string  `json:"lab"`
	Arch    string  `json:"arch"`
	Kernel  Kernel  `json:"kernel"`
	Program Program `json:"program"`
	Machine Machine `json:"machine"`
	// Plan is the SHA-256, in hex, of what was to be stopped at and read.
	Plan   string  `json:"plan"`
	Points []Point `json:"points"`
	// Sizes are sizes of kernel types, in bytes, by type name; "stack_top" is
	// the type at the top of a user task's kernel stack, whatever its name.
	Sizes map[string]int `json:"sizes,omitempty"`
	// SwitchFrame is the number of bytes __switch_to pops between a new task's
	// saved stack pointer and its first instruction.
	SwitchFrame int `json:"switch_frame"`
	// Roles are the registers that do a thing on this architecture, by role:
	// "pc", "sp", "ret" and, where there is one, "link".
	Roles map[string]string `json:"roles"`
}

// Machine identifies the machine that the kernel ran on.
type Machine struct {
	QEMU string `json:"qemu"` // QEMU's version, "10.0.13"
	Seed uint32 `json:"seed"` // of its random numbers
	CPUs int    `json:"cpus"`
	// Args are QEMU's arguments that the guest depends on, without names of files.
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
	// Limit is what it may take of the guest's time, in ns.
	Limit time.Duration `json:"limit_ns"`
}

// Point is a point of the lab as this kernel resolved it.
type Point struct {
	Point string `json:"point"` // the lab's name for it
	// Place is the logical place in the kernel where that is another name.
	Place   string `json:"place,omitempty"`
	Symbol  string `json:"symbol"`
	Address Word   `json:"address"` // 0 of a call's return, which each call has its own of
	Why     string `json:"why"`     // which candidate was taken and why
	// Inlined is the function that the point's is inlined into, "" for one that is
	// called.
	Inlined string `json:"inlined,omitempty"`
	// Source is where it is in the kernel's source, "kernel/fork.c:2172"; "" without
	// a vmlinux.
	Source string `json:"source,omitempty"`
	// Missing says why the point can not be observed on this kernel, "" for one
	// that can.
	Missing string `json:"missing,omitempty"`
}

// The kinds of event.
const (
	KindStop    = "stop"    // the guest halted at a point
	KindProgram = "program" // the program's process was made; Task.PID is its pid
	KindExit    = "exit"    // the program ended
	KindEnd     = "end"     // the run was driven to its end; always the last line
)

// Event is one line after the header.
type Event struct {
	Seq  int    `json:"seq"` // from 1, without gaps
	Kind string `json:"kind"`
	// Time is the guest's time since the program's process was made, in ns. A stop
	// moves the guest's clock on by up to a millisecond.
	Time int64 `json:"time_ns"`

	// Of a stop:
	Point   string `json:"point,omitempty"`
	Symbol  string `json:"symbol,omitempty"`
	Address Word   `json:"address,omitempty"`
	Task    *Task  `json:"task,omitempty"`
	// Parent is that task's real_parent, where the lab asks for it.
	Parent *Task `json:"parent,omitempty"`
	// Role is who the task is to the lab, in the lab's words: "parent", "child",
	// or "" for others.
	Role string `json:"role,omitempty"`
	// Round counts the lab's calls by the program, from 1.
	Round int `json:"round,omitempty"`
	// Aside says why the stop is no step of the lab: another task, or another
	// kind of call by the same program. Such a stop carries no reads.
	Aside     string          `json:"aside,omitempty"`
	CPU       int             `json:"cpu"`
	Registers map[string]Word `json:"registers,omitempty"` // by the stub's names
	Args      []Arg           `json:"args,omitempty"`
	Reads     map[string]Word `json:"reads,omitempty"` // by the lab's names
	// Texts are the reads that give text.
	Texts map[string]string `json:"texts,omitempty"`
	// Finds are the tasks of the lab that this stop told, by role: addresses of
	// struct task_struct.
	Finds map[string]Word `json:"finds,omitempty"`
	// Arms and Disarms are the points that are armed from this stop on, and those
	// that no longer are.
	Arms    []string `json:"arms,omitempty"`
	Disarms []string `json:"disarms,omitempty"`
	// Unread says of a read that could not be made why.
	Unread map[string]string `json:"unread,omitempty"`
	// Fields are the members of the kernel's structures that were read for this
	// stop and for none before it, by path: "task_struct.thread.sp".
	Fields map[string]Field `json:"fields,omitempty"`

	// Stack is the kernel stack unwound, innermost frame first.
	Stack []Frame `json:"stack,omitempty"`
	// Stacks are kernel stacks of the lab's tasks as they lie in memory, where the
	// lab asks for them.
	Stacks []StackImage `json:"stacks,omitempty"`

	Exit *Exit `json:"exit,omitempty"`
}

// Task identifies a task as the kernel's own structures do.
type Task struct {
	Address Word   `json:"address"` // of struct task_struct
	PID     int    `json:"pid"`
	TGID    int    `json:"tgid"`
	Comm    string `json:"comm"`
}

// Arg is an argument of the function at whose entry the guest stopped.
type Arg struct {
	Name  string `json:"name"` // from BTF
	Type  string `json:"type"` // C spelling, from BTF
	Value Word   `json:"value"`
}

// Field is where this kernel keeps a member of a structure, from its BTF.
type Field struct {
	Offset int    `json:"offset"` // bytes from the start of the structure named first
	Size   int    `json:"size"`   // bytes
	Type   string `json:"type"`   // C spelling
}

// Exit is how the program ended, as the guest's agent told it.
type Exit struct {
	Code   int    `json:"code"`             // exit status when not killed
	Signal string `json:"signal,omitempty"` // "SIGSEGV" when killed
	// TimedOut says that the program was killed because it took longer than Limit, by
	// the guest's clock; Stuck that it could not be killed.
	TimedOut bool          `json:"timed_out,omitempty"`
	Stuck    bool          `json:"stuck,omitempty"`
	Limit    time.Duration `json:"limit_ns,omitempty"`
	// Stops is set when the run was ended after so many stops, for the program went
	// through the lab's points without end. Nothing else is known of it then.
	Stops  int    `json:"stops,omitempty"`
	Output string `json:"output"` // standard output and error, as kept
	// Dropped is how many bytes of output were not kept.
	Dropped int64 `json:"dropped,omitempty"`
	// Leftover counts processes of the program that outlived it.
	Leftover int `json:"leftover,omitempty"`
}

// Arg returns the value of the argument of that name.
func (e Event) Arg(name string) (Word, bool) {
	for _, a := range e.Args {
		if a.Name == name {
			return a.Value, true
		}
	}
	return 0, false
}

// Trace is a whole run.
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

// Complete reports whether the run was driven to its end.
func (t *Trace) Complete() bool {
	n := len(t.Events)
	return n > 0 && t.Events[n-1].Kind == KindEnd
}
