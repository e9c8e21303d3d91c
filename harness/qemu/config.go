package qemu

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/arch"
	"kernellab/internal/shell"
)

// Config describes one virtual machine. Arch and Kernel are needed; the zero
// value of the rest is the documented default.
type Config struct {
	Arch   arch.Arch
	Kernel string // image file, given to -kernel
	Initrd string // initramfs file, "" for none
	Append string // more kernel command line, after the harness's own
	Memory int    // MiB, default 256
	CPUs   int    // default 1; with more, the order of a lab's stops may vary
	// Command starts QEMU: a program, looked up in PATH, and its first arguments,
	// which precede Args. The default is Arch.QEMU.Binary. To set variables in
	// QEMU's environment, use env(1).
	Command []string
	// Seed is the seed of the machine's random numbers. Runs with the same seed
	// repeat.
	Seed uint32
	// Interactive makes the guest's time follow the host's while the guest is idle,
	// for a person who types. Without it an idle guest uses a whole processor.
	Interactive bool
	// GDBSocket and ConsoleSocket are paths of unix sockets that the gdbstub and
	// the console listen on, for the user's programs. The default for each is
	// an inherited socket pair: see VM.GDB and VM.Console.
	GDBSocket, ConsoleSocket string
	// Halted starts the machine stopped, before its first instruction.
	Halted bool

	// RAM is a file of Size bytes to map the guest's memory from. Save and Restore
	// need it. The default is anonymous memory.
	RAM *os.File
	// Incoming starts the machine without booting it: it waits for Restore
	// and Cont, and maps RAM copy-on-write. With Shared it maps RAM shared, so
	// that it can be saved again; the guest's writes then change the file.
	Incoming, Shared bool
}

// defaultMemory is enough for every kernel and lab of the course, in MiB.
const defaultMemory = 256

// firstFD is the first number of exec.Cmd.ExtraFiles in the child.
const firstFD = 3

// inherited is a descriptor that QEMU inherits.
type inherited string

const (
	inheritsOutput  inherited = "the console's output" // a pipe
	inheritsConsole inherited = "the console"          // a socket, like the next two
	inheritsGDB     inherited = "the gdbstub"
	inheritsMonitor inherited = "the monitor"
	inheritsRAM     inherited = "the guest's memory" // a file
)

// inherits returns the descriptors that QEMU inherits, in the order of their numbers.
func (c Config) inherits() []inherited {
	var all []inherited
	switch {
	case c.output():
		all = append(all, inheritsOutput)
	case c.ConsoleSocket == "":
		all = append(all, inheritsConsole)
	}
	if c.GDBSocket == "" {
		all = append(all, inheritsGDB)
	}
	all = append(all, inheritsMonitor)
	if c.RAM != nil {
		all = append(all, inheritsRAM)
	}
	return all
}

// fd returns the number of an inherited descriptor in QEMU.
func (c Config) fd(i inherited) int { return firstFD + slices.Index(c.inherits(), i) }

// command returns Command or its default.
func (c Config) command() []string {
	if len(c.Command) > 0 {
		return c.Command
	}
	return []string{c.Arch.QEMU.Binary}
}

// Path returns the executable that Start runs.
func (c Config) Path() string { return c.command()[0] }

// name returns QEMU's name for messages. The executable of a longer command may be
// a dynamic loader.
func (c Config) name() string {
	if len(c.Command) > 1 {
		return c.Arch.QEMU.Binary
	}
	return c.Path()
}

