package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"kernellab/harness/arch"
	"kernellab/harness/class"
	"kernellab/harness/kernel"
	"kernellab/harness/verdict"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/images/sandbox"
	"kernellab/internal/labtest"
)

// hostile is a submission that was written to get a mark that it does not deserve,
// or to take from others the marks that they do.
type hostile struct {
	name    string
	attempt string
	// make writes the submission of a student to path, a folder with the honest
	// answers in it unless bare is set. nil takes the program of that name of
	// labs/fork-new/testdata/hostile.
	make func(t *testing.T, path string)
	bare bool

	pass    bool     // it does what the lab asks all the same
	want    string   // in its findings
	never   []string // in what its program printed: that would say that it got through
	endless bool     // ends at its limit only, which is endlessLimit
	riscv   bool     // tried on riscv64 too: the guest's part in it differs
}

// endlessLimit is ten times what an honest program takes of its guest's time, and leaves
// time for the program that leaves others behind (daemon). What the host takes for it has
// no part in a mark.
const endlessLimit = "2s"

// hostilePrograms are sources of labs/fork-new/testdata/hostile, which compile.
var hostilePrograms = []hostile{
	{name: "lines-only", attempt: "prints the output and does nothing", want: "never called sys_clone"},
	{name: "imitate-agent", attempt: "prints the agent's framing and a passing verdict on every way out", want: "never called sys_clone", never: []string{"wrote to"}, riscv: true},
	{name: "host-calls", attempt: "makes the agent's call of the host as it does the work", pass: true, riscv: true},
	{name: "host-call-flood", attempt: "makes the agent's call of the host without end", want: "sys_clone", riscv: true},
	{name: "kill-agent", attempt: "signals, traces and reads the agent, kills everything", want: "never called sys_clone", never: []string{"traced", "read the", "opened the"}, riscv: true},
	{name: "panic", attempt: "asks for a kernel panic, and prints one", want: "did not print", never: []string{"wrote"}, riscv: true},
	{name: "reboot", attempt: "reboots, halts, runs init again", want: "sys_clone"},
	{name: "namespaces", attempt: "becomes root in a namespace of its own", want: "never called sys_clone", never: []string{"namespace", "mounted", "root"}},
	{name: "borrow", attempt: "becomes another program of the guest's", want: "never called sys_clone"},
	{name: "rename", attempt: "calls itself kthreadd and swapper/0 as it does the work", pass: true},
	{name: "threads", attempt: "forks in six threads at once", want: "expected 1 hit"},
	{name: "vfork", attempt: "vfork in the place of fork", want: "never called sys_clone"},
	{name: "close-all", attempt: "closes all its descriptors", want: "did not print"},
	{name: "daemon", attempt: "does the work, leaves processes that print and fork on", pass: true},
	{name: "breakpoint", attempt: "stops as at a breakpoint", want: "SIGSEGV"},
	{name: "trap-flag", attempt: "does the work step by step, with the processor's trap flag", pass: true},
	{name: "debugger", attempt: "debugs a child of its own, with debug registers", want: "did not print"},
	{name: "sockets", attempt: "takes the kernel's memory, in sockets", want: "sys_clone", endless: true},
	{name: "fill-disk", attempt: "fills every folder", want: "never called sys_clone", never: []string{"in /dev\n", "in /\n", "in /bin", "in /root"}},
	{name: "shared-memory", attempt: "takes memory that outlives it", want: "never called sys_clone", never: []string{"for ever"}},
	{name: "semaphores", attempt: "takes the kernel's memory, in semaphores that outlive it", want: "sys_clone", endless: true, riscv: true},
	{name: "messages", attempt: "takes the kernel's memory, in messages that outlive it", want: "sys_clone", endless: true},
	{name: "access-lists", attempt: "takes the kernel's memory, in access control lists of files", want: "never called sys_clone", riscv: true},
	{name: "far-return", attempt: "returns to the kernel's memory, on an old QEMU with the kernel's rights"},
	{name: "lock-bts", attempt: "runs an instruction that ends an old QEMU"},
	{name: "memory", attempt: "takes all memory in sixteen processes", want: "sys_clone"},
	{name: "endless-output", attempt: "prints without end", want: "did not end", endless: true},
	{name: "endless-loop", attempt: "never ends", want: "did not end", endless: true},
	{name: "sleep", attempt: "waits for ever, deaf to signals", want: "did not end", endless: true},
	{name: "stop-itself", attempt: "stops itself", want: "did not end", endless: true},
	{name: "fork-bomb", attempt: "forks without end", want: "sys_clone", riscv: true},
}

