package main

import (
	"archive/zip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/images"
	"kernellab/images/emulator"
	"kernellab/internal/labtest"
	"kernellab/internal/schematest"
)

// autograding is an unpacked archive in the place of /autograder.
type autograding struct {
	root   string
	schema schematest.Schema
}

// run runs a script of the archive with nothing of this test's environment, and
// where that is allowed with no network.
func (g autograding) run(t *testing.T, script string, env ...string) int {
	t.Helper()
	args := []string{filepath.Join(g.root, "source", script)}
	if exec.Command("unshare", "-n", "true").Run() == nil {
		args = append([]string{"unshare", "-n"}, args...)
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "AUTOGRADER_ROOT=" + g.root, "AUTOGRADER_NO_INSTALL=1"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("%s: exit code %d\n%s", script, cmd.ProcessState.ExitCode(), out)
	return cmd.ProcessState.ExitCode()
}

// submit grades a program with answers, and returns the results, which have to
// be what Gradescope reads.
func (g autograding) submit(t *testing.T, prog, answers string, env ...string) (sum float64, graded bool, output string) {
	t.Helper()
	dir := filepath.Join(g.root, "submission")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "prog.go"), prog)
	write(t, filepath.Join(dir, "answers.yaml"), answers)
	g.run(t, "run_autograder", env...)
	return g.results(t)
}

func (g autograding) results(t *testing.T) (sum float64, graded bool, output string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.root, "results/results.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.schema.Check(t, string(text)); err != nil {
		t.Errorf("results.json: %v", err)
	}
	var r struct {
		Output string
		Tests  []struct{ Score *float64 }
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, test := range r.Tests {
		if test.Score != nil {
			sum, graded = sum+*test.Score, true
		}
	}
	return sum, graded, r.Output
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpack does what unzip does: files with their modes.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		to := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		from, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, f.Mode().Perm())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(file, from); err != nil {
			t.Fatal(err)
		}
		from.Close()
		file.Close()
	}
}

// The archive of an autograder grades in a folder of its own, with its own cache
// and toolchain and no network, and leaves results however it ends.
func TestGradescopeArchive(t *testing.T) {
	labtest.Long(t)
	machine, err := arch.Lookup("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	labtest.Programs(t, machine.Name, "bash", "setpriv", "timeout")
	if _, ok := emulator.In(&images.Cache{}).Cached(); !ok {
		labtest.Lacking(t, machine.Name, "the cache holds no QEMU: lab qemu fetch brings it")
	}
	// Not t.TempDir, whose parent is for this user alone: the scripts use another.
	root, err := os.MkdirTemp("", "lab-autograder")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	lab, err := exec.LookPath("lab")
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(root, "autograder.zip")
	if out, err := exec.Command(lab, "export", "gradescope", "fork-new", "--out", archive).CombinedOutput(); err != nil {
		labtest.Lacking(t, machine.Name, "the archive can not be made: "+string(out))
	}
	const limit = 100 << 20 // what Gradescope takes
	if info, err := os.Stat(archive); err != nil || info.Size() > limit {
		t.Errorf("the archive has %d bytes, over %d: %v", info.Size(), limit, err)
	}
	unpack(t, archive, filepath.Join(root, "source"))
	g := autograding{root: root, schema: schematest.Load(t, "../../harness/report/gradescope.schema.json")}
	if code := g.run(t, "setup.sh"); code != 0 {
		t.Fatalf("setup.sh ends with exit code %d", code)
	}
	right := readFile(t, "../../labs/fork-new/main.go")
	t.Run("a right program", func(t *testing.T) {
		if sum, graded, output := g.submit(t, right, ""); !graded || sum != 40 {
			t.Errorf("graded %t with %v points, want 40: %s", graded, sum, output)
		}
	})
	t.Run("a wrong program", func(t *testing.T) {
		sum, graded, output := g.submit(t, readFile(t, "../../labs/fork-new/testdata/wrong/no-fork/main.go"), "")
		if !graded || sum >= 40 || !strings.Contains(output, "never called sys_clone") {
			t.Errorf("graded %t with %v points: %s", graded, sum, output)
		}
	})
	t.Run("one that hangs", func(t *testing.T) {
		sum, graded, output := g.submit(t, readFile(t, "../../labs/fork-new/testdata/wrong/hang/main.go"), "")
		if !graded || sum >= 40 || !strings.Contains(output, "10s") {
			t.Errorf("graded %t with %v points: %s", graded, sum, output)
		}
	})
	t.Run("one that does not compile", func(t *testing.T) {
		if sum, graded, output := g.submit(t, "package main\nfunc main() { x }\n", ""); !graded || sum != 0 || !strings.Contains(output, "does not compile") {
			t.Errorf("graded %t with %v points: %s", graded, sum, output)
		}
	})
	// From here on nothing is graded, which is no zero.
	t.Run("no time", func(t *testing.T) {
		// A millisecond is over before lab has begun. A program that hangs is no way here: its
		// limit is of its guest's time.
		_, graded, output := g.submit(t, right, "", "AUTOGRADER_LIMIT=0.001")
		if graded || !strings.Contains(output, "too long") {
			t.Errorf("graded %t: %s", graded, output)
		}
	})
	t.Run("no QEMU", func(t *testing.T) {
		env := filepath.Join(root, "source/env.sh")
		text := readFile(t, env)
		defer write(t, env, text)
		qemu := filepath.Join(root, "source/cache/qemu")
		if err := os.Rename(qemu, qemu+".away"); err != nil {
			t.Fatal(err)
		}
		defer os.Rename(qemu+".away", qemu)
		write(t, env, strings.ReplaceAll(text, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", root+"/bin"))
		for _, program := range []string{"prlimit", "bwrap"} {
			if path, err := exec.LookPath(program); err == nil {
				os.MkdirAll(filepath.Join(root, "bin"), 0o755)
				if err := os.Symlink(path, filepath.Join(root, "bin", program)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, graded, output := g.submit(t, right, ""); graded || !strings.Contains(output, "not your mistake") {
			t.Errorf("graded %t: %s", graded, output)
		}
	})
	t.Run("killed", func(t *testing.T) { g.killed(t) })
}

// killed kills the script, and all it started, once results are there.
func (g autograding) killed(t *testing.T) {
	if err := os.RemoveAll(filepath.Join(g.root, "results")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(g.root, "source/run_autograder"))
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "AUTOGRADER_ROOT=" + g.root}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tick, hang := time.NewTicker(10*time.Millisecond), time.After(sessionLimit)
	defer tick.Stop()
	for there := false; !there; {
		_, err := os.Stat(filepath.Join(g.root, "results/results.json"))
		there = err == nil
		select {
		case <-tick.C:
		case <-hang:
			t.Error("the script has left no results")
			there = true
		}
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	cmd.Wait()
	stopped := func(when string) {
		if _, graded, output := g.results(t); graded || !strings.Contains(output, "stopped before it finished") {
			t.Errorf("%s: graded %t: %s", when, graded, output)
		}
	}
	stopped("killed")
	// lab has a group of its own, from timeout, and ends later. The results stay.
	noProcess(t, g.root+"/source/lab")
	stopped("when lab has ended")
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
