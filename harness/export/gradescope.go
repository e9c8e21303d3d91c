// Package export makes the archives that other systems grade with.
package export

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"kernellab/harness/arch"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/images/compile"
	"kernellab/images/emulator"
	"kernellab/images/linux"
	"kernellab/internal/intact"
	"kernellab/internal/regular"
	"kernellab/internal/shell"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// autograder are the scripts of the archive.
//
//go:embed autograder
var autograder embed.FS

// Gradescope describes an autograder: the lab and kernel, and how to show results.
type Gradescope struct {
	Lab    labs.Lab
	Arch   arch.Arch
	Kernel string // series or version, "" for the default
	Show   report.Gradescope
}

// Check returns a mistake of usage if the archive cannot be made.
func (g Gradescope) Check() error {
	if !g.Lab.Takes() {
		return usage.Errorf("%s takes no submissions: its lab.yaml does not say what to hand in", g.Lab.Name)
	}
	if err := g.Show.Check(g.Lab.Rules(g.Arch.Name).CheckNames()); err != nil {
		return usage.Wrap(err)
	}
	return nil
}

// Write writes the archive atomically. It has scripts, this program, the kernel, QEMU,
// the guest's files and the Go toolchain for submissions.
func (g Gradescope) Write(ctx context.Context, h prepare.Host, to string) (Written, error) {
	name := g.Kernel
	if name == "" {
		name = linux.DefaultSpec(g.Arch.Name)
	}
	k, err := linux.In(h.Cache).Fetch(ctx, g.Arch.Name, name, h.Progress.Report)
	h.Progress.Done()
	var none *linux.NotFoundError
	if errors.As(err, &none) {
		return Written{}, usage.Wrap(err)
	}
	if err != nil {
		return Written{}, fmt.Errorf("kernel %s for %s: %w", name, g.Arch.Name, err)
	}
	made, err := h.BuildGuest(ctx, g.Arch)
	if err != nil {
		return Written{}, err
	}
	q, err := emulator.In(h.Cache).QEMU(ctx, h.Progress.Report)
	if err != nil {
		return Written{}, err
	}
	h.Progress.Done()
	z := &bundle{}
	z.kernel(k)
	z.files("cache/initramfs", made.Initrd, made.Initrd+intact.Suffix)
	for _, program := range made.Programs {
		z.files("cache/programs", program, program+intact.Suffix)
	}
	for _, add := range []func() error{
		func() error { return z.qemu(q, g.Arch) },
		func() error { return z.scripts(g, k.Release) },
		z.program,
		func() error { return z.toolchain(ctx) },
	} {
		if err := add(); err != nil {
			return Written{}, err
		}
	}
	size, err := z.write(to)
	if err != nil {
		return Written{}, fmt.Errorf("write the autograder's archive: %w", err)
	}
	return Written{Files: len(z.entries), Size: size, Kernel: k.Release}, nil
}

// Written describes a written archive.
type Written struct {
	Files  int
	Size   int64 // in bytes
	Kernel string
}

// kernel adds an image, without the vmlinux that the cache may have.
func (z *bundle) kernel(k linux.Kernel) {
	dir := path.Join("cache/kernels", k.Arch, k.Release)
	z.file(path.Join(dir, filepath.Base(k.Path)), 0o600, k.Path)
	facts := map[string]any{}
	text, err := regular.ReadFile(filepath.Join(filepath.Dir(k.Path), "kernel.json"), 1<<20)
	if err == nil && json.Unmarshal(text, &facts) == nil {
		delete(facts, "vmlinux_size")
		if text, err = json.MarshalIndent(facts, "", "  "); err == nil {
			z.text(path.Join(dir, "kernel.json"), 0o600, text)
		}
	}
}

// qemu adds lab's own QEMU, with the program for one architecture.
func (z *bundle) qemu(q emulator.QEMU, m arch.Arch) error {
	files, records, err := q.Bundle(m.QEMU.Binary)
	if err != nil {
		return fmt.Errorf("bundle QEMU: %w", err)
	}
	dir := path.Join("cache", q.Part())
	for _, name := range files {
		z.files(path.Join(dir, path.Dir(name)), filepath.Join(q.Dir, name))
	}
	for name, text := range records {
		z.text(path.Join(dir, name), 0o600, text)
	}
	return nil
}

