package rsptest

import (
	"encoding/binary"
	"encoding/hex"
)

// Description is the target description that Handshake serves. It describes a small
// riscv64 CPU with a register wider than 64 bits in the middle of the g packet, a
// register outside of it and a gap in the numbers. Its comment contains text that
// only an XML parser skips.
const Description = `<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>` +
	`<architecture>riscv:rv64</architecture><xi:include href="cpu.xml"/></target>`

// DescriptionCPU is what Description includes as cpu.xml.
const DescriptionCPU = `<?xml version="1.0"?>
<!-- <reg name="ghost" bitsize="64"/> is not a register, 7 * 6 } # $ -->
<!DOCTYPE feature SYSTEM "gdb-target.dtd">
<feature name="org.gnu.gdb.riscv.cpu">
  <reg name="ra" bitsize="64" type="code_ptr"/>
  <reg name="sp" bitsize="64" type="data_ptr" group="general"/>
  <reg name="wide" bitsize="128" type="uint128"/>
  <reg name="flags" bitsize="32" type="int32"/>
  <reg name="pc" bitsize="64" type="code_ptr"/>
  <reg name="priv" bitsize="64" regnum="70"/>
</feature>`

// G is the g reply of the described machine.
func G(ra, sp, pc uint64) string {
	var b []byte
	b = binary.LittleEndian.AppendUint64(b, ra)
	b = binary.LittleEndian.AppendUint64(b, sp)
	b = append(b, make([]byte, 16)...)
	b = binary.LittleEndian.AppendUint32(b, 0x202)
	b = binary.LittleEndian.AppendUint64(b, pc)
	return hex.EncodeToString(b)
}

// Handshake is the script of rsp.New with the described machine, in QEMU's words:
// halted at pc, with the given threads, by default only p01.01.
func Handshake(pc uint64, threads ...string) Script {
	if len(threads) == 0 {
		threads = []string{"p01.01"}
	}
	script := Join(
		Exchange("qSupported:multiprocess+;vContSupported+",
			"PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+"),
		Exchange("qXfer:features:read:target.xml:0,ffb", "l"+Description),
		// In two parts, as QEMU sends what is longer than half a packet.
		Exchange("qXfer:features:read:cpu.xml:0,ffb", "m"+DescriptionCPU[:100]),
		Exchange("qXfer:features:read:cpu.xml:64,ffb", "l"+DescriptionCPU[100:]),
		Exchange("?", "T05thread:"+threads[0]+";"),
		Exchange("qfThreadInfo", "m"+threads[0]),
	)
	for _, t := range threads[1:] {
		script = append(script, Exchange("qsThreadInfo", "m"+t)...)
	}
	return Join(script, Exchange("qsThreadInfo", "l"), Exchange("g", G(1, 2, pc)))
}
