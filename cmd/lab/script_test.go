package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"kernellab/harness/arch"
	"kernellab/internal/labtest"
)

// TestMain lets the scripts call lab as a command: this binary under another name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lab": main})
}

// labCommand returns a process of lab with a cache, and without colours.
func labCommand(t testing.TB, cache string, args ...string) *exec.Cmd {
	t.Helper()
	lab, err := exec.LookPath("lab")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(lab, args...)
	cmd.Env = append(os.Environ(), "LAB_CACHE="+cache, "NO_COLOR=1")
	return cmd
}

// onCache runs a subtest for each architecture, with the cache that has its kernels.
func onCache(t *testing.T, test func(t *testing.T, a arch.Arch, cache string)) {
	labtest.Long(t)
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) { test(t, a, realCache(t, a)) })
	}
}

// TestScripts runs the transcripts of testdata/script: the command line and its
// exit codes, without QEMU.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("LAB_CACHE", env.WorkDir+"/cache")
			env.Setenv("NO_COLOR", "1")
			env.Setenv("LAB_QEMU", "")
			lab, err := exec.LookPath("lab") // for scripts that change PATH
			if err != nil {
				return err
			}
			env.Setenv("LAB", lab)
			// Nothing here may reach for the network.
			env.Setenv("LAB_DEBIAN_MIRROR", "file://"+env.WorkDir+"/no-mirror")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// code N COMMAND…: the command exits with that code.
			"code": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: code N COMMAND…")
				}
				ts.Check(exitsWith(ts, args[0], args[1:]))
			},
		},
	})
}
