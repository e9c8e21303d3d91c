package rsp_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/rsp"
)

// must fails the test on an error; the rest of a session would be noise.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func wantPC(t testing.TB, stop rsp.Stop, pc uint64) {
	t.Helper()
	if stop.PC != pc {
		t.Fatalf("stopped at %#x, want %#x (%+v)", stop.PC, pc, stop)
	}
}

func resumeTo(t testing.TB, ctx context.Context, c *rsp.Client, pc uint64) rsp.Stop {
	t.Helper()
	must(t, c.Resume(ctx))
	stop, err := c.Wait(ctx)
	must(t, err)
	wantPC(t, stop, pc)
	return stop
}

func TestLiveBreakpoints(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			c := attach(t, l.boot(t, "-S").conn, rsp.Options{})
			must(t, c.Insert(ctx, l.start))
			before := c.RoundTrips()
			for want := range uint64(20) {
				stop := resumeTo(t, ctx, c, l.start)
				regs, err := c.Registers(ctx)
				must(t, err)
				// The first counter counts each pass: a breakpoint that
				// is reported twice shows.
				got := []any{stop.Signal, stop.Thread, regs[l.counters[0]], regs[l.counters[1]], regs[l.pc]}
				if diff := cmp.Diff([]any{rsp.SignalTrap, "p01.01", want, want, l.start}, got); diff != "" {
					t.Fatalf("pass %d (-want +got):\n%s", want, diff)
				}
			}
			// Documented: 1 to resume, 2 to resume over a breakpoint,
			// and 1 to complete the stop.
			if got, want := c.RoundTrips()-before, uint64(1+19*2+20); got != want {
				t.Errorf("%d round trips for 20 stops, want %d", got, want)
			}

			// Two in a row: each is stepped over onto the next.
			second := l.start + l.step
			must(t, c.Insert(ctx, second))
			resumeTo(t, ctx, c, second)
			resumeTo(t, ctx, c, l.start)
			must(t, c.Remove(ctx, l.start))
			resumeTo(t, ctx, c, second)
			resumeTo(t, ctx, c, second)
		})
	}
}

func TestLiveStep(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			c := attach(t, l.boot(t, "-S").conn, rsp.Options{})
			must(t, c.Insert(ctx, l.start))
			resumeTo(t, ctx, c, l.start)
			var got []uint64
			for range 6 {
				stop, err := c.Step(ctx, "")
				must(t, err)
				got = append(got, stop.PC)
			}
			want := []uint64{l.start + l.step, l.start + 2*l.step, l.start, l.start + l.step, l.start + 2*l.step, l.start}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLiveRegistersAndMemory(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			c := attach(t, l.boot(t, "-S").conn, rsp.Options{})
			must(t, c.Insert(ctx, l.start))
			resumeTo(t, ctx, c, l.start)

			// More than one m reads, at an odd address.
			at := uint64(0xf0001)
			code := l.image[1:]
			if l.arch == "riscv64" {
				at, code = 0x80000001, append(bytes.Clone(l.image[1:]), make([]byte, 1<<16)...)
			}
			buf := make([]byte, 40000)
			must(t, c.ReadMemory(ctx, at, buf))
			if !bytes.Equal(buf, code[:len(buf)]) {
				t.Errorf("memory at %#x is not the firmware", at)
			}

			must(t, c.WriteRegister(ctx, l.counters[0], 0x1122334455))
			v, err := c.ReadRegister(ctx, l.counters[0])
			must(t, err)
			regs, err := c.Registers(ctx)
			must(t, err)
			want := uint64(0x1122334455)
			if l.arch == "x86_64" {
				want = 0x22334455 // 32-bit segment
			}
			if v&0xffffffff != want&0xffffffff || regs[l.counters[0]] != v {
				t.Errorf("%s = %#x by p, %#x by g, want %#x", l.counters[0], v, regs[l.counters[0]], want)
			}
			if _, err := c.ReadRegister(ctx, l.system); err != nil {
				t.Error(err)
			}

			// Writing the PC onto a breakpoint counts as standing on it.
			must(t, c.Insert(ctx, l.start+l.step))
			must(t, c.WriteRegister(ctx, l.pc, l.start+l.step))
			resumeTo(t, ctx, c, l.start)

			_, err = c.ReadRegister(ctx, "nonsense")
			if want := (*rsp.OpError)(nil); !errors.As(err, &want) {
				t.Errorf("no such register: %v", err)
			}
		})
	}
}

