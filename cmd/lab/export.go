package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/images"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// autograder are the scripts of the archive.
//
//go:embed autograder
var autograder embed.FS

// exportFlags are the flags of lab export gradescope.
type exportFlags struct {
	arch, kernel string
	out          string
	show         report.Gradescope
}

func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Make what another system grades with",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage.Unknown("system", args[0], commandNames(cmd), "lab export --help lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var f exportFlags
	gradescope := oneLab(&cobra.Command{
		Use:   "gradescope LAB",
		Short: "Make the archive of a Gradescope autograder",
		Long: `gradescope writes the archive that an instructor uploads as an autograder: scripts,
this program, the kernel, QEMU, the guest's files, and the Go toolchain that
submissions are compiled with. Building the autograder's image needs the network for
distribution packages alone; grading needs none.

What could not be graded has no score, which Gradescope reports as an autograder
that failed: run it again from there.`,
		Example: "  lab export gradescope fork-new\n  lab export gradescope fork-new --kernel 6.12 --visibility after_published --out fork-new.zip",
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := getLab(args[0])
			if err != nil {
				return err
			}
			return a.exportGradescope(cmd.Context(), lab, f)
		},
	})
	archFlag(gradescope, &f.arch, "x86_64")
	fl := gradescope.Flags()
	fl.StringVar(&f.kernel, "kernel", "", "kernel: series or version (default: the one that lab run takes)")
	fl.StringVar(&f.out, "out", "autograder.zip", "file to write")
	gradescopeFlags(gradescope, &f.show)
	gradescope.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	cmd.AddCommand(gradescope)
	return cmd
}

// gradescopeFlags adds how results show on Gradescope.
func gradescopeFlags(cmd *cobra.Command, show *report.Gradescope) {
	fl := cmd.Flags()
	fl.StringVar(&show.Visibility, "visibility", "", "of the tests on Gradescope whose lab.yaml says none: "+strings.Join(grade.Visibilities(), ", "))
	fl.StringArrayVar(&show.Hidden, "hide", nil, "a check or question that counts and that students do not see, whatever lab.yaml says; may be repeated")
	cmd.RegisterFlagCompletionFunc("visibility", cobra.FixedCompletions(grade.Visibilities(), cobra.ShellCompDirectiveNoFileComp))
}

// checkShow refuses what there is not to show or hide.
func checkShow(l labs.Lab, show report.Gradescope) error {
	if err := show.Check(l.Rules(arch.Names()[0]).CheckNames()); err != nil {
		return usage.Wrap(err)
	}
	return nil
}

// exportGradescope gathers the archive's files and writes them.
func (a *app) exportGradescope(ctx context.Context, l labs.Lab, f exportFlags) error {
	if !l.Takes() {
		return usage.Errorf("%s takes no submissions: its lab.yaml does not say what to hand in", l.Name)
	}
	if err := checkShow(l, f.show); err != nil {
		return err
	}
	machine, err := arch.Lookup(f.arch)
	if err != nil {
		return usage.Wrap(err)
	}
	p := newProgress(a.stderr)
	defer p.Done()
	spec := f.kernel
	if spec == "" {
		spec = images.DefaultSpec(machine.Name)
	}
	k, err := a.cache.Fetch(ctx, machine.Name, spec, p.Report)
	p.Done()
	var none *images.NotFoundError
	if errors.As(err, &none) {
		return usage.Wrap(err)
	}
	if err != nil {
		return fmt.Errorf("kernel %s for %s: %w", spec, machine.Name, err)
	}
	made, err := a.host(p).BuildGuest(ctx, machine)
	if err != nil {
		return err
	}
	q, err := a.cache.QEMU(ctx, p.Report)
	if err != nil {
		return err
	}
	p.Done()
	z := &bundle{}
	if err := z.qemu(q, machine); err != nil {
		return err
	}
	z.kernel(k)
	z.files("cache/initramfs", made.Initrd)
	for _, program := range made.Programs {
		z.files("cache/programs", program)
	}
	if err := z.scripts(l, machine, k, f.show); err != nil {
		return err
	}
	if err := z.program(); err != nil {
		return err
	}
	if err := z.toolchain(ctx); err != nil {
		return err
	}
	size, err := z.write(f.out)
	if err != nil {
		return fmt.Errorf("write the autograder's archive: %w", err)
	}
	fmt.Fprintf(a.stdout, "%s: %d files, %.0f MB, %s on %s (%s)\n", f.out, len(z.entries), float64(size)/1e6, l.Name, k.Release, machine.Name)
	return nil
}

