package task_test

import (
	"context"
	"slices"
	"testing"

	"kernellab/harness/trace"
	"kernellab/images/guest"
)

// TestEveryInstruction unwinds before every instruction that the kernel executes
// in some system calls. What lies above the function at which it began must stay
// the same until that returns, and the stack grows or shrinks by one call at a
// time: an unwinding that goes wrong breaks one or the other, or marks a frame. Of a
// long call it unwinds the beginning.
func TestEveryInstruction(t *testing.T) {
	t.Parallel()
	const steps = 1200 // in each call
	eachKernel(t, func(t *testing.T, z *zoo) {
		ctx := t.Context()
		w := walk{zoo: z, t: t, functions: map[string]bool{}, marked: map[string]int{}}
		z.release(t, z.start(t, guest.Program{Args: []string{"look"}}))
		for _, name := range []string{
			"iterate_dir", "do_sys_openat2", "do_task_stat", "proc_pid_status", "vfs_read", "do_readlinkat", "proc_pid_readlink", "vfs_write",
		} {
			sym, err := z.image.Symbols.Lookup(name)
			if err != nil {
				continue // not in every kernel
			}
			w.call(ctx, sym.Addr, steps)
		}
		t.Logf("%d instructions in %d functions; marked: %v; the deepest stack has %d frames", w.steps, len(w.functions), w.marked, w.deepest)
		total := 0
		for _, n := range w.marked {
			total += n
		}
		// An interrupt of code that keeps no frame is marked for as long as it takes.
		if w.steps < 3000 || len(w.functions) < 60 || total*10 > w.steps {
			t.Errorf("too little was unwound")
		}
	})
}

// walk counts what was seen.
type walk struct {
	*zoo
	t         *testing.T
	steps     int
	deepest   int
	functions map[string]bool
	marked    map[string]int
}

// call waits for a call of the function at addr and steps through it.
func (w *walk) call(ctx context.Context, addr uint64, steps int) {
	w.t.Helper()
	w.insert(ctx, w.t, addr)
	w.stop(ctx, w.t)
	w.remove(ctx, w.t, addr)
	first := w.frames(ctx)
	above := first[1:]
	depth := len(first)
	for n := range steps {
		if _, err := w.Stub.Step(ctx, ""); err != nil {
			w.t.Fatal(err)
		}
		now := w.frames(ctx)
		last := now[len(now)-1]
		w.steps++
		w.functions[now[0].Symbol] = true
		w.deepest = max(w.deepest, len(now))
		if !last.Trusted {
			w.marked[last.Doubt]++
			continue
		}
		const stackSize = 16 << 10 // of both architectures, and its alignment
		if len(now) <= len(above) || now[0].SP/stackSize != first[0].SP/stackSize {
			return // it returned, or another task's stack was switched to
		}
		same := slices.EqualFunc(now[len(now)-len(above):], above, func(a, b trace.Frame) bool { return a.PC == b.PC && a.SP == b.SP })
		if !same || len(now)-depth > 1 || depth-len(now) > 1 {
			w.t.Errorf("instruction %d of the call went wrong silently:\n  %v\nbegan with\n  %v", n+1, now, first)
			return
		}
		depth = len(now)
	}
}

// frames unwinds the stopped task.
func (w *walk) frames(ctx context.Context) []trace.Frame {
	w.t.Helper()
	regs, current := w.stand(ctx, w.t)
	return w.reader.View().Backtrace(ctx, current, regs)
}
