package rsp_test

import (
	"bufio"
	"net"
	"testing"

	"kernellab/harness/rsp"
	"kernellab/harness/rsp/rsptest"
)

// BenchmarkRoundTrip is an exchange with a stub that answers at once: what the
// client, two goroutines and the sockets cost.
func BenchmarkRoundTrip(b *testing.B) {
	stub, conn := rsptest.Socketpair(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		echo(stub)
	}()
	c := attach(b, conn, rsp.Options{})
	ctx := background(b)
	b.ResetTimer()
	for b.Loop() {
		if _, err := c.ReadRegister(ctx, "sp"); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	must(b, c.Close())
	<-done
}

// echo answers the handshake of the described machine, and every p.
func echo(conn net.Conn) {
	answers := map[string]string{}
	for i, script := 0, rsptest.Handshake(0x1000); i+1 < len(script); i += 2 {
		answers[script[i].Text] = script[i+1].Text
	}
	answers["p1"] = "0200000000000000"
	r := bufio.NewReader(conn)
	for {
		if _, err := r.ReadSlice('$'); err != nil {
			return
		}
		packet, err := r.ReadString('#')
		if err != nil {
			return
		}
		if _, err := r.Discard(2); err != nil {
			return
		}
		reply := rsptest.Frame(answers[packet[:len(packet)-1]])
		if _, err := conn.Write(append([]byte("+"), reply...)); err != nil {
			return
		}
	}
}

// BenchmarkStop is one turn of the loop under QEMU: resume over a breakpoint,
// wait for it, read the registers.
func BenchmarkStop(b *testing.B) {
	for _, l := range loops {
		b.Run(l.arch, func(b *testing.B) {
			c := attach(b, l.boot(b, "-S").conn, rsp.Options{})
			ctx := background(b)
			must(b, c.Insert(ctx, l.start))
			resumeTo(b, ctx, c, l.start)
			before := c.RoundTrips()
			n := 0
			for b.Loop() {
				resumeTo(b, ctx, c, l.start)
				if _, err := c.Registers(ctx); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(c.RoundTrips()-before)/float64(n), "roundtrips/op")
		})
	}
}

func BenchmarkReadMemory(b *testing.B) {
	for _, l := range loops {
		b.Run(l.arch, func(b *testing.B) {
			c := attach(b, l.boot(b, "-S").conn, rsp.Options{})
			ctx := background(b)
			at := uint64(0xf0000)
			if l.arch == "riscv64" {
				at = 0x80000000
			}
			buf := make([]byte, 16<<10)
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				must(b, c.ReadMemory(ctx, at, buf))
			}
		})
	}
}
