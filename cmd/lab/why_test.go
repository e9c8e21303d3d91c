package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/why"
	"kernellab/internal/labtest"
	"kernellab/internal/schematest"
)

// TestWhy follows values of a new task to the code that wrote them, on both
// architectures.
func TestWhy(t *testing.T) {
	labtest.Long(t)
	onCache(t, func(t *testing.T, a arch.Arch, cache string) {
		ask := func(code int, args ...string) (why.Document, string) {
			t.Helper()
			cmd := labCommand(t, cache, append([]string{"why", "fork-new", "--arch", a.Name}, args...)...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != code {
				t.Fatalf("lab why %s: exit %d, want %d: %s", strings.Join(args, " "), got, code, stderr.String())
			}
			if args[len(args)-1] != "json" {
				return why.Document{}, stdout.String() + stderr.String()
			}
			var doc why.Document
			if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil || len(doc.Values) != 1 {
				t.Fatalf("lab why %s: %v, %d values", strings.Join(args, " "), err, len(doc.Values))
			}
			if err := schematest.Load(t, "why.schema.json").Check(t, stdout.String()); err != nil {
				t.Error(err)
			}
			return doc, ""
		}

		// The child's stack pointer: set in copy_thread, over a copy of its parent's.
		doc, _ := ask(0, "--at", "wake_up_new_task", "arg.p.thread.sp", "--depth", "2", "--format", "json")
		v := doc.Values[0]
		if len(v.Writes) != 2 || v.Note != "" {
			t.Fatalf("thread.sp: %+v", v)
		}
		last, copied := v.Writes[0], v.Writes[1]
		if last.Symbol != "copy_thread" || last.New != v.Value || last.After != "copy_thread" || last.Task.Comm != "fork-new" || last.AtMost <= 0 {
			t.Errorf("the last write of thread.sp: %+v", last)
		}
		if copied.CopiedFrom == 0 || copied.New != last.Old || copied.After != "dup_task_struct" {
			t.Errorf("the write of thread.sp before: %+v", copied)
		}
		if n := len(last.Stack); n < 4 || last.Stack[0].Symbol != "copy_thread" || last.Stack[1].Symbol != "copy_process" || !last.Stack[n-1].User {
			t.Errorf("the stack of the last write: %v", last.Stack)
		}

		// What fork returns in the child: a constant, over a copy of the parent's frame,
		// which the entry of the system call made before the lab's first stop.
		doc, _ = ask(0, "--at", "ret_from_fork", "current.user.ret", "--format", "json")
		v = doc.Values[0]
		if len(v.Writes) != 3 || v.Value != "0" {
			t.Fatalf("user.ret: %+v", v)
		}
		const enosys = "0xffffffffffffffda (-38)"
		zero, frame, entry := v.Writes[0], v.Writes[1], v.Writes[2]
		if zero.Symbol != "copy_thread" || zero.Kind != "constant" || zero.New != "0" || zero.Old != enosys {
			t.Errorf("the last write of user.ret: %+v", zero)
		}
		if frame.Symbol != "copy_thread" || frame.CopiedFrom == 0 || frame.CopiedFrom != entry.Address || frame.New != enosys {
			t.Errorf("the copy of the parent's frame: %+v", frame)
		}
		if entry.Kind != "constant" || entry.New != enosys || entry.Symbol == "copy_thread" {
			t.Errorf("the entry of the system call: %+v", entry)
		}

		// At the lab's first stop only a run from the program's start can tell.
		doc, _ = ask(0, "--at", "sys_clone", "current.user.ret", "--depth", "1", "--format", "json")
		if v = doc.Values[0]; len(v.Writes) != 1 || v.Note != "" || v.Writes[0].PC != entry.PC || v.Writes[0].After != "the program's start" {
			t.Errorf("user.ret at the first stop: %+v", v)
		}

		_, text := ask(0, "--at", "wake_up_new_task", "u64(arg.p.stack)", "--depth", "1")
		for _, want := range []string{"0x57ac6e9d", "1. copy_process+0x", "not mapped -> 0x57ac6e9d, a constant in the code", "after dup_task_struct, at most", "kernel_clone+"} {
			if !strings.Contains(text, want) {
				t.Errorf("the end of the stack: no %q in\n%s", want, text)
			}
		}
		for want, args := range map[string][]string{
			"reads no memory of the guest":          {"--at", "wake_up_new_task", "arg.p"},
			"--at is missing":                       {"arg.p.pid"},
			"did you mean copy_thread":              {"--at", "copy_thred", "arg.p.pid"},
			"name a member, or at most 4096":        {"--at", "wake_up_new_task", "0xffff888000000000:5000"},
			"read 8 bytes at 0x10":                  {"--at", "sys_clone", "0x10"},
			"takes a lab and an expression":         {"--at", "sys_clone"},
			`no member of struct task_struct "pit"`: {"--at", "wake_up_new_task", "arg.p.pit"},
		} {
			if _, text := ask(2, args...); !strings.Contains(text, want) {
				t.Errorf("lab why %s does not say %q: %s", strings.Join(args, " "), want, text)
			}
		}
	})
}
