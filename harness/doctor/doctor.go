// Package doctor examines the host: which things that lab needs are installed, the
// command that installs missing ones, and how often kernels boot here.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"kernellab/harness/arch"
	"kernellab/harness/prepare"
	"kernellab/harness/snapshot"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/emulator"
	"kernellab/images/linux"
	"kernellab/images/sandbox"
)

// The states of a finding.
const (
	OK       = "ok"
	Missing  = "missing"  // every run needs it
	Optional = "optional" // it is missing, but only some commands need it
	Warning  = "warning"  // it works, but badly
)

// Finding describes one thing that lab uses.
type Finding struct {
	Name     string `json:"name"`
	State    string `json:"state"` // "ok", "missing", "optional", "warning"
	Detail   string `json:"detail"`
	Needed   string `json:"needed_for,omitempty"`
	Packages string `json:"packages,omitempty"` // Debian packages that install it
	Mend     string `json:"mend,omitempty"`     // command that installs it
	AsRoot   bool   `json:"as_root,omitempty"`  // only root can run Mend, and there is no sudo
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

// Examine examines the host.
func Examine(ctx context.Context, h prepare.Host) []Finding {
	found := qemuFindings(ctx, h)
	for _, t := range tools() {
		f := Finding{Name: t.name, State: OK, Needed: t.needed, Packages: t.packages}
		path, err := exec.LookPath(t.binary)
		switch {
		case err == nil:
			f.Detail = path
		case t.optional:
			f.State, f.Detail = Optional, "not installed"
		default:
			f.State, f.Detail = Missing, "not installed"
		}
		found = append(found, f)
	}
	found = append(found, submissionFindings(ctx)...)
	found = append(found, fileFinding("Debian's keys", keyring, "debian-archive-keyring", "checking fetched QEMU and kernels"))
	for i := range found {
		if f := &found[i]; f.State != OK && f.Packages != "" {
			become, asRoot := privileges(os.Geteuid())
			f.Mend, f.AsRoot = strings.Join(append(become, "apt-get", "install", "--no-install-recommends", f.Packages), " "), asRoot
		}
	}
	return append(append(found, cacheFinding(h.Cache), hostFinding()), bootFindings(h.Cache)...)
}

// submissionFindings describe the compilers of submissions and their sandbox.
func submissionFindings(ctx context.Context) []Finding {
	f := Finding{Name: "sandbox", State: OK, Needed: "compiling submissions", Packages: "bubblewrap"}
	box, err := sandbox.Find(ctx, "")
	var none *sandbox.UnavailableError
	switch {
	case errors.As(err, &none):
		f.State, f.Detail = Optional, strings.Join(none.Reasons, "; ")
	case err != nil:
		f.State, f.Detail = Optional, err.Error()
	case box.Kind == sandbox.Bubblewrap:
		f.Detail = "bubblewrap: a compiler can read only its sources and itself, and has no network"
	case box.Kind == sandbox.Landlock:
		f.Detail = "Landlock: a compiler can read only its sources and itself; bubblewrap would also hide processes and the network"
	default:
		f.Detail = sandbox.Env + "=none: a compiler can read what you can"
	}
	found := []Finding{f}
	for _, m := range arch.All() {
		path, packages := compile.CCompiler(m.GOARCH)
		f := Finding{Name: "C for " + m.Name, State: OK, Detail: path, Needed: "submissions written in C", Packages: packages}
		if path == "" {
			f.State, f.Detail = Optional, "not installed"
		}
		found = append(found, f)
	}
	return found
}

func fileFinding(name, path, packages, needed string) Finding {
	f := Finding{Name: name, State: OK, Detail: path, Needed: needed, Packages: packages}
	if _, err := os.Stat(path); err != nil {
		f.State, f.Detail = Optional, "not installed"
	}
	return f
}

func cacheFinding(cache *images.Cache) Finding {
	f := Finding{Name: "cache", State: OK, Needed: "kernels, initramfs"}
	root, err := cache.Path("kernels")
	if err != nil {
		f.State, f.Detail, f.Mend = Missing, err.Error(), "export LAB_CACHE=DIR"
		return f
	}
	size, err := cache.Size()
	if err != nil {
		f.State, f.Detail, f.Mend = Missing, err.Error(), "export LAB_CACHE=DIR"
		return f
	}
	var free string
	var st unix.Statfs_t
	if unix.Statfs(root, &st) == nil {
		free = fmt.Sprintf(", %.1f GB free", float64(st.Bavail)*float64(st.Bsize)/1e9)
	}
	var kernels []string
	for _, m := range arch.All() {
		some, _ := linux.In(cache).Kernels(m.Name)
		for _, k := range some {
			kernels = append(kernels, k.Release)
		}
		damaged, _ := linux.In(cache).Damaged(m.Name)
		for _, d := range damaged {
			kernels = append(kernels, d.Kernel.Release+" (damaged)")
		}
	}
	dir, _ := cache.Root()
	f.Detail = fmt.Sprintf("%s, %.0f MB%s, kernels: %s", dir, float64(size)/1e6, free, cmp.Or(strings.Join(kernels, ", "), "none yet"))
	return f
}

// poorBoots: a kernel is unreliable when more than one boot in poorBoots crashes.
const poorBoots = 20

// bootFindings say how often each kernel booted here. A stock kernel may crash under
// emulation; prefer kernels that rarely do.
func bootFindings(cache *images.Cache) []Finding {
	dir, err := cache.Path("snapshots")
	if err != nil {
		return nil
	}
	digests := map[string]string{} // digests of the cache's images, by architecture and release
	for _, m := range arch.All() {
		kernels, _ := linux.In(cache).Kernels(m.Name)
		for _, k := range kernels {
			digests[m.Name+" "+k.Release] = k.SHA256
		}
	}
	var found []Finding
	for _, b := range (&snapshot.Store{Dir: dir}).Boots() {
		f := Finding{Name: "boots of " + b.Kernel, State: OK, Needed: "choosing reliable kernels"}
		f.Detail = fmt.Sprintf("%d of %d succeeded on QEMU %s (%s)", b.Tries-b.Oopses, b.Tries, b.QEMU, b.Arch)
		switch of, ok := digests[b.Arch+" "+b.Kernel]; {
		case !ok:
			f.Detail += fmt.Sprintf("; a kernel that is not in the cache (SHA-256 %.12s…)", b.SHA256)
		case of != b.SHA256:
			f.Detail += fmt.Sprintf("; another image than the cache's of that release (SHA-256 %.12s…)", b.SHA256)
		}
		if b.Oopses > 0 {
			f.Detail += fmt.Sprintf("; %.0f%% ended with an oops, a panic or a reset", 100*float64(b.Oopses)/float64(b.Tries))
		}
		if b.Oopses*poorBoots > b.Tries {
			f.State = Warning
			f.Detail += ": run labs on another kernel (lab kernels list)"
		}
		found = append(found, f)
	}
	return found
}

func hostFinding() Finding {
	var info unix.Sysinfo_t
	unix.Sysinfo(&info)
	total := float64(info.Totalram) * float64(info.Unit)
	return Finding{
		Name: "host", State: OK,
		Detail: fmt.Sprintf("%s/%s, %d cores, %.1f GB of memory; QEMU's TCG is used, never KVM", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), total/1e9),
	}
}