func TestLiveFault(t *testing.T) {
	l := riscvLoop() // where nothing is mapped at 0
	ctx := background(t)
	c := attach(t, l.boot(t, "-S").conn, rsp.Options{})
	err := c.ReadMemory(ctx, 0, make([]byte, 8))
	var e *rsp.Error
	if !errors.Is(err, rsp.ErrFault) || !errors.As(err, &e) || e.Code != 14 {
		t.Errorf("reading unmapped memory: %v, want E14", err)
	}
	must(t, c.ReadMemory(ctx, 0x80000000, make([]byte, 8)))
}

// runAndInterrupt lets the guest run and interrupts it, with a Wait given up in
// between, as often as it takes until the guest has made another pass: a starved
// host may not run it at all in one. It returns the stop and the passes.
func runAndInterrupt(t testing.TB, ctx context.Context, c *rsp.Client, l loop, before uint64) (rsp.Stop, uint64) {
	t.Helper()
	for {
		must(t, c.Resume(ctx))
		if _, err := c.Wait(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait: %v, want the context's error", err)
		}
		stop, err := c.Interrupt(ctx)
		must(t, err)
		regs, err := c.Registers(ctx)
		must(t, err)
		passes := regs[l.counters[0]]
		if passes != before { // of 32 bits on x86_64, so it may have wrapped
			return stop, passes
		}
	}
}

func TestLiveInterrupt(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			c := attach(t, l.boot(t, "-S").conn, rsp.Options{})
			var passes uint64
			for range 10 {
				var stop rsp.Stop
				stop, passes = runAndInterrupt(t, ctx, c, l, passes)
				if stop.Signal != rsp.SignalInterrupt {
					t.Fatalf("%+v, want an interrupt", stop)
				}
			}
			if _, err := c.Interrupt(ctx); !errors.Is(err, rsp.ErrNotRunning) {
				t.Errorf("interrupting a halted guest: %v", err)
			}
		})
	}
}

// An interrupt that crosses a breakpoint must give one stop, and leave nothing
// behind that would be taken for the next.
func TestLiveInterruptRace(t *testing.T) {
	l := riscvLoop()
	ctx := background(t)
	c := attach(t, l.boot(t, "-S").conn, rsp.Options{})
	must(t, c.Insert(ctx, l.start))
	passes := uint64(0)
	resumeTo(t, ctx, c, l.start)
	for range 300 {
		must(t, c.Resume(ctx))
		stop, err := c.Interrupt(ctx)
		must(t, err)
		regs, err := c.Registers(ctx)
		must(t, err)
		n := regs[l.counters[0]]
		if stop.PC == l.start {
			passes++
		}
		if n != passes && n != passes+1 {
			t.Fatalf("%d passes seen, %d made: %+v", passes, n, stop)
		}
	}
}

// A guest that runs when the client comes: 7.2 reports a stop by itself and
// swallows a byte.
func TestLiveAttachRunning(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			g := l.boot(t)
			c := attach(t, g.conn, rsp.Options{})
			must(t, c.Insert(ctx, l.start))
			resumeTo(t, ctx, c, l.start)
			resumeTo(t, ctx, c, l.start)
		})
	}
}

func TestLiveDeath(t *testing.T) {
	l := riscvLoop()
	ctx := background(t)
	g := l.boot(t, "-S")
	c := attach(t, g.conn, rsp.Options{})
	must(t, c.Resume(ctx))
	died := make(chan error, 1)
	go func() {
		_, err := c.Wait(ctx)
		died <- err
	}()
	must(t, g.cmd.Process.Kill())
	if err := <-died; !errors.Is(err, rsp.ErrClosed) {
		t.Errorf("Wait when QEMU dies: %v, want ErrClosed", err)
	}
	if err := c.Resume(ctx); !errors.Is(err, rsp.ErrClosed) {
		t.Errorf("Resume after QEMU died: %v, want ErrClosed", err)
	}
}

