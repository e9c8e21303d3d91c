package machinetest

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"kernellab/harness/rsp/rsptest"
)

// thread is the one vCPU.
const thread = "p01.01"

// inG are the registers of a g packet, by their numbers.
var inG = strings.Fields("zero ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6 pc")

// firstCSR is the number of control and status register 0 (QEMU's
// riscv_cpu_register_gdb_regs_for_features).
const firstCSR = 65

func numbers() map[string]int {
	all := map[string]int{"sie": firstCSR + 0x104, "sscratch": firstCSR + 0x140, "priv": firstCSR + 1<<12}
	for i, name := range inG {
		all[name] = i
	}
	return all
}

func description() string {
	var b strings.Builder
	b.WriteString(`<target><architecture>riscv:rv64</architecture><feature name="made">`)
	for name, n := range numbers() {
		fmt.Fprintf(&b, `<reg name="%s" bitsize="64" regnum="%d"/>`, name, n)
	}
	b.WriteString(`</feature></target>`)
	return b.String()
}

// serve is the machine's gdbstub: as much of QEMU's as package rsp needs. It returns
// when the connection has ended.
func (vm *VM) serve() {
	r := bufio.NewReader(vm.ours)
	text := description()
	detaching, attached := 0, true
	stop := "T05thread:" + thread + ";"
	send := func(payload string) { vm.ours.Write(rsptest.Frame(payload)) } // an error ends the reading too
	for {
		b, err := r.ReadByte()
		if err != nil {
			return
		}
		// After D comes the + for its OK and the one that halts the guest.
		if b == '+' && detaching > 0 {
			if detaching--; detaching == 0 {
				vm.halt()
			}
		}
		if b != '$' || vm.guest.Mute {
			continue
		}
		packet, err := r.ReadString('#')
		if err != nil {
			return
		}
		if _, err := r.Discard(2); err != nil {
			return
		}
		packet = strings.TrimSuffix(packet, "#")
		vm.ours.Write([]byte("+"))
		switch {
		case packet == "c" || packet == "vCont;c":
			if !vm.run() {
				break // there is nothing to say
			}
			vm.halt()
			if attached {
				send(stop)
			}
		case strings.HasPrefix(packet, "vCont;s"):
			if vm.guest.Step != nil {
				vm.guest.Step(vm)
			} else {
				vm.set("pc", vm.regs[numbers()["pc"]]+4)
			}
			vm.halt()
			send(stop)
		case strings.HasPrefix(packet, "D"):
			clear(vm.breaks)
			attached, detaching = false, 2
			send("OK")
		case strings.HasPrefix(packet, "vAttach"):
			attached = true
			send(stop)
		case strings.HasPrefix(packet, "qXfer:features:read:target.xml:"):
			var from, n int
			fmt.Sscanf(packet[len("qXfer:features:read:target.xml:"):], "%x,%x", &from, &n)
			if part := text[from:]; len(part) > n {
				send("m" + part[:n])
			} else {
				send("l" + part)
			}
		default:
			send(vm.reply(packet, stop))
		}
	}
}

// reply answers a packet about a guest that stands.
func (vm *VM) reply(packet, stop string) string {
	var addr uint64
	var n int
	args := strings.TrimLeft(packet, "mMpPZz")
	switch packet[0] {
	case '?':
		return stop
	case 'g':
		var b []byte
		for i := range inG {
			b = binary.LittleEndian.AppendUint64(b, vm.regs[i])
		}
		return hex.EncodeToString(b)
	case 'H':
		return "OK"
	case 'p':
		fmt.Sscanf(args, "%x", &n)
		return hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, vm.regs[n]))
	case 'P':
		name, value, _ := strings.Cut(args, "=")
		fmt.Sscanf(name, "%x", &n)
		if b, err := hex.DecodeString(value); err == nil && len(b) == 8 {
			vm.regs[n] = binary.LittleEndian.Uint64(b)
			return "OK"
		}
		return "E22"
	case 'm':
		fmt.Sscanf(args, "%x,%x", &addr, &n)
		return hex.EncodeToString(vm.Memory(addr, n))
	case 'M':
		where, value, _ := strings.Cut(args, ":")
		fmt.Sscanf(where, "%x,%x", &addr, &n)
		if b, err := hex.DecodeString(value); err == nil && len(b) == n {
			vm.load(addr, b)
			return "OK"
		}
		return "E22"
	case 'Z', 'z':
		fmt.Sscanf(args, "0,%x", &addr)
		vm.breaks[addr] = packet[0] == 'Z'
		return "OK"
	case 'Q': // Qqemu.PhyMemMode: all addresses are in one memory
		return "OK"
	}
	switch {
	case strings.HasPrefix(packet, "qSupported"):
		return "PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+"
	case packet == "qfThreadInfo":
		return "m" + thread
	case packet == "qsThreadInfo":
		return "l"
	}
	return "" // unsupported
}