// privileges returns the words before a command that has to run as root. asRoot says
// that there are none, as the user uid is not root and there is no sudo.
func privileges(uid int) (become []string, asRoot bool) {
	if uid == 0 {
		return nil, false
	}
	if _, err := exec.LookPath("sudo"); err != nil {
		return nil, true
	}
	return []string{"sudo"}, false
}

// Packages returns the Debian packages that install missing things, sorted and without
// duplicates.
func Packages(found []Finding) []string {
	var packages []string
	for _, f := range found {
		if f.State != OK {
			packages = append(packages, strings.Fields(f.Packages)...)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// Mend installs every package that is missing, the optional ones too, and fetches lab's
// own QEMU unless another one is chosen. run runs a command on the terminal.
func Mend(ctx context.Context, h prepare.Host, run func(ctx context.Context, args []string) error) error {
	packages := Packages(Examine(ctx, h))
	if len(packages) == 0 {
		h.Progress.Say("no packages to install")
	} else if err := install(ctx, h, packages, os.Geteuid(), run); err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(packages, " "), err)
	}
	if _, other, err := h.OtherQEMU(); err != nil || other {
		return err
	}
	_, err := emulator.In(h.Cache).QEMU(ctx, h.Progress.Report)
	return err
}

// install installs packages as the user uid, or returns as an error what root has to run.
func install(ctx context.Context, h prepare.Host, packages []string, uid int, run func(ctx context.Context, args []string) error) error {
	become, asRoot := privileges(uid)
	if asRoot {
		text := "you are not root and sudo is not installed; have root run:"
		for _, args := range commands(become, packages) {
			text += "\n  " + strings.Join(args, " ")
		}
		return errors.New(text + "\nand then run lab doctor --install again")
	}
	h.Progress.Say("installing %s", strings.Join(packages, " "))
	for _, args := range commands(become, packages) {
		h.Progress.Say("$ %s", strings.Join(args, " "))
		if err := run(ctx, args); err != nil {
			return err
		}
	}
	return nil
}

// commands returns the commands that install packages, each after the words of become.
func commands(become, packages []string) [][]string {
	apt := append(slices.Clone(become), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get")
	return [][]string{
		append(slices.Clone(apt), "update"),
		append(append(slices.Clone(apt), "install", "--yes", "--no-install-recommends"), packages...),
	}
}

// Write writes findings as a table.
func Write(to io.Writer, found []Finding) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, f := range found {
		mark := map[string]string{OK: "ok", Missing: "MISSING", Optional: "absent", Warning: "warning"}[f.State]
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Name, mark, f.Detail)
		if f.Mend != "" {
			who := ""
			if f.AsRoot {
				who = "as root, "
			}
			fmt.Fprintf(w, "\t\tneeded for %s: %s%s\n", f.Needed, who, f.Mend)
		}
	}
	return w.Flush()
}
