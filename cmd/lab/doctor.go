package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"kernellab/harness/arch"
	"kernellab/harness/snapshot"
	"kernellab/images"
	"kernellab/images/sandbox"
)

// finding is one line of lab doctor.
type finding struct {
	Name     string `json:"name"`
	State    string `json:"state"` // "ok", "missing", "optional"
	Detail   string `json:"detail"`
	Needed   string `json:"needed_for,omitempty"`
	Packages string `json:"packages,omitempty"` // Debian packages that mend it
	Mend     string `json:"mend,omitempty"`     // command that mends it
}

// tool is a program of the host that lab uses.
type tool struct {
	name, binary, packages, needed string
	optional                       bool
}

func tools() []tool {
	return []tool{
		{name: "Go", binary: "go", packages: "golang-go", needed: "building guest programs and the initramfs"},
		{name: "apt-get", binary: "apt-get", needed: "fetching QEMU and kernels (local ones need only --qemu and --kernel FILE)", optional: true},
		{name: "dpkg-deb", binary: "dpkg-deb", packages: "dpkg", needed: "unpacking fetched QEMU and kernels", optional: true},
		{name: "gdb-multiarch", binary: "gdb-multiarch", packages: "gdb-multiarch", needed: "lab debug", optional: true},
		{name: "bubblewrap", binary: "bwrap", packages: "bubblewrap", needed: "hiding the host from the compilation of submissions", optional: true},
	}
}

// keyring holds the keys that Debian's indexes are signed with.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

func (a *app) doctorCommand() *cobra.Command {
	var format, arch string
	var install bool
	var boots int
	var kernels []string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What this host has and lacks, and the command that mends each",
		Long: `doctor shows what this host has and lacks, and how often each kernel came up when
it was booted here: a stock kernel may die by itself under emulation.

--boots N boots each kernel of the cache, or those of --kernel, N times, each time
with another seed, and counts those that came up.`,
		Example: "  lab doctor\n  lab doctor --install\n  lab doctor --boots 100 --kernel 6.1 --arch x86_64",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case boots < 0:
				return usagef("--boots %d: want 1 or more", boots)
			case boots == 0 && len(kernels) > 0:
				return usagef("--kernel says which kernels to boot: add --boots N")
			}
			if install {
				if err := a.install(cmd.Context()); err != nil {
					return err
				}
			}
			if boots > 0 {
				if err := a.countBoots(cmd.Context(), boots, arch, kernels); err != nil {
					return err
				}
			}
			return a.doctor(cmd.Context(), format)
		},
	}
	archFlag(cmd, &arch, "all")
	cmd.Flags().IntVar(&boots, "boots", 0, "boot kernels `N` times each and count how many come up")
	cmd.Flags().StringArrayVar(&kernels, "kernel", nil, "kernel to boot: series, version or image file; may be repeated (default: all in the cache)")
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	cmd.Flags().BoolVar(&install, "install", false, "fetch lab's own QEMU, and install what else is missing with apt-get (with sudo when not root)")
	textOrJSON(cmd, &format)
	return cmd
}

// look examines the host.
func (a *app) look(ctx context.Context) []finding {
	found := a.qemuFindings(ctx)
	for _, t := range tools() {
		f := finding{Name: t.name, State: "ok", Needed: t.needed, Packages: t.packages}
		path, err := exec.LookPath(t.binary)
		switch {
		case err == nil:
			f.Detail = path
		case t.optional:
			f.State, f.Detail = "optional", "not installed"
		default:
			f.State, f.Detail = "missing", "not installed"
		}
		found = append(found, f)
	}
	found = append(found, submissionFindings(ctx)...)
	found = append(found, fileFinding("Debian's keys", keyring, "debian-archive-keyring", "checking fetched QEMU and kernels"))
	for i := range found {
		if f := &found[i]; f.State != "ok" && f.Packages != "" {
			f.Mend = strings.Join(append(privileged(), "apt-get", "install", "--no-install-recommends", f.Packages), " ")
		}
	}
	return append(append(found, a.cacheFinding(), hostFinding()), a.bootFindings()...)
}

// submissionFindings say what a class's sources are compiled with, and how that is
// kept apart from the host.
func submissionFindings(ctx context.Context) []finding {
	f := finding{Name: "sandbox", State: "ok", Needed: "compiling submissions", Packages: "bubblewrap"}
	box, err := sandbox.Find(ctx, "")
	var none *sandbox.UnavailableError
	switch {
	case errors.As(err, &none):
		f.State, f.Detail = "optional", strings.Join(none.Reasons, "; ")
	case err != nil:
		f.State, f.Detail = "optional", err.Error()
	case box.Kind == sandbox.Bubblewrap:
		f.Detail = "bubblewrap: a compiler sees its sources and itself, and no network"
	case box.Kind == sandbox.Landlock:
		f.Detail = "Landlock: a compiler reads its sources and itself only; bubblewrap would hide the processes and the network too"
	default:
		f.Detail = sandbox.Env + "=none: a compiler can read what you can"
	}
	found := []finding{f}
	for _, m := range arch.All() {
		path, packages := images.CCompiler(m.GOARCH)
		f := finding{Name: "C for " + m.Name, State: "ok", Detail: path, Needed: "submissions written in C", Packages: packages}
		if path == "" {
			f.State, f.Detail = "optional", "not installed"
		}
		found = append(found, f)
	}
	return found
}

