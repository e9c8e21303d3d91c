package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/session"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/internal/labtest"
	"kernellab/labs"
)

const mostAnswers = `path: [sys_clone, kernel_clone, copy_process, dup_task_struct, copy_thread, wake_up_new_task]
first-function: ret_from_fork
stack-distance: {x86_64: 168, riscv64: 288}
child-own: [task_struct, kernel stack, pid]
who-frees: its parent's
exit-code: 256
zero: copy_thread stored it in the saved registers
stack-size: it has more user registers to save
no-signal: a plain wait4 would not find the child
`

const inC = `#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void say(const char *s) { write(1, s, strlen(s)); }
int main(void)
{
	pid_t child = fork();
	if (child == 0) {
		say("This is Child Process!\n");
		_exit(0);
	}
	say("This is Parent Process!\n");
	waitpid(child, 0, 0);
	say("Child Complete!\n");
	return 0;
}
`

// TestSubmission grades what students may hand in on real kernels: what is right
// counts, and what is wrong costs its own part only.
func TestSubmission(t *testing.T) {
	if testing.Short() {
		t.Skip("runs QEMU: not with -short")
	}
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	template, err := l.Template("go")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("../../labs/fork-new/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			cache, address := realCache(t, a), ""
			for name, tt := range map[string]struct {
				files    map[string]string
				score    int
				feedback string
			}{
				"as it begins":     {template, 0, "not answered"},
				"own program":      {map[string]string{"prog.go": string(own), "answers.yaml": mostAnswers}, 96, "**96 of 100 points.**"},
				"in C":             {map[string]string{"prog.c": inC, "answers.yaml": mostAnswers}, 96, "**96 of 100 points.**"},
				"does not compile": {map[string]string{"prog.go": "package main\n\nfunc main() {\n\tfork()\n}\n", "answers.yaml": mostAnswers}, 56, "prog.go:4:2: undefined: fork"},
				"no program":       {map[string]string{"answers.yaml": mostAnswers + "who: me\n"}, 56, `no question "who"`},
				"answers broken":   {map[string]string{"prog.go": string(own), "answers.yaml": "a: &a [*a]\n"}, 40, "answers.yaml:1: "},
			} {
				if a.Name != arch.Names()[0] && name != "in C" {
					continue // what differs between them is compiling and the truth
				}
				t.Run(name, func(t *testing.T) {
					if _, c := tt.files["prog.c"]; c {
						labtest.Programs(t, a.Name, map[string]string{"x86_64": "x86_64-linux-gnu-gcc", "riscv64": "riscv64-linux-gnu-gcc"}[a.Name])
					}
					res, feedback, at := submit(t, cache, a.Name, tt.files)
					if at != "" {
						address = at
					}
					if res.Verdict != verdict.Fail || res.Score != tt.score || res.MaxScore != 100 {
						t.Errorf("%s %d/%d, want fail %d/100: %s %+v", res.Verdict, res.Score, res.MaxScore, tt.score, res.Error, res.Findings)
					}
					if !strings.Contains(feedback, tt.feedback) {
						t.Errorf("the feedback does not say %q:\n%s", tt.feedback, feedback)
					}
				})
			}
			// What is all right passes: the address is this kernel's.
			if address == "" {
				t.Fatal("no run came to the child's first instruction")
			}
			files := map[string]string{"prog.go": string(own), "answers.yaml": mostAnswers + "first-address: " + address + "\n"}
			again, feedback, _ := submit(t, cache, a.Name, files)
			if !again.Passed() || !strings.Contains(feedback, "**Passed: 100 of 100 points.**") {
				t.Errorf("%s %d/%d: %+v\n%s", again.Verdict, again.Score, again.MaxScore, again.Findings, feedback)
			}
		})
	}
}

// submit hands in files and returns the verdict, the feedback, and where the child
// started.
func submit(t *testing.T, cache, machine string, files map[string]string) (res verdict.Result, feedback, address string) {
	t.Helper()
	dir, out := t.TempDir(), t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	doc := runLab(t, cache, "run", "fork-new", "--arch", machine, "--submission", dir, "--out", out, "--format", "json")
	// Graded again, without a guest, it is the same: by what the run left, and by what
	// was handed in.
	for _, how := range [][]string{{"check", out}, {"check", filepath.Join(out, "trace.jsonl")}, {"check", out, "--submission", dir}} {
		again := runLab(t, cache, append(how, "--format", "json")...)
		if diff := cmp.Diff(doc, again); diff != "" {
			t.Errorf("lab %s (-run +check):\n%s", strings.Join(how, " "), diff)
		}
	}
	told, err := os.ReadFile(filepath.Join(out, session.FeedbackFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(told), doc.Results[0].Error} {
		if strings.Contains(text, dir) || strings.Contains(text, cache) {
			t.Errorf("a path of the host is told: %s", text)
		}
	}
	return doc.Results[0], string(told), start(t, filepath.Join(out, "trace.jsonl"))
}

// start is the address of the child's first instruction, as a trace has it.
func start(t *testing.T, file string) string {
	t.Helper()
	tr, err := readTrace(file)
	if err != nil {
		return "" // no program was run
	}
	for _, e := range tr.Events {
		if e.Point == "ret_from_fork" {
			return e.Address.String()
		}
	}
	return ""
}

// runLab runs lab and returns the document, whose exit code is its own.
func runLab(t *testing.T, cache string, args ...string) verdict.Document {
	t.Helper()
	cmd := labCommand(t, cache, args...)
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	doc, err := verdict.Decode(&out)
	if err != nil || len(doc.Results) != 1 {
		t.Fatalf("lab %s: %v\n%s", strings.Join(args, " "), err, told.String())
	}
	if code := cmd.ProcessState.ExitCode(); code != doc.ExitCode() {
		t.Errorf("exit code %d, the document's is %d", code, doc.ExitCode())
	}
	return doc
}

// readTrace reads a trace.
func readTrace(path string) (*trace.Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return trace.Read(f)
}
