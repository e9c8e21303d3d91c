package rsp_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/rsp"
	"kernellab/harness/rsp/rsptest"
)

// scripted attaches to a stub that plays a script after the handshake.
func scripted(t *testing.T, o rsp.Options, script string) (*rsp.Client, *rsptest.Stub) {
	t.Helper()
	stub, conn := rsptest.Start(t, t.Name(), rsptest.Join(
		rsptest.Handshake(0x1000), rsptest.MustParse(script)))
	return attach(t, conn, o), stub
}

// soon is an end for contexts that are meant to end during a call.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestTarget(t *testing.T) {
	c, _ := scripted(t, rsp.Options{}, "")
	want := []rsp.Register{
		{Name: "ra", Number: 0, Bits: 64, Offset: 0, Type: "code_ptr"},
		{Name: "sp", Number: 1, Bits: 64, Offset: 8, Type: "data_ptr", Group: "general"},
		{Name: "wide", Number: 2, Bits: 128, Offset: 16, Type: "uint128"},
		{Name: "flags", Number: 3, Bits: 32, Offset: 32, Type: "int32"},
		{Name: "pc", Number: 4, Bits: 64, Offset: 36, Type: "code_ptr"},
		{Name: "priv", Number: 70, Bits: 64, Offset: -1},
	}
	target := c.Target()
	if diff := cmp.Diff(want, target.Registers); diff != "" {
		t.Errorf("registers (-want +got):\n%s", diff)
	}
	if target.Architecture != "riscv:rv64" || target.PC().Name != "pc" {
		t.Errorf("architecture %q, program counter %q", target.Architecture, target.PC().Name)
	}
	if _, ok := target.Register("ghost"); ok {
		t.Error("a register in a comment was taken for one")
	}
	regs, err := c.Registers(background(t))
	must(t, err)
	if diff := cmp.Diff(rsp.Registers{"ra": 1, "sp": 2, "flags": 0x202, "pc": 0x1000}, regs); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if _, err := regs.Get("priv"); err == nil {
		t.Error("Get of a register outside of g gave a value")
	}
}

