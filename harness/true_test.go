package harness_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/report"
	"kernellab/harness/report/reporttest"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/internal/labtest"
	"kernellab/labs"
)

// truthful checks that what the page of a run says is in the run's trace.
func truthful(t *testing.T, j harness.Job, out *harness.Outcome) {
	t.Helper()
	var b strings.Builder
	page := report.NewRun(&b, j.Rules, report.Style{Width: 100, Verbose: true})
	page.Kernel(out.Trace.Header)
	for _, e := range out.Trace.Events {
		page.Event(e)
	}
	if err := page.Result(out.Result); err != nil {
		t.Fatal(err)
	}
	wrong := reporttest.False(b.String(), out.Trace)
	for _, w := range wrong {
		t.Errorf("%s with %s: %s", j.Lab, filepath.Base(j.Program), w)
	}
	if len(wrong) > 0 {
		t.Log(b.String())
	}
}

// inC runs a lab's program in C, which uses glibc's calls. It compiles without warnings,
// it has to pass, and what the page says of it has to be true.
func inC(t *testing.T, a arch.Arch, l labs.Lab, j harness.Job) {
	t.Helper()
	dir := filepath.Join("../labs", l.Name, "c")
	gcc, packages := compile.CCompiler(a.GOARCH)
	if gcc == "" {
		labtest.Lacking(t, a.Name, "no C compiler for it: install "+packages)
	}
	warnings := exec.Command(gcc, "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-c", "-o", os.DevNull, filepath.Join(dir, "prog.c"))
	if text, err := warnings.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", l.Name, err, text)
	}
	compiler, err := compile.New(t.Context(), &images.Cache{})
	if err != nil {
		t.Fatal(err)
	}
	j.Program, err = compiler.Build(t.Context(), a.GOARCH, l.Name, os.DirFS(dir), nil)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	truthful(t, j, pass(t, j))
}