// neighbours is how many hostile programs have one honest neighbour.
const neighbours = 6

// TestHostile grades a class of hostile submissions with an honest one beside every sixth
// program, two at a time, as lab grade does for an instructor. Every submission
// gets a mark and a finding of its own, and the honest mark never changes.
func TestHostile(t *testing.T) {
	for _, m := range arch.All() {
		t.Run(m.Name, func(t *testing.T) {
			image := hostileKernel(t, m)
			dir := t.TempDir()
			var cases []hostile
			for _, h := range slices.Concat(hostilePrograms, hostileSources, hostileFolders, hostileAnswers) {
				if m.Name == "x86_64" || h.riscv {
					cases = append(cases, h)
				}
			}
			answers := honestAnswers(t, image)
			for i, h := range cases {
				path := filepath.Join(dir, fmt.Sprintf("%02d-%s", i, h.name))
				if !h.bare {
					writeFiles(t, path, map[string]string{"answers.yaml": answers})
				}
				if h.make == nil {
					h.make = program(h.name)
				}
				h.make(t, path)
				if i < len(hostilePrograms) && i%neighbours == 0 {
					honest(t, filepath.Join(dir, fmt.Sprintf("%02d-%s~honest", i, h.name)), answers)
				}
			}
			out := filepath.Join(t.TempDir(), "graded")
			var stderr bytes.Buffer
			lab := func(args ...string) int {
				stderr.Reset()
				return run(append(args, "--arch", m.Name), strings.NewReader(""), io.Discard, &stderr)
			}
			// A kernel that does not run the lab's own program is no kernel to grade on.
			if code := lab("run", "fork-new"); code != exitPass {
				t.Fatalf("lab run ended with %d\n%s", code, stderr.String())
			}
			grading := []string{"grade", "fork-new", "--submissions", dir, "--out", out, "--jobs", "2"}
			if slices.ContainsFunc(cases, func(h hostile) bool { return h.endless }) {
				grading = append(grading, "--timeout", endlessLimit)
			}
			code := lab(grading...)
			if code != exitFail {
				t.Errorf("lab grade ended with %d, want %d: graded, and some failed\n%s", code, exitFail, stderr.String())
			}
			hostileTable(t, out, cases)
			reports(t, out)
			if _, err := os.Stat("/tmp/lab-hostile-was-here"); err == nil {
				t.Error("code of a submission ran on the host")
			}
		})
	}
}