// scripts adds the scripts that Gradescope calls, and the results to show when grading
// does not finish.
func (z *bundle) scripts(g Gradescope, release string) error {
	packages := []string{"bubblewrap", "util-linux"}
	if languages := g.Lab.Submission.Languages; len(languages) == 0 || slices.Contains(languages, submission.C) {
		_, compiler := compile.CCompiler(g.Arch.GOARCH)
		packages = append(packages, compiler)
	}
	values := struct {
		Lab, On, Packages string
		Show              []string
	}{
		Lab: g.Lab.Name, On: "--arch " + g.Arch.Name + " --kernel " + shell.Quote(release), Packages: strings.Join(packages, " "),
	}
	if g.Show.Visibility != "" {
		values.Show = append(values.Show, "--visibility "+g.Show.Visibility)
	}
	for _, name := range g.Show.Hidden {
		values.Show = append(values.Show, "--hide "+shell.Quote(name))
	}
	for _, name := range []string{"env.sh", "setup.sh", "run_autograder"} {
		t, err := template.ParseFS(autograder, "autograder/"+name)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, values); err != nil {
			return err
		}
		z.text(name, 0o755, b.Bytes())
	}
	for name, why := range map[string]string{
		"unfinished.json": "the autograder was stopped before it finished",
		"timeout.json":    "the autograder took too long",
		"killed.json":     "the autograder was killed, probably because there was not enough memory",
		"failed.json":     "the autograder failed",
	} {
		var b bytes.Buffer
		if err := g.Show.WriteUnfinished(&b, why); err != nil {
			return err
		}
		z.text(name, 0o644, b.Bytes())
	}
	z.text("selftest/prog.go", 0o644, []byte(selftest))
	return nil
}

// selftest imports packages that submissions are likely to import.
const selftest = `// This program only has to compile, so that what it imports is compiled.
package main

import (
	_ "bufio"
	_ "bytes"
	_ "errors"
	_ "fmt"
	_ "io"
	_ "log"
	_ "math"
	_ "os"
	_ "os/exec"
	_ "os/signal"
	_ "runtime"
	_ "slices"
	_ "sort"
	_ "strconv"
	_ "strings"
	_ "sync"
	_ "syscall"
	_ "time"
	_ "unsafe"
)

func main() {}
`

// program adds this program.
func (z *bundle) program() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	z.file("lab", 0o755, self)
	return nil
}

// toolchain adds the parts of Go that compile a submission: the go command, the
// compiler, the linker, the assembler and the sources of the standard library.
func (z *bundle) toolchain(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOROOT", "GOTOOLDIR").Output()
	var tool struct{ GOROOT, GOTOOLDIR string }
	if err == nil {
		err = json.Unmarshal(out, &tool)
	}
	if err != nil {
		return fmt.Errorf("find the Go toolchain: %w; install Go 1.26 or newer", err)
	}
	z.file("go/bin/go", 0o755, filepath.Join(tool.GOROOT, "bin/go"))
	for _, name := range []string{"VERSION", "go.env"} {
		z.file("go/"+name, 0o644, filepath.Join(tool.GOROOT, name))
	}
	tools, err := filepath.Rel(tool.GOROOT, tool.GOTOOLDIR)
	if err != nil || !filepath.IsLocal(tools) {
		return fmt.Errorf("the Go toolchain's tools are in %s, which is not in its GOROOT %s", tool.GOTOOLDIR, tool.GOROOT)
	}
	for _, name := range []string{"compile", "link", "asm"} {
		z.file(path.Join("go", filepath.ToSlash(tools), name), 0o755, filepath.Join(tool.GOTOOLDIR, name))
	}
	for _, part := range []string{"src", "pkg/include"} {
		err := filepath.WalkDir(filepath.Join(tool.GOROOT, part), func(file string, d fs.DirEntry, err error) error {
			rel, rerr := filepath.Rel(tool.GOROOT, file)
			switch {
			case err != nil || rerr != nil:
				return errors.Join(err, rerr)
			case d.IsDir() && (d.Name() == "testdata" || rel == "src/cmd"):
				return fs.SkipDir
			case !d.Type().IsRegular() || strings.HasSuffix(d.Name(), "_test.go"):
				return nil
			}
			z.file("go/"+filepath.ToSlash(rel), 0o644, file)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the Go toolchain: %w", err)
		}
	}
	return nil
}