// What a stub may answer, and what a call makes of it.
func TestReplies(t *testing.T) {
	ctx := background(t)
	read := func(c *rsp.Client) (any, error) { return c.ReadRegister(ctx, "priv") }
	memory := func(c *rsp.Client) (any, error) {
		buf := make([]byte, 4)
		err := c.ReadMemory(ctx, 0x40, buf)
		return string(buf), err
	}
	scattered := func(c *rsp.Client) (any, error) {
		return nil, c.ReadRanges(ctx, []rsp.Range{{Addr: 0x40, Buf: make([]byte, 1)}, {Addr: 0x50, Buf: make([]byte, 1)}})
	}
	for _, tt := range []struct {
		name   string
		script string
		call   func(*rsp.Client) (any, error)
		want   any
		is     error
		text   string // in the error
	}{
		{name: "value", script: "-> p46\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "error", script: "-> p46\n<- E22", call: read, text: "E22"},
		{name: "text error", script: "-> p46\n<- E.no such register", call: read, text: "no such register"},
		{name: "empty", script: "-> p46\n<- ", call: read, is: rsp.ErrUnsupported},
		{name: "short", script: "-> p46\n<- 0300", call: read, text: "want 8 bytes"},
		{name: "no hex", script: "-> p46\n<- 03zz000000000000", call: read, text: "invalid byte"},
		{name: "memory", script: "-> m40,4\n<- 61626364", call: memory, want: "abcd"},
		{name: "memory fault", script: "-> m40,4\n<- E14", call: memory, is: rsp.ErrFault},
		{name: "memory short", script: "-> m40,4\n<- 6162", call: memory, text: "want 4"},
		{name: "damaged among several", script: "-> m40,1\n-> m50,1\nraw $61#00", call: scattered, is: rsp.ErrBroken},
		{name: "refused among several", script: "noack\n-> m40,1\nraw -", call: scattered, is: rsp.ErrBroken},
		{name: "one of several fails", script: "-> m40,1\n-> m50,1\n<- 61\n<- E14", call: scattered, is: rsp.ErrFault},
		{name: "run length", script: "-> p46\nrle\n<- 0000000000000000", call: read, want: uint64(0)},
		{name: "run length by hand", script: "-> p46\nraw $030**#e7", call: read, want: uint64(3)},
		{name: "refused once", script: "nack 1\n-> p46\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "refused always", script: "nack 2\nnoack\n-> p46\nraw -", call: read, is: rsp.ErrBroken},
		{name: "damaged once", script: "-> p46\ndamage 1\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "damaged always", script: "-> p46\nraw $03#00$03#00$03#00", call: read, is: rsp.ErrBroken},
		{name: "notification", script: "-> p46\nraw %Stop:T05#3c\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "console output", script: "-> p46\n<- O6869\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "stray stop before", script: "<- T02thread:p01.01;\n-> p46\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "stray stop between", script: "-> p46\n<- T02thread:p01.01;\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "stray reply before", script: "<- 0900000000000000\n-> p46\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "garbage", script: "raw abc\\x00\n-> p46\nraw xyz+\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "started over", script: "-> p46\nraw $0300\n<- 0300000000000000", call: read, want: uint64(3)},
		{name: "dropped", script: "-> p46\ndrop", call: read, is: rsp.ErrClosed},
		{name: "dropped inside a packet", script: "-> p46\nraw $0300\ndrop", call: read, is: rsp.ErrClosed},
		{name: "dropped after the reply", script: "-> p46\n<- 0300000000000000\ndrop", call: read, want: uint64(3)},
		{name: "no answer", script: "-> p46", call: read, is: rsp.ErrTimeout},
		{name: "swallowed", script: "noack\n-> p46", call: read, is: rsp.ErrTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := scripted(t, rsp.Options{Timeout: 300 * time.Millisecond}, tt.script)
			got, err := tt.call(c)
			switch {
			case tt.is != nil || tt.text != "":
				var op *rsp.OpError
				if !errors.As(err, &op) || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %v, want an OpError of %v with %q", err, tt.is, tt.text)
				}
			case err != nil:
				t.Error(err)
			default:
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

// An answer that comes after its caller has gone belongs to nobody else.
func TestLateReply(t *testing.T) {
	ctx := background(t)
	const script = "-> p46\npause late\n<- 0100000000000000\n-> p1\n<- 0200000000000000"
	t.Run("cancelled", func(t *testing.T) {
		c, stub := scripted(t, rsp.Options{}, script)
		if _, err := c.ReadRegister(soon(t), "priv"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v, want the context's", err)
		}
		// Nothing is sent while the answer is due.
		if _, err := c.ReadRegister(soon(t), "sp"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v, want the context's", err)
		}
		stub.Release("late")
		v, err := c.ReadRegister(ctx, "sp")
		if err != nil || v != 2 {
			t.Errorf("sp = %d, %v; want 2", v, err)
		}
	})
	t.Run("timed out", func(t *testing.T) {
		c, stub := scripted(t, rsp.Options{Timeout: 50 * time.Millisecond}, script)
		if _, err := c.ReadRegister(ctx, "priv"); !errors.Is(err, rsp.ErrTimeout) {
			t.Fatalf("error %v, want ErrTimeout", err)
		}
		if _, err := c.ReadRegister(ctx, "sp"); !errors.Is(err, rsp.ErrTimeout) {
			t.Fatalf("error %v, want ErrTimeout", err)
		}
		stub.Release("late")
		v, err := c.ReadRegister(ctx, "sp")
		if err != nil || v != 2 {
			t.Errorf("sp = %d, %v; want 2", v, err)
		}
	})
	t.Run("breakpoint", func(t *testing.T) {
		// The Z0 that nobody waited for was done, so z0 undoes it.
		c, stub := scripted(t, rsp.Options{}, "-> Z0,40,4\npause late\n<- OK\n-> z0,40,4\n<- OK")
		if err := c.Insert(soon(t), 0x40); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v, want the context's", err)
		}
		stub.Release("late")
		must(t, c.Insert(ctx, 0x40))
		must(t, c.Remove(ctx, 0x40))
		must(t, c.Remove(ctx, 0x40))
	})
	t.Run("already cancelled", func(t *testing.T) {
		c, _ := scripted(t, rsp.Options{}, "-> p1\n<- 0200000000000000")
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := c.ReadRegister(gone, "priv"); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want the context's", err)
		}
		if v, err := c.ReadRegister(ctx, "sp"); err != nil || v != 2 {
			t.Errorf("sp = %d, %v; want 2", v, err)
		}
	})
}

func TestMemoryInPieces(t *testing.T) {
	var script rsptest.Script
	var want []byte
	for _, piece := range []struct {
		at string
		n  int
	}{{"m1000,800", 0x800}, {"m1800,800", 0x800}, {"m2000,10", 0x10}, {"m9000,4", 4}} {
		b := bytes.Repeat([]byte{byte(len(script) + 1)}, piece.n)
		want = append(want, b...)
		script = append(script, rsptest.Step{Kind: rsptest.Expect, Text: piece.at},
			rsptest.Step{Kind: rsptest.Reply, Text: strings.Repeat("0"+string(rune('1'+len(script))), piece.n)})
	}
	_, conn := rsptest.Start(t, t.Name(), rsptest.Join(rsptest.Handshake(0), script))
	c := attach(t, conn, rsp.Options{})
	got := make([]byte, 0x1014)
	before := c.RoundTrips()
	must(t, c.ReadRanges(background(t), []rsp.Range{{Addr: 0x1000, Buf: got[:0x1010]}, {Addr: 0x9000, Buf: got[0x1010:]}}))
	if !bytes.Equal(got, want) {
		t.Error("memory is not what the stub sent")
	}
	if n := c.RoundTrips() - before; n != 1 {
		t.Errorf("%d round trips, want 1", n)
	}
}

// Physical memory is read and written in a mode of the stub's that is left again,
// also when a piece cannot be had.
func TestPhysicalMemory(t *testing.T) {
	const on, off = "-> Qqemu.PhyMemMode:1\n", "-> Qqemu.PhyMemMode:0\n"
	piece := func(n int) []byte { return make([]byte, n) }
	long := strings.Repeat("5a", 0x800)
	for name, tt := range map[string]struct {
		script string
		ranges []rsp.Range
		want   string // of all pieces, in hex
		fails  bool
	}{
		"one piece":                {on + "-> m1000,2\n" + off + "<- OK\n<- abcd\n<- OK", []rsp.Range{{Addr: 0x1000, Buf: piece(2)}}, "abcd", false},
		"pieces":                   {on + "-> m1000,800\n-> m1800,1\n-> m4000,1\n" + off + "<- OK\n<- " + long + "\n<- 01\n<- 02\n<- OK", []rsp.Range{{Addr: 0x1000, Buf: piece(0x801)}, {Addr: 0x4000, Buf: piece(1)}}, long + "0102", false},
		"none":                     {on + off + "<- OK\n<- OK", nil, "", false},
		"no memory there":          {on + "-> m1000,1\n-> m2000,1\n" + off + "<- OK\n<- 01\n<- E14\n<- OK", []rsp.Range{{Addr: 0x1000, Buf: piece(1)}, {Addr: 0x2000, Buf: piece(1)}}, "", true},
		"a stub without that mode": {on + "-> m1000,1\n" + off + "<- \n<- 01\n<- ", []rsp.Range{{Addr: 0x1000, Buf: piece(1)}}, "", true},
		"fewer bytes":              {on + "-> m1000,2\n" + off + "<- OK\n<- 01\n<- OK", []rsp.Range{{Addr: 0x1000, Buf: piece(2)}}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := scripted(t, rsp.Options{}, tt.script)
			before := c.RoundTrips()
			err := c.ReadPhysical(background(t), tt.ranges)
			if (err != nil) != tt.fails {
				t.Fatalf("error %v, want one: %t", err, tt.fails)
			}
			var got []byte
			for _, r := range tt.ranges {
				got = append(got, r.Buf...)
			}
			if err == nil && hex.EncodeToString(got) != tt.want {
				t.Errorf("read %x, want %s", got, tt.want)
			}
			if n := c.RoundTrips() - before; n != 1 {
				t.Errorf("%d round trips, want 1", n)
			}
		})
	}
	t.Run("more than is asked for at once", func(t *testing.T) {
		const pieces, batch = 20, 16 // with the mode's packet
		script := on
		answers := "<- OK\n"
		for i := range pieces {
			script += fmt.Sprintf("-> m%x,800\n", 0x10000+i*0x800)
			answers += "<- " + long + "\n"
			if i+2 == batch {
				script, answers = script+answers, ""
			}
		}
		c, _ := scripted(t, rsp.Options{}, script+off+answers+"<- OK")
		buf := piece(pieces * 0x800)
		must(t, c.ReadPhysical(background(t), []rsp.Range{{Addr: 0x10000, Buf: buf}}))
		if !bytes.Equal(buf, bytes.Repeat([]byte{0x5a}, len(buf))) {
			t.Error("memory is not what the stub sent")
		}
	})
	t.Run("written", func(t *testing.T) {
		c, _ := scripted(t, rsp.Options{}, on+"-> M1000,2:abcd\n-> M3000,1:01\n"+off+"<- OK\n<- OK\n<- OK\n<- OK")
		must(t, c.WritePhysical(background(t), []rsp.Range{{Addr: 0x1000, Buf: []byte{0xab, 0xcd}}, {Addr: 0x3000, Buf: []byte{1}}}))
	})
	t.Run("not written", func(t *testing.T) {
		c, _ := scripted(t, rsp.Options{}, on+"-> M1000,1:ab\n"+off+"<- OK\n<- E14\n<- OK")
		if err := c.WritePhysical(background(t), []rsp.Range{{Addr: 0x1000, Buf: []byte{0xab}}}); err == nil {
			t.Error("what the stub refused to write was written")
		}
	})
}

// A watchpoint across two pages, which is gone again.
func TestFlushTLB(t *testing.T) {
	c, _ := scripted(t, rsp.Options{}, "-> Z2,fff,2\n-> z2,fff,2\n<- OK\n<- OK")
	must(t, c.FlushTLB(background(t)))
	c, _ = scripted(t, rsp.Options{}, "-> Z2,fff,2\n-> z2,fff,2\n<- \n<- ")
	if err := c.FlushTLB(background(t)); !errors.Is(err, rsp.ErrUnsupported) {
		t.Errorf("a stub without watchpoints: %v, want ErrUnsupported", err)
	}
}

func TestWriteRegister(t *testing.T) {
	ctx := background(t)
	c, _ := scripted(t, rsp.Options{}, "-> P3=78563412\n<- OK\n-> P1=0100000000000000\n<- E22\n-> g\n<- "+rsptest.G(5, 6, 7))
	must(t, c.WriteRegister(ctx, "flags", 0x12345678))
	var e *rsp.Error
	if err := c.WriteRegister(ctx, "sp", 1); !errors.As(err, &e) || e.Code != 22 {
		t.Errorf("error %v, want E22", err)
	}
	if err := c.WriteRegister(ctx, "flags", 1<<32); err == nil || !strings.Contains(err.Error(), "0xffffffff") {
		t.Errorf("error %v, want one that names the bounds", err)
	}
	if err := c.WriteRegister(ctx, "wide", 1); err == nil {
		t.Error("a register of 128 bits was written")
	}
	// What was known of the registers is not, after a write.
	regs, err := c.Registers(ctx)
	must(t, err)
	if regs["sp"] != 6 {
		t.Errorf("sp = %d, want 6", regs["sp"])
	}
}

// A vCPU that is said to have stopped is the one that is stepped off its breakpoint.
func TestStand(t *testing.T) {
	ctx := background(t)
	script, err := rsptest.Parse(t.Name(), "-> Z0,3000,4\n<- OK\n-> Hgp01.02\n-> g\n<- OK\n<- "+rsptest.G(1, 2, 0x3000)+`
-> z0,3000,4
-> vCont;s:p01.02
<- OK
<- T05thread:p01.02;
-> Z0,3000,4
-> Hgp01.02
-> g
<- OK
<- OK
<- `+rsptest.G(1, 2, 0x3004))
	must(t, err)
	_, conn := rsptest.Start(t, t.Name(), rsptest.Join(rsptest.Handshake(0x2000, "p01.01", "p01.02"), script))
	c := attach(t, conn, rsp.Options{})
	must(t, c.Insert(ctx, 0x3000))
	if thread, err := c.Stopped(ctx); err != nil || thread != "p01.01" {
		t.Errorf("Stopped = %q, %v, want the one that the stub names", thread, err)
	}
	must(t, c.SetStopped(ctx, "p01.02"))
	if thread, err := c.Stopped(ctx); err != nil || thread != "p01.02" {
		t.Errorf("Stopped = %q, %v, want p01.02", thread, err)
	}
	stop, err := c.Step(ctx, "")
	must(t, err)
	wantPC(t, stop, 0x3004)
	if stop.Thread != "p01.02" {
		t.Errorf("stop of %s", stop.Thread)
	}
}

func TestThreads(t *testing.T) {
	ctx := background(t)
	c, _ := scripted(t, rsp.Options{}, `-> qfThreadInfo
<- mp01.01,p01.02
-> qsThreadInfo
<- mp01.03
-> qsThreadInfo
<- l
-> Hgp01.03
<- OK
-> g
<- `+rsptest.G(7, 8, 9)+`
-> Hgp01.09
<- E22`)
	threads, err := c.Threads(ctx)
	must(t, err)
	if diff := cmp.Diff([]string{"p01.01", "p01.02", "p01.03"}, threads); diff != "" {
		t.Errorf("threads (-want +got):\n%s", diff)
	}
	must(t, c.SelectThread(ctx, "p01.03"))
	regs, err := c.Registers(ctx)
	must(t, err)
	if regs["sp"] != 8 {
		t.Errorf("sp = %d, want that of the selected thread, 8", regs["sp"])
	}
	if err := c.SelectThread(ctx, "p01.09"); err == nil {
		t.Error("selected a thread that the stub refused")
	}
}

func TestNewFails(t *testing.T) {
	qSupported := "-> qSupported:multiprocess+;vContSupported+\n"
	offer := qSupported + "<- PacketSize=1000;qXfer:features:read+;vContSupported+;multiprocess+\n"
	document := offer + "-> qXfer:features:read:target.xml:0,ffb\n<- l"
	for _, tt := range []struct {
		name, script, want string
	}{
		{"no answer", qSupported, "no answer"},
		{"dropped", qSupported + "drop", "closed"},
		{"unsupported", qSupported + "<- ", "does not support"},
		{"too little", qSupported + "<- PacketSize=1000", "needs qXfer"},
		{"packet size", qSupported + "<- PacketSize=x;qXfer:features:read+;vContSupported+", `PacketSize "x"`},
		{"no description", offer + "-> qXfer:features:read:target.xml:0,ffb\n<- E00", "E00"},
		{"no XML", document + "<target><reg", "unexpected EOF"},
		{"no registers", document + "<target></target>", "no program counter"},
		{"bad size", document + `<target><reg name="pc" bitsize="0"/></target>`, "bitsize"},
		{"same number", document + `<target><reg name="a" bitsize="8"/><reg name="pc" bitsize="8" regnum="0"/></target>`, "both have number 0"},
		{"includes itself", document + `<target><xi:include href="target.xml"/></target>`, "included twice"},
		{"exiting", document + `<target><reg name="pc" bitsize="64"/></target>` + "\n-> ?\n<- W00", "no guest"},
		{"short registers", document + `<target><reg name="pc" bitsize="64"/></target>` +
			"\n-> ?\n<- S05\n-> qfThreadInfo\n<- m1\n-> qsThreadInfo\n<- l\n-> g\n<- 0011", "lack pc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, conn := rsptest.Start(t, t.Name(), rsptest.MustParse(tt.script))
			_, err := rsp.New(background(t), conn, rsp.Options{Timeout: 300 * time.Millisecond})
			var op *rsp.OpError
			if !errors.As(err, &op) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if _, err := conn.Write([]byte("x")); err == nil {
				t.Error("the connection was left open")
			}
		})
	}
}

// A stub that hangs takes nothing: the write ends with ctx, or in time.
func TestStubReadsNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		ctx  context.Context
		o    rsp.Options
		want error
	}{
		"context": {soon(t), rsp.Options{}, context.DeadlineExceeded},
		"timeout": {background(t), rsp.Options{Timeout: 20 * time.Millisecond}, rsp.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			conn, stub := net.Pipe()
			defer stub.Close()
			if _, err := rsp.New(tt.ctx, conn, tt.o); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// A log can be played back as a script.
func TestLog(t *testing.T) {
	ctx := background(t)
	var log bytes.Buffer
	session := func(c *rsp.Client) {
		must(t, c.Resume(ctx))
		if _, err := c.Interrupt(ctx); err != nil {
			t.Error(err)
		}
		must(t, c.Close())
	}
	c, _ := scripted(t, rsp.Options{Log: &log}, "-> vCont;c\n-> \\x03\n<- T02thread:p01.01;\n-> g\n<- "+rsptest.G(1, 2, 3))
	session(c)
	script, err := rsptest.Parse("log", log.String())
	must(t, err)
	_, conn := rsptest.Start(t, "log", script)
	session(attach(t, conn, rsp.Options{}))
}
