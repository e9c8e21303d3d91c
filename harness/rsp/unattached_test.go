package rsp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/rsp"
	"kernellab/harness/rsp/rsptest"
)

// stopCounter counts the stops that QMP reports, as package qemu's VM does.
type stopCounter struct {
	conn     net.Conn
	answered chan struct{}

	mu    sync.Mutex
	n     uint64
	again chan struct{}
}

func countStops(t testing.TB, g *guest) *stopCounter {
	t.Helper()
	s := &stopCounter{conn: g.qmp, answered: make(chan struct{}), again: make(chan struct{})}
	go s.read()
	must(t, s.ask(t.Context(), "qmp_capabilities"))
	return s
}

func (s *stopCounter) read() {
	defer close(s.answered)
	in := json.NewDecoder(s.conn)
	for {
		var msg struct {
			Event  string          `json:"event"`
			Return json.RawMessage `json:"return"`
		}
		if in.Decode(&msg) != nil {
			return
		}
		switch {
		case msg.Return != nil:
			s.answered <- struct{}{}
		case msg.Event == "STOP":
			s.mu.Lock()
			s.n++
			close(s.again)
			s.again = make(chan struct{})
			s.mu.Unlock()
		}
	}
}

func (s *stopCounter) ask(ctx context.Context, command string) error {
	if _, err := fmt.Fprintf(s.conn, "{\"execute\": %q}\n", command); err != nil {
		return err
	}
	select {
	case <-s.answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stopCounter) Settle(ctx context.Context) error { return s.ask(ctx, "query-status") }

func (s *stopCounter) Stops() (uint64, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.again
}

// scriptedStops is what QMP says of a machine whose stub plays a script.
type scriptedStops struct {
	settle func() // runs in Settle when set

	mu    sync.Mutex
	n     uint64
	again chan struct{}
}

func (h *scriptedStops) Settle(context.Context) error {
	if h.settle != nil {
		h.settle()
	}
	return nil
}

func (h *scriptedStops) Stops() (uint64, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n, h.again
}

func (h *scriptedStops) add(n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n += n
	close(h.again)
	h.again = make(chan struct{})
}

// ctx ends before the packets of an unattached run are sent: nothing has happened
// then, so the breakpoint is still there to be removed, and the next run ends with
// the second stop that follows it.
func TestUnattachedResumeNotSent(t *testing.T) {
	ctx := background(t)
	stops := &scriptedStops{again: make(chan struct{}), n: 5}
	c, _ := scripted(t, rsp.Options{StopCounter: stops}, `-> Z0,2000,4
<- OK
-> Z0,3000,4
<- OK
-> z0,2000,4
<- OK
-> D;01
-> Z0,3000,4
-> c
<- OK
<- OK
-> vAttach;01
-> g
<- T05thread:p01.01;
<- `+rsptest.G(1, 2, 0x3000))
	must(t, c.Insert(ctx, 0x2000))
	must(t, c.Insert(ctx, 0x3000))
	ends, cancel := context.WithCancel(ctx)
	stops.settle = cancel
	if err := c.Resume(ends); !errors.Is(err, context.Canceled) {
		t.Fatalf("Resume: %v, want the context's error", err)
	}
	stops.settle = nil
	if _, err := c.Wait(ctx); !errors.Is(err, rsp.ErrNotRunning) {
		t.Fatalf("Wait: %v, want ErrNotRunning", err)
	}
	must(t, c.Remove(ctx, 0x2000))
	must(t, c.Resume(ctx))
	stops.add(2)
	stop, err := c.Wait(ctx)
	must(t, err)
	wantPC(t, stop, 0x3000)
}

// DetachHalted returns when the machine has stopped, with one vCPU or several.
func TestDetachHalted(t *testing.T) {
	for _, threads := range [][]string{{"p01.01"}, {"p01.01", "p01.02"}} {
		t.Run(fmt.Sprintf("%d vCPUs", len(threads)), func(t *testing.T) {
			ctx := background(t)
			script, err := rsptest.Parse(t.Name(), "-> Z0,3000,4\n<- OK\n-> D;01\n<- OK")
			must(t, err)
			stub, conn := rsptest.Start(t, t.Name(), rsptest.Join(rsptest.Handshake(0x2000, threads...), script))
			stops := &scriptedStops{again: make(chan struct{}), n: 5}
			c := attach(t, conn, rsp.Options{StopCounter: stops})
			must(t, c.Insert(ctx, 0x3000))
			detached := make(chan error, 1)
			go func() { detached <- c.DetachHalted(ctx) }()
			<-stub.Done()
			select {
			case err := <-detached:
				t.Fatalf("DetachHalted = %v before the machine has stopped", err)
			default:
			}
			stops.add(1)
			must(t, <-detached)
			if _, err := c.Registers(ctx); !errors.Is(err, rsp.ErrClosed) {
				t.Errorf("Registers of a detached guest: %v, want ErrClosed", err)
			}
		})
	}
	c, _ := scripted(t, rsp.Options{}, "")
	if err := c.DetachHalted(background(t)); !errors.Is(err, rsp.ErrUnsupported) {
		t.Errorf("DetachHalted without a StopCounter: %v, want ErrUnsupported", err)
	}
}

// After DetachHalted no vCPU runs another instruction: the registers do not change.
func TestLiveDetachHalted(t *testing.T) {
	for _, smp := range []string{"1", "2"} {
		t.Run(smp, func(t *testing.T) {
			l := riscvLoop() // where all harts run the firmware
			ctx := background(t)
			g := l.boot(t, "-S", "-smp", smp)
			c := attach(t, g.conn, rsp.Options{StopCounter: countStops(t, g)})
			threads, err := c.Threads(ctx)
			must(t, err)
			must(t, c.Insert(ctx, l.start))
			for range 7 {
				resumeTo(t, ctx, c, l.start)
			}
			var want []string
			for _, thread := range threads {
				want = append(want, fmt.Sprintf("%016x", regOf(t, ctx, c, thread, l.pc)))
			}
			must(t, c.DetachHalted(ctx))
			if got := g.status(t); !strings.HasPrefix(got, "VM status: paused") || strings.Contains(got, "debug") {
				t.Errorf("detached: %q, want it paused and not for a debugger", got)
			}
			if got := g.programCounters(t); !slices.Equal(got, want) {
				t.Errorf("detached at %v, want %v", got, want)
			}
		})
	}
}

// The guest counts the passes of its loop, so the test notices a missed stop and an
// instruction that runs while no breakpoint is inserted. Each pass has two stops: one
// after a step, and one that the guest runs to.
func TestLiveUnattached(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			g := l.boot(t, "-S")
			c := attach(t, g.conn, rsp.Options{StopCounter: countStops(t, g)})
			must(t, c.Insert(ctx, l.start))
			before := c.RoundTrips()
			for want := range uint64(200) {
				stop := resumeTo(t, ctx, c, l.start)
				regs, err := c.Registers(ctx)
				must(t, err)
				got := []any{stop.Signal, stop.Thread, regs[l.counters[0]], regs[l.counters[1]], regs[l.pc]}
				if diff := cmp.Diff([]any{rsp.SignalTrap, "p01.01", want, want, l.start}, got); diff != "" {
					t.Fatalf("pass %d (-want +got):\n%s", want, diff)
				}
			}
			// The same as with a debugger attached.
			if got, want := c.RoundTrips()-before, uint64(1+199*2+200); got != want {
				t.Errorf("%d round trips for 200 stops, want %d", got, want)
			}
			second := l.start + l.step
			must(t, c.Insert(ctx, second))
			for range 50 {
				resumeTo(t, ctx, c, second)
				resumeTo(t, ctx, c, l.start)
			}
			must(t, c.Remove(ctx, l.start))
			for range 50 {
				resumeTo(t, ctx, c, second)
				step, err := c.Step(ctx, "")
				must(t, err)
				wantPC(t, step, second+l.step)
			}
			must(t, c.Remove(ctx, second))
			must(t, c.Detach(ctx))
			if got, want := g.status(t), "VM status: running"; got != want {
				t.Errorf("detached: %q, want %q", got, want)
			}
		})
	}
}