// CommandLine returns the kernel's command line.
//
//   - nokaslr: the addresses in kallsyms are the ones the kernel runs at.
//   - oops=panic panic=-1 with -no-reboot: an oops ends the machine at once.
//   - loglevel=4: the console shows warnings and errors. An oops raises the level.
//   - cryptomgr.notests: no self-tests of ciphers, which take seconds, in part while
//     the first programs run.
//   - lab.seed: the kernel seeds its random numbers with the command line, among
//     others (start_kernel in init/main.c). On x86_64 nothing else depends on -seed.
func (c Config) CommandLine() string {
	words := []string{"console=" + c.Arch.QEMU.Console, "nokaslr", "oops=panic", "panic=-1", "loglevel=4", "cryptomgr.notests"}
	if c.Seed != 0 {
		words = append(words, fmt.Sprintf("%s=%d", seedWord, c.Seed))
	}
	for _, w := range []string{c.Arch.QEMU.Append, c.Append} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// seedWord is a parameter that the kernel ignores.
const seedWord = "lab.seed"

// Args returns QEMU's arguments. The result depends on c alone.
func (c Config) Args() []string {
	chardev := func(id, path string, i inherited) string {
		if path != "" {
			return fmt.Sprintf("socket,id=%s,server=on,wait=off,path=%s", id, escape(path))
		}
		return fmt.Sprintf("socket,id=%s,fd=%d", id, c.fd(i))
	}
	console := []string{"-chardev", chardev("console", c.ConsoleSocket, inheritsConsole)}
	if c.output() {
		// A socket holds only some 280 bytes that have not been read, as each has its
		// own overhead. Then the serial port's timing would depend on the reader.
		console = []string{"-add-fd", fmt.Sprintf("set=%d,fd=%d", consoleSet, c.fd(inheritsOutput)), "-chardev", fmt.Sprintf("file,id=console,path=/dev/fdset/%d,append=on", consoleSet)}
	}
	args := slices.Concat(c.machine(c.memory()), console, []string{"-serial", "chardev:console",
		"-chardev", chardev("gdb", c.GDBSocket, inheritsGDB), "-gdb", "chardev:gdb",
		"-chardev", chardev("qmp", "", inheritsMonitor), "-mon", "chardev=qmp,mode=control"})
	if c.RAM != nil {
		args = append(args, "-object", c.backend(c.fd(inheritsRAM)))
	}
	if c.Incoming {
		args = append(args, "-incoming", "defer")
	}
	if c.Halted || c.Incoming {
		args = append(args, "-S")
	}
	return args
}

// output reports whether the console is a pipe, which can only be read.
func (c Config) output() bool { return !c.Interactive && c.ConsoleSocket == "" }

// consoleSet is the number of the set of descriptors that the console's pipe is in.
const consoleSet = 1

// memory returns the part of -M that selects the guest's memory.
func (c Config) memory() string {
	if c.RAM == nil {
		return ""
	}
	return ",memory-backend=ram"
}

// backend returns the object that maps the guest's memory from descriptor fd.
func (c Config) backend(fd int) string {
	return fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=/proc/self/fd/%d,share=%s", cmp.Or(c.Memory, defaultMemory), fd, onOff(!c.Incoming || c.Shared))
}

// Size returns the size of the guest's memory in bytes, and so of a file for RAM.
func (c Config) Size() int64 { return int64(cmp.Or(c.Memory, defaultMemory)) << 20 }

// Identity returns the arguments that a snapshot of the machine depends on, without
// the names of files. Machines with the same identity, version of QEMU, kernel and
// initramfs can restore each other's snapshots.
func (c Config) Identity() []string {
	c.Kernel = ""
	if c.Initrd != "" {
		c.Initrd = "initrd"
	}
	return c.machine(",memory-backend=ram")
}

// Replay returns a shell command that runs the same machine by hand, with the
// console on the terminal and the gdbstub on a socket in the current folder.
func (c Config) Replay() string {
	words := slices.Concat(c.command(), c.machine(""))
	words = append(words, "-serial", "mon:stdio", "-gdb", "unix:gdb.sock,server=on,wait=off")
	for i, w := range words {
		words[i] = shell.Quote(w)
	}
	return strings.Join(words, " ")
}

// machine returns the arguments that Args and Replay share.
func (c Config) machine(memory string) []string {
	q := c.Arch.QEMU
	args := []string{
		"-M", q.Machine + memory, "-cpu", q.CPU, "-accel", "tcg",
		"-m", strconv.Itoa(cmp.Or(c.Memory, defaultMemory)), "-smp", strconv.Itoa(cmp.Or(c.CPUs, 1)),
		// No default devices, no user's configuration, no network.
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
	}
	args = append(args, c.time()...)
	// A restored machine has its kernel and initramfs in memory.
	if !c.Incoming || q.KernelROM {
		args = append(args, "-kernel", c.Kernel, "-append", c.CommandLine())
	}
	if c.Initrd != "" && !c.Incoming {
		args = append(args, "-initrd", c.Initrd)
	}
	return append(args, q.Devices...)
}

// epoch is the initial time of a guest's real-time clock.
const epoch = "2026-01-01T00:00:00"

// ClockStep limits how far a guest's clock advances while a debugger has stopped the
// guest, in microseconds of the guest's time.
//
// A vCPU that stops for the debugger counts as idle until QEMU has stopped the
// machine, and the clock of an idle machine jumps to the next armed timer
// (icount_start_warp_timer in accel/tcg/icount-common.c). That is milliseconds away as
// a rule, and there is no limit if the guest has armed no timer. So a network filter
// with nothing to filter keeps a timer armed. A shorter step costs time: with 100 the
// course ran a quarter slower on x86_64.
const ClockStep = 1000

// clockFilter is the name of the object whose timer limits the clock's steps.
const clockFilter = "clock"

// time returns the arguments that make the guest's time depend only on its
// instructions, 2^Shift ns each, and that make its random numbers repeat (QEMU's
// docs/devel/tcg-icount.rst and its options -rtc and -seed). An idle guest's clock
// skips to its next timer.
func (c Config) time() []string {
	sleep := onOff(c.Interactive)
	args := []string{
		"-icount", fmt.Sprintf("shift=%d,sleep=%s", c.Arch.QEMU.Shift, sleep),
		"-rtc", "base=" + epoch + ",clock=vm", "-seed", strconv.FormatUint(uint64(c.Seed), 10),
	}
	if c.Interactive {
		return args
	}
	return append(args, "-netdev", "hubport,id=unused,hubid=0",
		"-object", fmt.Sprintf("filter-buffer,id=%s,netdev=unused,queue=all,interval=%d", clockFilter, ClockStep))
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// escape doubles commas, which separate the options of a chardev.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }
