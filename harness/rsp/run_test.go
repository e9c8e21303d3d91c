package rsp_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/rsp"
	"kernellab/harness/rsp/rsptest"
)

// Shorthand for scripts: the machine stops and the client looks where.
func stopped(signal int, pc uint64) string {
	return fmt.Sprintf("<- T%02xthread:p01.01;\n-> g\n<- %s\n", signal, rsptest.G(1, 2, pc))
}

func TestResumeOverBreakpoint(t *testing.T) {
	ctx := background(t)
	// The handshake says that the guest stands at 0x1000. Removal and step go
	// out together, as do the new Z0 and the vCont;c.
	c, _ := scripted(t, rsp.Options{}, `-> Z0,1000,4
<- OK
-> Z0,2002,2
<- OK
-> z0,1000,4
-> vCont;s:p01.01
<- OK
<- T05thread:p01.01;
-> Z0,1000,4
-> vCont;c
<- OK
`+stopped(5, 0x2002)+`-> z0,2002,2
<- OK
-> vCont;c
`+stopped(2, 0x3000))
	must(t, c.Insert(ctx, 0x1000))
	must(t, c.Insert(ctx, 0x2002))
	must(t, c.Resume(ctx))
	stop, err := c.Wait(ctx)
	must(t, err)
	if diff := cmp.Diff(rsp.Stop{Signal: rsp.SignalTrap, Thread: "p01.01", PC: 0x2002}, stop); diff != "" {
		t.Errorf("stop (-want +got):\n%s", diff)
	}
	must(t, c.Remove(ctx, 0x2002))
	must(t, c.Resume(ctx))
	stop, err = c.Wait(ctx)
	must(t, err)
	wantPC(t, stop, 0x3000)
}

func TestWrongState(t *testing.T) {
	ctx := background(t)
	c, stub := scripted(t, rsp.Options{}, "-> vCont;c\npause stop\n"+stopped(5, 0x2000))
	if _, err := c.Wait(ctx); !errors.Is(err, rsp.ErrNotRunning) {
		t.Errorf("Wait of a halted guest: %v", err)
	}
	if _, err := c.Interrupt(ctx); !errors.Is(err, rsp.ErrNotRunning) {
		t.Errorf("Interrupt of a halted guest: %v", err)
	}
	must(t, c.Resume(ctx))
	check := func() {
		t.Helper()
		for name, call := range map[string]func() error{
			"Resume":        func() error { return c.Resume(ctx) },
			"Insert":        func() error { return c.Insert(ctx, 1) },
			"Remove":        func() error { return c.Remove(ctx, 1) },
			"ReadMemory":    func() error { return c.ReadMemory(ctx, 0, make([]byte, 1)) },
			"WriteRegister": func() error { return c.WriteRegister(ctx, "sp", 1) },
			"SelectThread":  func() error { return c.SelectThread(ctx, "p01.01") },
			"ReadRegister":  func() error { _, err := c.ReadRegister(ctx, "sp"); return err },
			"Registers":     func() error { _, err := c.Registers(ctx); return err },
			"Threads":       func() error { _, err := c.Threads(ctx); return err },
			"Step":          func() error { _, err := c.Step(ctx, ""); return err },
		} {
			if err := call(); !errors.Is(err, rsp.ErrRunning) {
				t.Errorf("%s of a running guest: %v", name, err)
			}
		}
	}
	check()
	stub.Release("stop")
	// A stop that nobody has been told of does not change that.
	check()
	stop, err := c.Wait(ctx)
	must(t, err)
	wantPC(t, stop, 0x2000)
	if _, err := c.Wait(ctx); !errors.Is(err, rsp.ErrNotRunning) {
		t.Errorf("second Wait for one stop: %v", err)
	}
}

func TestWaitAgain(t *testing.T) {
	ctx := background(t)
	c, stub := scripted(t, rsp.Options{Timeout: 5 * time.Second}, "-> vCont;c\npause stop\n"+stopped(5, 0x2000))
	must(t, c.Resume(ctx))
	for range 3 {
		if _, err := c.Wait(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait: %v, want the context's error", err)
		}
	}
	stub.Release("stop")
	stop, err := c.Wait(ctx)
	must(t, err)
	wantPC(t, stop, 0x2000)
}

// The stop has come, but ctx ends before it is complete.
func TestWaitCutShort(t *testing.T) {
	ctx := background(t)
	c, stub := scripted(t, rsp.Options{}, "-> vCont;c\n<- T05thread:p01.01;\n-> g\npause g\n<- "+rsptest.G(1, 2, 0x2000)+
		"\n-> g\n<- "+rsptest.G(1, 2, 0x2000))
	must(t, c.Resume(ctx))
	if _, err := c.Wait(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Wait: %v, want the context's error", err)
	}
	stub.Release("g")
	stop, err := c.Wait(ctx)
	must(t, err)
	wantPC(t, stop, 0x2000)
}