// Resuming costs one exchange when the guest is not at a breakpoint: this test moves
// the program counter past the breakpoint, as a nop would.
func TestLiveUnattachedMoved(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			g := l.boot(t, "-S")
			c := attach(t, g.conn, rsp.Options{StopCounter: countStops(t, g)})
			must(t, c.Insert(ctx, l.start))
			resumeTo(t, ctx, c, l.start)
			for want := range uint64(200) {
				regs, err := c.Registers(ctx)
				must(t, err)
				if n := regs[l.counters[1]]; n != want || regs[l.counters[0]] != 0 {
					t.Fatalf("%d passes, want %d; %d by way of the first instruction, want none", n, want, regs[l.counters[0]])
				}
				must(t, c.WriteRegister(ctx, l.pc, l.start+l.step))
				resumeTo(t, ctx, c, l.start)
			}
		})
	}
}

func TestLiveUnattachedInterrupt(t *testing.T) {
	for _, l := range loops {
		t.Run(l.arch, func(t *testing.T) {
			ctx := background(t)
			g := l.boot(t, "-S")
			c := attach(t, g.conn, rsp.Options{StopCounter: countStops(t, g)})
			var passes uint64
			for range 10 {
				_, passes = runAndInterrupt(t, ctx, c, l, passes)
			}
			must(t, c.Resume(ctx))
			must(t, g.cmd.Process.Kill())
			if _, err := c.Wait(ctx); !errors.Is(err, rsp.ErrClosed) {
				t.Errorf("Wait when QEMU dies: %v, want ErrClosed", err)
			}
		})
	}
}

func TestLiveUnattachedQuit(t *testing.T) {
	l := riscvLoop()
	ctx := background(t)
	g := l.boot(t, "-S")
	c := attach(t, g.conn, rsp.Options{StopCounter: countStops(t, g)})
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