func fileFinding(name, path, packages, needed string) finding {
	f := finding{Name: name, State: "ok", Detail: path, Needed: needed, Packages: packages}
	if _, err := os.Stat(path); err != nil {
		f.State, f.Detail = "optional", "not installed"
	}
	return f
}

func (a *app) cacheFinding() finding {
	f := finding{Name: "cache", State: "ok", Needed: "kernels, initramfs"}
	root, err := a.cache.Path("kernels")
	if err != nil {
		f.State, f.Detail, f.Mend = "missing", err.Error(), "export LAB_CACHE=DIR"
		return f
	}
	size, _ := a.cache.Size()
	var free string
	var st unix.Statfs_t
	if unix.Statfs(root, &st) == nil {
		free = fmt.Sprintf(", %.1f GB free", float64(st.Bavail)*float64(st.Bsize)/1e9)
	}
	var kernels []string
	for _, m := range arch.All() {
		some, _ := a.cache.Kernels(m.Name)
		for _, k := range some {
			kernels = append(kernels, k.Release)
		}
	}
	dir, _ := a.cache.Root()
	f.Detail = fmt.Sprintf("%s, %.0f MB%s, kernels: %s", dir, float64(size)/1e6, free, or(strings.Join(kernels, ", "), "none yet"))
	return f
}

// bootFindings say how often each kernel came up here. A stock kernel may die by
// itself under emulation; one that often does is a poor choice.
func (a *app) bootFindings() []finding {
	dir, err := a.cache.Path("snapshots")
	if err != nil {
		return nil
	}
	var found []finding
	for _, b := range (&snapshot.Store{Dir: dir}).Boots() {
		f := finding{Name: "boots of " + b.Kernel, State: "ok", Needed: "knowing which kernels to trust"}
		f.Detail = fmt.Sprintf("%d of %d came up on QEMU %s (%s)", b.Tries-b.Oopses, b.Tries, b.QEMU, b.Arch)
		if b.Oopses > 0 {
			f.Detail += fmt.Sprintf("; %.0f%% ended by an oops, a panic or a reset of the kernel's own", 100*float64(b.Oopses)/float64(b.Tries))
		}
		found = append(found, f)
	}
	return found
}

func hostFinding() finding {
	var info unix.Sysinfo_t
	unix.Sysinfo(&info)
	total := float64(info.Totalram) * float64(info.Unit)
	return finding{
		Name: "host", State: "ok",
		Detail: fmt.Sprintf("%s/%s, %d cores, %.1f GB of memory; QEMU's TCG is used, never KVM", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), total/1e9),
	}
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// doctor prints what was found. Something that every run needs and that is
// missing makes the exit code 3.
func (a *app) doctor(ctx context.Context, format string) error {
	found := a.look(ctx)
	var lacking *multierror.Error
	for _, f := range found {
		if f.State == "missing" {
			lacking = multierror.Append(lacking, fmt.Errorf("%s: %s", f.Name, f.Detail))
		}
	}
	if lacking.ErrorOrNil() != nil {
		a.code = exitError
	}
	if format == "json" {
		return a.json(map[string]any{"schema": "lab.doctor/1", "findings": found})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, f := range found {
		mark := map[string]string{"ok": "ok", "missing": "MISSING", "optional": "absent"}[f.State]
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Name, mark, f.Detail)
		if f.Mend != "" {
			fmt.Fprintf(w, "\t\tneeded for %s: %s\n", f.Needed, f.Mend)
		}
	}
	return w.Flush()
}

// privileged is how a command is run as root from here.
func privileged() []string {
	if os.Geteuid() == 0 {
		return nil
	}
	return []string{"sudo"}
}

// install brings every package that look finds missing, the optional ones too, and
// lab's own QEMU, which may need some of them to be fetched.
func (a *app) install(ctx context.Context) error {
	if err := a.installPackages(ctx); err != nil {
		return err
	}
	if _, other, err := a.otherEmulator(); err != nil || other {
		return err
	}
	p := newProgress(a.stderr)
	defer p.Done()
	_, err := a.cache.QEMU(ctx, p.Report)
	return err
}

func (a *app) installPackages(ctx context.Context) error {
	var packages []string
	for _, f := range a.look(ctx) {
		if f.State != "ok" && f.Packages != "" {
			packages = append(packages, strings.Fields(f.Packages)...)
		}
	}
	if len(packages) == 0 {
		fmt.Fprintln(a.stderr, "lab: no packages to install")
		return nil
	}
	slices.Sort(packages)
	packages = slices.Compact(packages)
	apt := append(privileged(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get")
	fmt.Fprintf(a.stderr, "lab: installing %s\n", strings.Join(packages, " "))
	err := a.command(ctx, append(slices.Clone(apt), "update"))
	if err == nil {
		args := append([]string{"install", "--yes", "--no-install-recommends"}, packages...)
		err = a.command(ctx, append(apt, args...))
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(packages, " "), err)
	}
	return nil
}

// command runs a command in the foreground, its output on standard error, and
// says what it runs. Interrupting us interrupts it.
func (a *app) command(ctx context.Context, args []string) error {
	fmt.Fprintf(a.stderr, "lab: $ %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stderr, a.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %s", args[0], exit.ProcessState)
	}
	return err
}
