package machinetest

import (
	"context"
	"encoding/binary"
	"encoding/gob"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"kernellab/images/guest/mailbox"
)

// VM is a made machine. What is not guarded by mu belongs to the goroutine that
// serves the debugger, or to whoever has started the machine before that asks
// anything.
type VM struct {
	guest  Guest
	mark   uint64
	memory map[uint64][]byte // by page; physical and virtual addresses do not meet
	regs   map[int]uint64    // by number
	breaks map[uint64]bool
	events []Event
	hung   bool

	gdb, ours net.Conn
	console   *os.File
	output    *os.File

	mu      sync.Mutex
	stops   uint64
	stopped chan struct{}
	err     error
	now     int64         // the guest's clock after the last [Run]
	used    time.Duration // processor time
	ended   bool
	exited  chan struct{}
}

func newVM(g Guest, mark uint64) (vm *VM, err error) {
	vm = &VM{
		guest: g, mark: mark, memory: map[uint64][]byte{}, regs: map[int]uint64{}, breaks: map[uint64]bool{},
		stopped: make(chan struct{}), exited: make(chan struct{}),
	}
	vm.gdb, vm.ours = net.Pipe()
	vm.output, vm.console, err = os.Pipe()
	return vm, err
}

// page returns the page that an address is in.
func (vm *VM) page(addr uint64) []byte {
	addr &^= mailbox.PageSize - 1
	if vm.memory[addr] == nil {
		vm.memory[addr] = make([]byte, mailbox.PageSize)
	}
	return vm.memory[addr]
}

// each calls do with the pieces of memory from addr on, and those of b.
func (vm *VM) each(addr uint64, b []byte, do func(memory, b []byte)) {
	for len(b) > 0 {
		memory := vm.page(addr)[addr%mailbox.PageSize:]
		n := min(len(memory), len(b))
		do(memory[:n], b[:n])
		addr, b = addr+uint64(n), b[n:]
	}
}

func (vm *VM) load(addr uint64, b []byte) { vm.each(addr, b, func(m, b []byte) { copy(m, b) }) }

func (vm *VM) read(addr uint64, b []byte) { vm.each(addr, b, func(m, b []byte) { copy(b, m) }) }

// Memory returns n bytes of the guest's memory. The guest stands.
func (vm *VM) Memory(addr uint64, n int) []byte {
	b := make([]byte, n)
	vm.read(addr, b)
	return b
}

func (vm *VM) set(register string, v uint64) { vm.regs[numbers()[register]] = v }

// atMark puts a task at the entry of the agent's system call.
func (vm *VM) atMark(task, name uint64) {
	vm.set("pc", vm.mark)
	vm.set("tp", task)
	vm.set("a0", callRegs)
	vm.load(callRegs+firstArg, binary.LittleEndian.AppendUint64(nil, name))
}

// clockTick is how far each stop of the guest moves its clock, in ns.
const clockTick = 1_000_000

// run runs the guest to its next stop. It reports false when there is none.
func (vm *VM) run() bool {
	const clock = 0x101000
	now := binary.LittleEndian.Uint64(vm.page(clock))
	binary.LittleEndian.PutUint64(vm.page(clock), now+clockTick)
	for !vm.hung {
		if len(vm.events) == 0 {
			vm.events = vm.request()
		}
		next := vm.events[0]
		vm.events = vm.events[1:]
		if next(vm) {
			return !vm.over()
		}
	}
	return false
}

// request is what the agent does about what is in its mailbox.
func (vm *VM) request() []Event {
	var b []byte
	for _, p := range mailPages() {
		b = append(b, vm.page(p)...)
	}
	msg, err := mailbox.Take(b)
	var r mailbox.Request
	if err == nil {
		_, err = mailbox.Split(msg, &r)
	}
	if err != nil {
		return []Event{Print("agent: " + err.Error() + "\n"), Exit("exit status 0")}
	}
	serve := vm.guest.Serve
	if serve == nil {
		serve = Serve
	}
	return serve(r)
}

// halt counts a stop of the machine.
func (vm *VM) halt() {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	vm.stops++
	close(vm.stopped)
	vm.stopped = make(chan struct{})
}

// end ends the machine, err saying why when nobody asked for that.
func (vm *VM) end(err error) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.ended {
		return
	}
	vm.ended, vm.err = true, err
	vm.console.Close()
	vm.ours.Close()
	close(vm.exited)
}

func (vm *VM) over() bool {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return vm.ended
}

// What follows is what a *qemu.VM does.

// GDB returns the connection to the gdbstub.
func (vm *VM) GDB() net.Conn { return vm.gdb }

// Output returns the console's output.
func (vm *VM) Output() *os.File { return vm.output }

// Peek returns the guest's clock.
func (vm *VM) Peek(context.Context, uint64) (uint64, error) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return uint64(vm.now), vm.err
}

// Used returns what [Run] has used.
func (vm *VM) Used() time.Duration {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return vm.used
}

// PID is this process: a made machine has none of its own.
func (vm *VM) PID() int { return os.Getpid() }

// Exited is closed when the machine has ended.
func (vm *VM) Exited() <-chan struct{} { return vm.exited }

// Err returns why the machine ended by itself.
func (vm *VM) Err() error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return vm.err
}

// Close ends the machine.
func (vm *VM) Close() error {
	vm.end(nil)
	return nil
}

// Stops counts the machine's stops.
func (vm *VM) Stops() (uint64, <-chan struct{}) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	return vm.stops, vm.stopped
}

// Settle has nothing to wait for.
func (vm *VM) Settle(context.Context) error { return nil }

// Align has nothing to align.
func (vm *VM) Align(context.Context) error { return vm.guest.fail("align") }

// saved is the state of a made machine.
type saved struct {
	Memory map[uint64][]byte
	Regs   map[int]uint64
}

// Save writes the machine's state.
func (vm *VM) Save(_ context.Context, w io.Writer) error {
	if err := vm.guest.fail("save"); err != nil {
		return err
	}
	return gob.NewEncoder(w).Encode(saved{vm.memory, vm.regs})
}

// Restore reads it.
func (vm *VM) Restore(_ context.Context, state io.Reader) error {
	if err := vm.guest.fail("restore"); err != nil {
		return err
	}
	var s saved
	if err := gob.NewDecoder(state).Decode(&s); err != nil {
		return err
	}
	vm.memory, vm.regs = s.Memory, s.Regs
	return nil
}
