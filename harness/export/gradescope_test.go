package export

import (
	"archive/zip"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/images/compile"
	"kernellab/images/linux"
	"kernellab/labs"
)

func gradescope(t *testing.T) Gradescope {
	t.Helper()
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	m, err := arch.Lookup("riscv64")
	if err != nil {
		t.Fatal(err)
	}
	return Gradescope{Lab: l, Arch: m, Show: report.Gradescope{Visibility: "visible", Hidden: []string{"the child ends with the exit status that is asked for"}}}
}

// The scripts are bash's, and call lab with the lab, the kernel and what is shown.
func TestScripts(t *testing.T) {
	g := gradescope(t)
	if err := g.Show.Check(g.Lab.Rules(g.Arch.Name).CheckNames()); err != nil {
		t.Error(err)
	}
	z := &bundle{}
	if err := z.scripts(g, "6.1.0-1 $(reboot)"); err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, e := range z.entries {
		text[e.name] = string(e.text)
	}
	for _, name := range []string{"env.sh", "setup.sh", "run_autograder"} {
		if strings.Contains(text[name], "{{") || text[name] == "" {
			t.Errorf("%s is not filled in", name)
		}
		cmd := exec.Command("bash", "-n")
		cmd.Stdin = strings.NewReader(text[name])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	all := text["env.sh"] + text["setup.sh"] + text["run_autograder"]
	_, compiler := compile.CCompiler(g.Arch.GOARCH)
	for _, want := range []string{"fork-new", "--arch riscv64 --kernel '6.1.0-1 $(reboot)'", "--visibility visible", "--hide 'the child ends with the exit status that is asked for'", compiler, "bubblewrap"} {
		if !strings.Contains(all, want) {
			t.Errorf("the scripts have no %q", want)
		}
	}
	for _, name := range []string{"unfinished.json", "timeout.json", "killed.json", "failed.json"} {
		var results struct{ Output string }
		if err := json.Unmarshal([]byte(text[name]), &results); err != nil || results.Output == "" {
			t.Errorf("%s: %q, %v", name, text[name], err)
		}
	}
	if verdict.ExitError != 3 {
		t.Error("run_autograder knows other exit codes")
	}
}

// A bundle is written completely or not at all, with its modes.
func TestBundleWrite(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "program")
	if err := os.WriteFile(from, []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	z := &bundle{}
	z.text("b.txt", 0o644, []byte("text"))
	z.files("bin", from)
	to := filepath.Join(dir, "a.zip")
	size, err := z.write(to)
	info, serr := os.Stat(to)
	if err != nil || serr != nil || info.Size() != size {
		t.Fatalf("%d bytes, %v, %v", size, err, serr)
	}
	r, err := zip.OpenReader(to)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for _, f := range r.File {
		got = append(got, f.Name+" "+f.Mode().String())
	}
	if want := "b.txt -rw-r--r--"; len(got) != 2 || got[0] != want || got[1] != "bin/program -rwx------" {
		t.Errorf("files %q", got)
	}
	z.file("gone", 0o644, filepath.Join(dir, "gone"))
	if _, err := z.write(filepath.Join(dir, "b.zip")); err == nil {
		t.Error("a file that does not exist is no error")
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 2 {
		t.Errorf("%d files are left, want the program and the first archive", len(left))
	}
}

// The kernel's debug information stays out of the archive, which has a size limit.
func TestBundleKernel(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kernel.json"), []byte(`{"release": "6.1.0", "vmlinux_size": 5}`), 0o600); err != nil {
		t.Fatal(err)
	}
	z := &bundle{}
	z.kernel(linux.Kernel{Arch: "x86_64", Release: "6.1.0", Path: filepath.Join(dir, "vmlinuz"), Vmlinux: filepath.Join(dir, "vmlinux")})
	var facts map[string]any
	if len(z.entries) != 2 || json.Unmarshal(z.entries[1].text, &facts) != nil || facts["release"] != "6.1.0" || facts["vmlinux_size"] != nil {
		t.Errorf("entries %+v", z.entries)
	}
}