// QEMU tells that it ends, if it can.
func TestLiveQuit(t *testing.T) {
	l := riscvLoop()
	ctx := background(t)
	g := l.boot(t, "-S")
	c := attach(t, g.conn, rsp.Options{})
	must(t, c.Resume(ctx))
	if _, err := g.monitor.Write([]byte("quit\n")); err != nil {
		t.Fatal(err)
	}
	stop, err := c.Wait(ctx)
	must(t, err)
	if diff := cmp.Diff(rsp.Stop{Exited: true}, stop); diff != "" {
		t.Errorf("stop (-want +got):\n%s", diff)
	}
}

func TestLiveThreads(t *testing.T) {
	l := riscvLoop() // where all harts run the firmware
	ctx := background(t)
	c := attach(t, l.boot(t, "-S", "-smp", "3").conn, rsp.Options{})
	threads, err := c.Threads(ctx)
	must(t, err)
	if diff := cmp.Diff([]string{"p01.01", "p01.02", "p01.03"}, threads); diff != "" {
		t.Fatalf("threads (-want +got):\n%s", diff)
	}
	must(t, c.Insert(ctx, l.start))
	// Each hart counts its own passes in its own register: over many stops
	// no hart may report one pass twice, or leave one out.
	passes := map[string]uint64{}
	for range 200 {
		must(t, c.Resume(ctx))
		stop, err := c.Wait(ctx)
		must(t, err)
		if stop.PC != l.start {
			continue // a stop that nothing asked for
		}
		regs, err := c.Registers(ctx)
		must(t, err)
		if got, want := regs[l.counters[0]], passes[stop.Thread]; got != want {
			t.Fatalf("hart %s reports pass %d, want %d", stop.Thread, got, want)
		}
		passes[stop.Thread]++
	}
	if len(passes) != 3 {
		t.Errorf("only %v stopped", passes)
	}
	for _, thread := range threads {
		for range 3 {
			before := regOf(t, ctx, c, thread, "pc")
			stop, err := c.Step(ctx, thread)
			must(t, err)
			if stop.Thread != thread || stop.PC == before {
				t.Errorf("step of %s from %#x: %+v", thread, before, stop)
			}
		}
	}
}

func regOf(t testing.TB, ctx context.Context, c *rsp.Client, thread, name string) uint64 {
	t.Helper()
	must(t, c.SelectThread(ctx, thread))
	v, err := c.ReadRegister(ctx, name)
	must(t, err)
	return v
}

// What Detach and Close leave behind: a running guest and a halted one.
func TestLiveLeave(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			g := l.boot(t, "-S")
			c := attach(t, g.conn, rsp.Options{})
			must(t, c.Insert(ctx, l.start))
			resumeTo(t, ctx, c, l.start)
			must(t, c.Detach(ctx))
			for _, when := range []string{"detached", "closed"} {
				if got, want := g.status(t), "VM status: running"; got != want {
					t.Errorf("%s: %q, want %q", when, got, want)
				}
				if err := c.Resume(ctx); !errors.Is(err, rsp.ErrClosed) {
					t.Errorf("Resume when %s: %v", when, err)
				}
				must(t, c.Close())
			}
		})
	}
}

func TestLiveDetachRunning(t *testing.T) {
	l := riscvLoop()
	ctx := background(t)
	g := l.boot(t, "-S")
	c := attach(t, g.conn, rsp.Options{})
	must(t, c.Resume(ctx))
	must(t, c.Detach(ctx))
	if got, want := g.status(t), "VM status: running"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What is written to physical memory is read back, also where a write takes more
// than one packet and what is beside it stays.
func TestLiveWritePhysical(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			c := attach(t, l.boot(t, "-S").conn, rsp.Options{})
			at := uint64(0x20001)
			if l.arch == "riscv64" {
				at = 0x80400001
			}
			want := make([]byte, 300_000)
			for i := range want[1 : len(want)-1] {
				want[i+1] = byte(i*7 + i>>8)
			}
			must(t, c.WritePhysical(ctx, []rsp.Range{{Addr: at + 1, Buf: want[1:5000]}, {Addr: at + 5000, Buf: want[5000 : len(want)-1]}}))
			got := make([]byte, len(want))
			must(t, c.ReadMemory(ctx, at, got))
			if !bytes.Equal(got, want) {
				t.Error("what was written is not what is read")
			}
		})
	}
}