func TestInterruptMeetsStop(t *testing.T) {
	for name, script := range map[string]string{
		// QEMU ignores an interrupt that comes after it halted.
		"breakpoint first": "-> vCont;c\n-> \\x03\n" + stopped(5, 0x2000),
		"interrupt first":  "-> vCont;c\n-> \\x03\n" + stopped(2, 0x2000),
		"told already":     "-> vCont;c\n" + stopped(5, 0x2000),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := background(t)
			// What follows must not see anything left over.
			c, _ := scripted(t, rsp.Options{}, script+"-> vCont;c\n"+stopped(5, 0x4000))
			must(t, c.Resume(ctx))
			if name == "told already" {
				stop, err := c.Wait(ctx)
				must(t, err)
				wantPC(t, stop, 0x2000)
				if _, err := c.Interrupt(ctx); !errors.Is(err, rsp.ErrNotRunning) {
					t.Errorf("Interrupt: %v", err)
				}
			} else if stop, err := c.Interrupt(ctx); err != nil || stop.PC != 0x2000 {
				t.Fatalf("Interrupt: %+v, %v", stop, err)
			}
			must(t, c.Resume(ctx))
			stop, err := c.Wait(ctx)
			must(t, err)
			wantPC(t, stop, 0x4000)
		})
	}
}

// Both callers get the one stop; it is completed once.
func TestInterruptWhileWaiting(t *testing.T) {
	ctx := background(t)
	c, _ := scripted(t, rsp.Options{}, "-> vCont;c\n-> \\x03\n"+stopped(2, 0x2000))
	must(t, c.Resume(ctx))
	type result struct {
		Stop rsp.Stop
		Err  error
	}
	waited := make(chan result, 1)
	go func() {
		stop, err := c.Wait(ctx)
		if errors.Is(err, rsp.ErrNotRunning) {
			// The interrupt was over before this goroutine began.
			stop, err = rsp.Stop{Signal: 2, Thread: "p01.01", PC: 0x2000}, nil
		}
		waited <- result{stop, err}
	}()
	stop, err := c.Interrupt(ctx)
	if diff := cmp.Diff(result{Stop: rsp.Stop{Signal: 2, Thread: "p01.01", PC: 0x2000}}, result{stop, err}); diff != "" {
		t.Errorf("Interrupt (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(result{Stop: stop}, <-waited); diff != "" {
		t.Errorf("Wait (-want +got):\n%s", diff)
	}
}

func TestCloseWhileWaiting(t *testing.T) {
	ctx := background(t)
	c, _ := scripted(t, rsp.Options{}, "-> vCont;c")
	must(t, c.Resume(ctx))
	waited := make(chan error, 1)
	go func() {
		_, err := c.Wait(ctx)
		waited <- err
	}()
	must(t, c.Close())
	must(t, c.Close())
	if err := <-waited; !errors.Is(err, rsp.ErrClosed) {
		t.Errorf("Wait: %v, want ErrClosed", err)
	}
	if err := c.Insert(ctx, 1); !errors.Is(err, rsp.ErrClosed) {
		t.Errorf("Insert: %v, want ErrClosed", err)
	}
}

func TestStops(t *testing.T) {
	for _, tt := range []struct {
		name, reply string
		look        bool // the client then asks for the registers
		want        rsp.Stop
		text        string
	}{
		{"exit", "W07", false, rsp.Stop{Exited: true, ExitCode: 7}, "exited with code 7"},
		{"exit with two digits", "W1f", false, rsp.Stop{Exited: true, ExitCode: 31}, "exited with code 31"},
		{"exit of a process", "W00;process:1", false, rsp.Stop{Exited: true}, "exited with code 0"},
		{"killed", "X09", false, rsp.Stop{Exited: true, Signal: 9}, "exited by signal 9"},
		{"no thread", "S02", true, rsp.Stop{Signal: 2, Thread: "p01.01", PC: 0x2000}, "SIGINT in p01.01 at 0x2000"},
		{"more pairs", "T05swbreak:;10:efbe;thread:p01.01;core:0;", true, rsp.Stop{Signal: 5, Thread: "p01.01", PC: 0x2000}, "SIGTRAP in p01.01 at 0x2000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := background(t)
			script := "-> vCont;c\n<- " + tt.reply + "\n"
			if tt.look {
				script += "-> g\n<- " + rsptest.G(1, 2, 0x2000)
			} else {
				script += "drop"
			}
			c, _ := scripted(t, rsp.Options{}, script)
			must(t, c.Resume(ctx))
			stop, err := c.Wait(ctx)
			must(t, err)
			if diff := cmp.Diff(tt.want, stop); diff != "" {
				t.Errorf("stop (-want +got):\n%s", diff)
			}
			if stop.String() != tt.text {
				t.Errorf("String() = %q, want %q", stop, tt.text)
			}
			if stop.Exited {
				if err := c.Resume(ctx); !errors.Is(err, rsp.ErrClosed) {
					t.Errorf("Resume after the guest's end: %v", err)
				}
			}
		})
	}
}

// A watchpoint is set once, and the stop has its address. The guest runs attached
// until the watchpoint is removed. A step over a breakpoint may hit it.
func TestWatch(t *testing.T) {
	ctx := background(t)
	const hit = "<- T05thread:p01.01;watch:ffffffd800030000;\n"
	c, _ := scripted(t, rsp.Options{StopCounter: &scriptedStops{again: make(chan struct{})}}, "-> Z2,ffffffd800030000,8\n<- OK\n"+
		"-> vCont;c\n"+hit+"-> g\n<- "+rsptest.G(1, 2, 0x2000)+"\n"+
		"-> Z0,2000,4\n<- OK\n"+
		"-> z0,2000,4\n-> vCont;s:p01.01\n<- OK\n"+hit+"-> Z0,2000,4\n-> g\n<- OK\n<- "+rsptest.G(1, 2, 0x2004)+"\n"+
		"-> z2,ffffffd800030000,8\n<- OK\n"+
		"-> Z2,40,8\n<- E22\n")
	const addr = 0xffffffd8_00030000
	must(t, c.Watch(ctx, addr, 8))
	must(t, c.Watch(ctx, addr, 8))
	must(t, c.Resume(ctx))
	for _, pc := range []uint64{0x2000, 0x2004} {
		stop, err := c.Wait(ctx)
		must(t, err)
		if diff := cmp.Diff(rsp.Stop{Signal: rsp.SignalTrap, Thread: "p01.01", PC: pc, Watch: addr}, stop); diff != "" {
			t.Errorf("stop (-want +got):\n%s", diff)
		}
		if pc == 0x2000 {
			must(t, c.Insert(ctx, pc))
			must(t, c.Resume(ctx))
		}
	}
	must(t, c.Unwatch(ctx, addr, 8))
	must(t, c.Unwatch(ctx, addr, 8))
	if err := c.Watch(ctx, 0x40, 8); err == nil {
		t.Error("a watchpoint that the stub refused was set")
	}
}

// What may come while the guest runs, besides a stop.
func TestNoiseWhileRunning(t *testing.T) {
	for name, noise := range map[string]string{
		"console output":  "<- O6869\n",
		"notification":    "raw %S:T05#0c\n",
		"acknowledgement": "raw +\n",
		"damaged stop":    "damage 2\n",
	} {
		t.Run(name, func(t *testing.T) {
			ctx := background(t)
			c, _ := scripted(t, rsp.Options{}, "-> vCont;c\n"+noise+stopped(5, 0x2000))
			must(t, c.Resume(ctx))
			stop, err := c.Wait(ctx)
			must(t, err)
			wantPC(t, stop, 0x2000)
		})
	}
}

func TestResumeRefused(t *testing.T) {
	ctx := background(t)
	c, _ := scripted(t, rsp.Options{}, "-> vCont;c\n<- E22\n-> p1\n<- 0200000000000000")
	must(t, c.Resume(ctx))
	var e *rsp.Error
	if _, err := c.Wait(ctx); !errors.As(err, &e) || e.Code != 22 {
		t.Errorf("Wait: %v, want E22", err)
	}
	if v, err := c.ReadRegister(ctx, "sp"); err != nil || v != 2 {
		t.Errorf("sp = %d, %v: the guest is halted still", v, err)
	}
}

// The breakpoint cannot be put back: the guest must not run without it.
func TestBreakpointLost(t *testing.T) {
	ctx := background(t)
	c, _ := scripted(t, rsp.Options{}, `-> Z0,1000,4
<- OK
-> z0,1000,4
-> vCont;s:p01.01
<- OK
<- T05thread:p01.01;
-> Z0,1000,4
-> vCont;c
<- E22
-> \x03
<- T02thread:p01.01;
-> Z0,1000,4
-> g
<- OK
<- `+rsptest.G(1, 2, 0x1004)+`
-> p1
<- 0200000000000000`)
	must(t, c.Insert(ctx, 0x1000))
	var e *rsp.Error
	if err := c.Resume(ctx); !errors.As(err, &e) || e.Code != 22 {
		t.Errorf("Resume: %v, want E22", err)
	}
	if _, err := c.ReadRegister(ctx, "sp"); err != nil {
		t.Errorf("the guest is not halted: %v", err)
	}
}

// ctx ends while a thread is being stepped off its breakpoint.
func TestResumeCutShort(t *testing.T) {
	ctx := background(t)
	c, stub := scripted(t, rsp.Options{}, `-> Z0,1000,4
<- OK
-> z0,1000,4
-> vCont;s:p01.01
<- OK
pause stop
<- T05thread:p01.01;
-> Z0,1000,4
-> g
<- OK
<- `+rsptest.G(1, 2, 0x1004)+`
-> vCont;c
`+stopped(5, 0x1000))
	must(t, c.Insert(ctx, 0x1000))
	if err := c.Resume(soon(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Resume: %v, want the context's error", err)
	}
	if err := c.Resume(ctx); !errors.Is(err, rsp.ErrRunning) {
		t.Fatalf("Resume: %v, want ErrRunning", err)
	}
	stub.Release("stop")
	stop, err := c.Wait(ctx)
	must(t, err)
	wantPC(t, stop, 0x1004)
	must(t, c.Resume(ctx))
	stop, err = c.Wait(ctx)
	must(t, err)
	wantPC(t, stop, 0x1000)
}

// With two vCPUs a step may end where it began, and be reported for the other.
func TestStepThatLedNowhere(t *testing.T) {
	look := func(thread string, pc uint64) string {
		return "-> Hg" + thread + "\n-> g\n<- OK\n<- " + rsptest.G(1, 2, pc) + "\n"
	}
	ctx := background(t)
	_, conn := rsptest.Start(t, t.Name(), rsptest.Join(rsptest.Handshake(0x1000, "p01.01", "p01.02"), rsptest.MustParse(
		// Step
		"-> vCont;s:p01.01\n<- T05thread:p01.02;\n"+look("p01.01", 0x1000)+
			"-> vCont;s:p01.01\n<- T05thread:p01.01;\n"+look("p01.01", 0x1004)+
			// Resume over the breakpoint that the other reports
			"-> Z0,2000,4\n<- OK\n-> vCont;c\n<- T05thread:p01.02;\n"+look("p01.02", 0x2000)+
			"-> z0,2000,4\n-> vCont;s:p01.02\n<- OK\n<- T05thread:p01.02;\n"+
			"-> Z0,2000,4\n-> Hgp01.02\n-> g\n<- OK\n<- OK\n<- "+rsptest.G(1, 2, 0x2000)+"\n"+
			"-> z0,2000,4\n-> vCont;s:p01.02\n<- OK\n<- T05thread:p01.02;\n"+
			"-> Z0,2000,4\n-> Hgp01.02\n-> g\n<- OK\n<- OK\n<- "+rsptest.G(1, 2, 0x2004)+"\n"+
			"-> vCont;c\n<- T05thread:p01.01;\n"+look("p01.01", 0x2000))))
	c := attach(t, conn, rsp.Options{})
	stop, err := c.Step(ctx, "p01.01")
	must(t, err)
	if diff := cmp.Diff(rsp.Stop{Signal: 5, Thread: "p01.01", PC: 0x1004}, stop); diff != "" {
		t.Errorf("step (-want +got):\n%s", diff)
	}
	must(t, c.Insert(ctx, 0x2000))
	resumeTo(t, ctx, c, 0x2000)
	stop = resumeTo(t, ctx, c, 0x2000)
	if stop.Thread != "p01.01" {
		t.Errorf("stop of %s, want p01.01", stop.Thread)
	}
}

func TestStepWithoutEnd(t *testing.T) {
	ctx := background(t)
	c, _ := scripted(t, rsp.Options{Timeout: 100 * time.Millisecond}, "-> vCont;s:p01.01\n-> \\x03\n"+stopped(2, 0x1000))
	if _, err := c.Step(ctx, ""); !errors.Is(err, rsp.ErrTimeout) {
		t.Fatalf("Step: %v, want ErrTimeout", err)
	}
	stop, err := c.Interrupt(ctx)
	must(t, err)
	wantPC(t, stop, 0x1000)
}

func TestDetach(t *testing.T) {
	ctx := background(t)
	c, stub := scripted(t, rsp.Options{}, "-> Z0,40,4\n<- OK\n-> vCont;c\n-> \\x03\n"+stopped(2, 0x5000)+
		"-> z0,40,4\n-> D;01\n<- OK\n<- OK")
	must(t, c.Insert(ctx, 0x40))
	must(t, c.Resume(ctx))
	must(t, c.Detach(ctx))
	<-stub.Done()
	must(t, c.Close())
	// The + that greets, and one for each packet of the stub but those that
	// came after the last that was sent: 8 of the handshake, Z0's
	// OK, the stop and its g.
	if got, want := stub.Acks(), 1+8+1+2; got != want {
		t.Errorf("%d acknowledgements, want %d: one too many halts the guest", got, want)
	}
}
