package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/task"
	"kernellab/harness/trace"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/internal/labtest"
	"kernellab/internal/schematest"
)

// lookDocument is what the commands print with --format json.
type lookDocument struct {
	Schema string        `json:"schema"`
	Tasks  []task.Info   `json:"tasks"`
	Task   task.Info     `json:"task"`
	Frames []trace.Frame `json:"frames"`

	Samples []task.Info `json:"samples"`
}

// TestLook looks into guests of both architectures, on their default kernels.
func TestLook(t *testing.T) {
	labtest.Long(t)
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			qemutest.Command(t, a.Name, a.QEMU.Binary)
			if k, err := linux.In(&images.Cache{}).Kernels(a.Name); err != nil || len(k) == 0 {
				labtest.Lacking(t, a.Name, "the cache holds no kernel for "+a.Name+": lab kernels fetch brings one")
			}
			look := func(code int, args ...string) (doc lookDocument, out, errs string) {
				t.Helper()
				var stdout, stderr bytes.Buffer
				if got := run(append(args, "--arch", a.Name), strings.NewReader(""), &stdout, &stderr); got != code {
					t.Fatalf("lab %s: exit %d, want %d: %s", strings.Join(args, " "), got, code, stderr.String())
				}
				if args[len(args)-1] == "json" {
					if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil {
						t.Fatal(err)
					}
					if err := schematest.Load(t, "look.schema.json").Check(t, stdout.String()); err != nil {
						t.Error(err)
					}
				}
				return doc, stdout.String(), stderr.String()
			}
			all, _, _ := look(0, "ps", "--format", "json")
			if len(all.Tasks) < 30 || all.Tasks[0].Comm != "swapper/0" || all.Tasks[1].Comm != "init" {
				t.Errorf("ps lists %d tasks", len(all.Tasks))
			}
			if _, tree, _ := look(0, "tree"); !strings.Contains(tree, "├─ init(1)") || !strings.Contains(tree, "[kthreadd](2)") {
				t.Errorf("tree:\n%s", tree)
			}
			at, _, _ := look(0, "task", "--lab", "fork-new", "--at", "copy_thread", "--format", "json")
			if i := at.Task; i.Exe != "/bin/fork-new" || i.Creds == nil || i.Creds.UID[0] != 1000 || len(i.Files) < 3 || !i.Running {
				t.Errorf("task: %+v", i)
			}
			st, _, _ := look(0, "stack", "--lab", "fork-new", "--at", "copy_thread", "--format", "json")
			if n := len(st.Frames); n < 5 || st.Frames[0].Symbol != "copy_thread" || !st.Frames[n-1].User || !st.Frames[n-1].Trusted {
				t.Errorf("stack: %v", st.Frames)
			}
			// A second of the guest's time is between two samples, and they repeat.
			every := []string{"task", "--every", "1s", "--count", "2", "--lab", "current-switch", "--format", "json"}
			doc, first, _ := look(0, every...)
			if _, again, _ := look(0, every...); again != first {
				t.Error("the samples of two runs differ")
			}
			if len(doc.Samples) != 2 || doc.Samples[0].Clock == nil || doc.Samples[1].Clock == nil {
				t.Fatalf("samples: %s", first)
			}
			for _, i := range doc.Samples {
				if !i.Running || i.Clock.Now < i.Times.Start || len(i.Unread) > 0 {
					t.Errorf("sample: %+v", i)
				}
			}
			if past := doc.Samples[1].Clock.Now - doc.Samples[0].Clock.Now; past < 900*time.Millisecond || past > 1100*time.Millisecond {
				t.Errorf("from one sample to the next %s passed", past)
			}
			if _, _, errs := look(2, "task", "--every", "1500ms"); !strings.Contains(errs, "whole seconds") {
				t.Errorf("--every 1500ms: %s", errs)
			}
			if _, _, errs := look(2, "stack", "99999"); !strings.Contains(errs, "no task with pid 99999") {
				t.Errorf("a pid that is not there: %s", errs)
			}
		})
	}
}