// bundle is an archive in the making.
type bundle struct {
	entries []bundled
}

// bundled is a file of the archive: a text, or a file of this host.
type bundled struct {
	name string
	mode fs.FileMode
	text []byte
	from string
}

func (z *bundle) text(name string, mode fs.FileMode, text []byte) {
	z.entries = append(z.entries, bundled{name: name, mode: mode, text: text})
}

func (z *bundle) file(name string, mode fs.FileMode, from string) {
	z.entries = append(z.entries, bundled{name: name, mode: mode, from: from})
}

// files adds files of the cache to a folder of the archive's.
func (z *bundle) files(dir string, paths ...string) {
	for _, p := range paths {
		mode := fs.FileMode(0o600)
		if info, err := os.Stat(p); err == nil {
			mode = info.Mode().Perm()
		}
		z.file(path.Join(dir, filepath.Base(p)), mode, p)
	}
}

// kernel adds an image without the debug information that may lie beside it.
func (z *bundle) kernel(k images.Kernel) {
	dir := path.Join("cache/kernels", k.Arch, k.Release)
	z.file(path.Join(dir, filepath.Base(k.Path)), 0o600, k.Path)
	facts := map[string]any{}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(k.Path), "kernel.json"))
	if err == nil && json.Unmarshal(text, &facts) == nil {
		delete(facts, "vmlinux_size")
		if text, err = json.MarshalIndent(facts, "", "  "); err == nil {
			z.text(path.Join(dir, "kernel.json"), 0o600, text)
		}
	}
}

// qemu adds lab's own QEMU, with the program of the machine's alone.
func (z *bundle) qemu(q images.QEMU, m arch.Arch) error {
	files, record, err := q.Bundle(m.QEMU.Binary)
	if err != nil {
		return fmt.Errorf("bundle QEMU: %w", err)
	}
	dir := path.Join("cache", q.Part())
	for _, name := range files {
		z.files(path.Join(dir, path.Dir(name)), filepath.Join(q.Dir, name))
	}
	z.text(path.Join(dir, images.QEMURecord), 0o600, record)
	return nil
}

// scripts adds what Gradescope calls, and the results of what does not come to an
// end.
func (z *bundle) scripts(l labs.Lab, m arch.Arch, k images.Kernel, show report.Gradescope) error {
	packages := []string{"bubblewrap", "util-linux"}
	if languages := l.Submission.Languages; len(languages) == 0 || slices.Contains(languages, submission.C) {
		_, compiler := images.CCompiler(m.GOARCH)
		packages = append(packages, compiler)
	}
	values := struct {
		Lab, On, Packages string
		Show              []string
	}{
		Lab: l.Name, On: "--arch " + m.Name + " --kernel " + shellWord(k.Release), Packages: strings.Join(packages, " "),
	}
	if show.Visibility != "" {
		values.Show = append(values.Show, "--visibility "+show.Visibility)
	}
	for _, name := range show.Hidden {
		values.Show = append(values.Show, "--hide "+shellWord(name))
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
		"unfinished.json": "the autograder was stopped before it came to an end",
		"timeout.json":    "the autograder took too long",
		"killed.json":     "the autograder was killed, as it is when there is not enough memory",
		"failed.json":     "the autograder could not do its work",
	} {
		var b bytes.Buffer
		if err := show.WriteUnfinished(&b, why); err != nil {
			return err
		}
		z.text(name, 0o644, b.Bytes())
	}
	z.text("selftest/prog.go", 0o644, []byte(selftest))
	return nil
}

// selftest imports what submissions may be expected to.
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

// toolchain adds as much of Go as compiles a submission: the go command, the
// compiler, the linker and the assembler, and the sources of the standard library.
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

// write writes the archive, whole or not at all, and returns its size.
func (z *bundle) write(to string) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(to), ".autograder-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	w := zip.NewWriter(f)
	w.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(to, flate.DefaultCompression)
	})
	slices.SortFunc(z.entries, func(x, y bundled) int { return strings.Compare(x.name, y.name) })
	for _, e := range z.entries {
		if err = e.write(w); err != nil {
			break
		}
	}
	err = errors.Join(err, w.Close(), f.Chmod(0o644))
	info, serr := f.Stat()
	if err = errors.Join(err, serr, f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(f.Name(), to)
}

func (e bundled) write(w *zip.Writer) error {
	h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
	h.SetMode(e.mode)
	to, err := w.CreateHeader(h)
	if err != nil {
		return err
	}
	if e.from == "" {
		_, err = to.Write(e.text)
		return err
	}
	from, err := os.Open(e.from)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}