// hostileKernel returns the kernel to grade on, or skips.
func hostileKernel(t testing.TB, m arch.Arch) *kernel.Image {
	t.Helper()
	labtest.Long(t)
	qemutest.Command(t, m.Name, m.QEMU.Binary)
	if path, packages := compile.CCompiler(m.GOARCH); path == "" {
		labtest.Lacking(t, m.Name, "no C compiler for it: install "+packages)
	}
	cache := &images.Cache{}
	k, err := linux.In(cache).Find(m.Name, linux.DefaultSpec(m.Name))
	if err != nil {
		labtest.Lacking(t, m.Name, err.Error())
	}
	var none *sandbox.UnavailableError
	if _, err = compile.New(t.Context(), cache); errors.As(err, &none) {
		labtest.Lacking(t, m.Name, err.Error())
	}
	image, err := kernel.Open(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// hostileTable checks the verdicts of a class and prints what became of each.
func hostileTable(t *testing.T, out string, cases []hostile) {
	t.Helper()
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "attempt\toutcome\tmark\texit\tneighbour")
	alone := ""
	for i, h := range cases {
		name := fmt.Sprintf("%02d-%s", i, h.name)
		r := resultOf(t, out, name)
		var told []string
		for _, f := range r.Findings {
			told = append(told, strings.TrimSpace(f.Message+"\n"+f.Text))
		}
		all := strings.Join(told, "; ")
		switch {
		case r.Verdict == verdict.Error:
			t.Errorf("%s: not graded: %s", name, r.Error)
		case (r.Verdict == verdict.Pass) != h.pass:
			t.Errorf("%s: %s, want pass to be %t: %s", name, mark(r), h.pass, all)
		case !h.pass && len(told) == 0:
			t.Errorf("%s: no finding", name)
		case !strings.Contains(all, h.want):
			t.Errorf("%s: no finding says %q: %s", name, h.want, all)
		case len(all) > 100_000:
			t.Errorf("%s: the findings have %d bytes", name, len(all))
		}
		evidence, _ := os.ReadFile(filepath.Join(out, class.Folder(name), "trace.jsonl"))
		for _, s := range h.never {
			quoted, _ := json.Marshal(s)
			if bytes.Contains(evidence, bytes.Trim(quoted, `"`)) && bytes.Contains(outputOf(evidence), []byte(s)) {
				t.Errorf("%s: it got through: %.300q", name, outputOf(evidence))
			}
		}
		beside := "-"
		if i < len(hostilePrograms) && i%neighbours == 0 {
			r := resultOf(t, out, name+"~honest")
			if alone == "" {
				alone = mark(r)
			}
			if beside = mark(r); beside != alone || r.Verdict != verdict.Pass {
				t.Errorf("the honest neighbour of %s: %s, want %s: %s %v", name, beside, alone, r.Error, r.Findings)
			}
		}
		first := "does what the lab asks"
		if len(told) > 0 {
			first, _, _ = strings.Cut(told[0], "\n")
		}
		fmt.Fprintf(w, "%s: %s\t%.90s\t%s\t%d\t%s\n", h.name, h.attempt, first, mark(r), exitOf(r), beside)
	}
	w.Flush()
	t.Logf("\n%s", table.String())
}

// reports checks that nothing a student named or wrote breaks the class's reports.
func reports(t *testing.T, out string) {
	t.Helper()
	junit, err := os.ReadFile(filepath.Join(out, class.JUnitFile))
	must(t, err)
	for d := xml.NewDecoder(bytes.NewReader(junit)); err == nil; {
		_, err = d.Token()
	}
	if err != io.EOF {
		t.Errorf("%s: %v", class.JUnitFile, err)
	}
	for _, name := range []string{class.GradesFile, class.TextFile} {
		text, err := os.ReadFile(filepath.Join(out, name))
		must(t, err)
		if i := bytes.IndexAny(text, "\x00\x1b"); i >= 0 {
			t.Errorf("%s has a control character: %.60q", name, text[i:])
		}
	}
}

func exitOf(r verdict.Result) int {
	return map[verdict.Verdict]int{verdict.Pass: exitPass, verdict.Fail: exitFail, verdict.Error: exitError}[r.Verdict]
}

func mark(r verdict.Result) string { return fmt.Sprintf("%s %d/%d", r.Verdict, r.Score, r.MaxScore) }

// resultOf reads a student's verdict.
func resultOf(t testing.TB, out, student string) verdict.Result {
	t.Helper()
	var doc verdict.Document
	data, err := os.ReadFile(filepath.Join(out, class.Folder(student), "verdict.json"))
	if err == nil {
		err = json.Unmarshal(data, &doc)
	}
	if err != nil || len(doc.Results) != 1 {
		t.Fatalf("the verdict of %s: %v, %d results", student, err, len(doc.Results))
	}
	return doc.Results[0]
}

// outputOf returns what a program printed, by the trace of its run.
func outputOf(evidence []byte) []byte {
	for line := range bytes.Lines(evidence) {
		var e struct{ Exit *struct{ Output string } }
		if json.Unmarshal(line, &e) == nil && e.Exit != nil {
			return []byte(e.Exit.Output)
		}
	}
	return nil
}

// honestAnswers are right on this kernel.
func honestAnswers(t testing.TB, image *kernel.Image) string {
	t.Helper()
	first, err := image.Resolve("ret_from_fork")
	if err != nil {
		t.Fatal(err)
	}
	regs, err := image.SizeOf("pt_regs")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`path: [sys_clone, kernel_clone, copy_process, dup_task_struct, copy_thread, wake_up_new_task]
first-function: %s
first-address: %#x
stack-distance: %d
exit-code: 256
child-own: [task_struct, kernel stack, pid]
who-frees: its parent's
zero: copy_thread stored it in the saved registers
stack-size: it has more user registers to save
no-signal: a plain wait4 would not find the child
`, first.Symbol, first.Addr, regs)
}

// program takes a program of the hostile collection.
func program(name string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		source, err := os.ReadFile(filepath.Join("../../labs/fork-new/testdata/hostile", name, "prog.c"))
		if err != nil {
			t.Fatal(err)
		}
		writeFiles(t, path, map[string]string{"prog.c": string(source)})
	}
}

func honest(t *testing.T, path, answers string) {
	t.Helper()
	writeFiles(t, path, map[string]string{"answers.yaml": answers})
	program("honest")(t, path)
}

func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
