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
	CPUs   int    // default 1: the order of a lab's stops is only fixed with one
	// Command starts QEMU: a program, looked up in PATH, and its first arguments,
	// which Args follow. The default is Arch.QEMU.Binary alone. What QEMU is to have
	// in its environment env(1) sets.
	Command []string
	// Seed is what the machine's random numbers are made from. Another one is
	// another machine, as repeatable as this.
	Seed uint32
	// Interactive makes the guest's time follow the host's while it is idle, for a
	// person who types: an idle guest would otherwise take a whole processor.
	Interactive bool
	// GDBSocket and ConsoleSocket are paths of unix sockets that the gdbstub and
	// the console listen on, for programs of the user's. The default for each is
	// an inherited socket pair: see VM.GDB and VM.Console.
	GDBSocket, ConsoleSocket string
	// Halted starts the machine stopped, before its first instruction.
	Halted bool

	// RAM is the file that the guest's memory is mapped from, which Save and
	// Restore need. The default is memory that ends with QEMU.
	RAM *os.File
	// Incoming starts the machine without booting it: it waits for Restore
	// and Cont, and maps RAM copy-on-write. With Again it maps RAM shared, so
	// that it can be saved again: its memory is then what the file becomes.
	Incoming, Again bool
}

// defaultMemory is enough for every kernel and lab of the course, in MiB.
const defaultMemory = 256

// firstFD is the number in QEMU of the first descriptor it inherits, where
// exec.Cmd.ExtraFiles start.
const firstFD = 3

// inherited is a descriptor that QEMU inherits.
type inherited string

const (
	inheritsOutput  inherited = "the console's output" // a pipe
	inheritsConsole inherited = "the console"          // a socket, as the next two
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

// fd returns the number of one of them in QEMU.
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

// name is how messages call QEMU. The executable of a longer command, such as a
// dynamic loader, says little.
func (c Config) name() string {
	if len(c.Command) > 1 {
		return c.Arch.QEMU.Binary
	}
	return c.Path()
}

// CommandLine returns the kernel's command line.
//
//   - nokaslr: the addresses in kallsyms are the ones the kernel runs at.
//   - oops=panic panic=-1 with -no-reboot: a kernel that oopses ends the machine
//     at once, instead of going on with a half-dead one.
//   - loglevel=4: warnings and worse on the console. An oops raises the level by itself.
//   - cryptomgr.notests: no self-tests of ciphers, which take the guest seconds, many
//     of them beside the first programs.
//   - lab.seed: the command line is part of what the kernel makes its random numbers
//     from (start_kernel in init/main.c). An x86_64 machine has nothing else that
//     differs with -seed.
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

// seedWord is a word that the kernel has no other use for.
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
		// A socket takes some 280 bytes that nobody has read, each with its own
		// overhead; then the serial port's timing would be the reader's.
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

// output reports whether the console is read only, through a pipe.
func (c Config) output() bool { return !c.Interactive && c.ConsoleSocket == "" }

// consoleSet is the number of the set of descriptors that the console's pipe is in.
const consoleSet = 1

// memory is what -M says of the guest's memory.
func (c Config) memory() string {
	if c.RAM == nil {
		return ""
	}
	return ",memory-backend=ram"
}

// backend is the guest's memory in the file of descriptor fd.
func (c Config) backend(fd int) string {
	return fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=/proc/self/fd/%d,share=%s", cmp.Or(c.Memory, defaultMemory), fd, onOff(!c.Incoming || c.Again))
}

// Size returns the guest's memory in bytes, which a new file for Config.RAM has
// to have.
func (c Config) Size() int64 { return int64(cmp.Or(c.Memory, defaultMemory)) << 20 }

// Identity returns what the guest's state depends on beside QEMU itself and the
// contents of its files, whose names are left out: the same identity, version
// of QEMU, kernel and initramfs make machines that can be restored from each
// other's snapshots.
func (c Config) Identity() []string {
	c.Kernel = ""
	if c.Initrd != "" {
		c.Initrd = "initrd"
	}
	return c.machine(",memory-backend=ram")
}

// Replay returns a shell command that runs the same machine by hand: the
// console on the terminal, the gdbstub on a socket in the current folder.
func (c Config) Replay() string {
	words := slices.Concat(c.command(), c.machine(""))
	words = append(words, "-serial", "mon:stdio", "-gdb", "unix:gdb.sock,server=on,wait=off")
	for i, w := range words {
		words[i] = shell.Quote(w)
	}
	return strings.Join(words, " ")
}

// machine is the part of the arguments that a run by hand shares.
func (c Config) machine(memory string) []string {
	q := c.Arch.QEMU
	args := []string{
		"-M", q.Machine + memory, "-cpu", q.CPU, "-accel", "tcg",
		"-m", strconv.Itoa(cmp.Or(c.Memory, defaultMemory)), "-smp", strconv.Itoa(cmp.Or(c.CPUs, 1)),
		// No default devices, no configuration of the user's, no network.
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
	}
	args = append(args, c.time()...)
	// What a restored machine booted from is in its memory.
	if !c.Incoming || q.KernelROM {
		args = append(args, "-kernel", c.Kernel, "-append", c.CommandLine())
	}
	if c.Initrd != "" && !c.Incoming {
		args = append(args, "-initrd", c.Initrd)
	}
	return append(args, q.Devices...)
}

// epoch is the date at which a guest's real-time clock starts.
const epoch = "2026-01-01T00:00:00"

// ClockStep is the most that a guest's clock moves on while a debugger has stopped
// the guest, in microseconds of the guest's time.
//
// A vCPU that stops for the debugger counts as idle until QEMU has stopped the
// machine, and an idle machine's clock jumps to the next timer that is armed
// (icount_start_warp_timer in accel/tcg/icount-common.c): milliseconds as a rule,
// and without end where the guest has armed none. A network filter's timer, which
// has nothing to filter, is always armed. A shorter step costs time: with 100 the
// course ran a quarter slower on x86_64.
const ClockStep = 1000

// clockFilter is the name of the object whose timer bounds the clock's steps.
const clockFilter = "clock"

// time makes the guest's time pass with its instructions, 2^Shift ns each, and
// with nothing else, and makes its random numbers repeat (QEMU's
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
