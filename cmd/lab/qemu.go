package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kernellab/harness/arch"
	"kernellab/harness/qemu"
	"kernellab/images"
)

// qemuEnv chooses a QEMU as --qemu does, which wins over it.
const qemuEnv = "LAB_QEMU"

// soundQEMU is the first major version of QEMU whose processors do not let an
// ordinary program bring its guest down: before it, lretq with a stack pointer into
// the kernel is an access of the kernel's own, and lock bts of a register aborts QEMU.
const soundQEMU = 10

// emulator is the QEMU that machines are started with.
type emulator struct {
	images.QEMU
	why string // it is this one
}

// resolved keeps the emulator that a call of lab uses, once it is known.
type resolved struct {
	mu       sync.Mutex
	known    bool
	emulator emulator
	err      error
}

// command returns the words that start the QEMU of an architecture.
func (e emulator) command(m arch.Arch) []string { return e.Command(m.QEMU.Binary) }

// version returns the version of the QEMU of an architecture.
func (e emulator) version(ctx context.Context, m arch.Arch) (string, error) {
	if e.Own() {
		return e.Version, nil
	}
	return qemu.Version(ctx, e.command(m))
}

// older reports whether a version lets programs bring their guests down.
func older(version string) bool { return images.Major(version) < soundQEMU }

// qemuFlag adds --qemu to every command.
func (a *app) qemuFlag(root *cobra.Command) {
	root.PersistentFlags().StringVar(&a.qemuChoice, "qemu", "", "QEMU to use instead of lab's own: host for the one in PATH, an executable, or a folder of qemu-system-… programs (also "+qemuEnv+")")
	root.RegisterFlagCompletionFunc("qemu", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{images.HostQEMU}, cobra.ShellCompDirectiveDefault
	})
}

// checkQEMU refuses a wrong --qemu or LAB_QEMU before anything is done. lab doctor
// reports it instead.
func (a *app) checkQEMU(cmd *cobra.Command) error {
	a.qemuNamed = cmd.Flags().Changed("qemu")
	_, _, err := a.otherEmulator()
	if cmd.Name() == "doctor" && !a.qemuNamed {
		return nil
	}
	return err
}

// otherEmulator returns the QEMU that --qemu or LAB_QEMU name; other is false when
// neither does.
func (a *app) otherEmulator() (e emulator, other bool, err error) {
	choice, by := a.qemuChoice, "--qemu"
	if !a.qemuNamed {
		choice, by = os.Getenv(qemuEnv), qemuEnv
	}
	if choice == "" && !a.qemuNamed {
		return emulator{why: fmt.Sprintf("neither --qemu nor %s names another", qemuEnv)}, false, nil
	}
	q, err := images.OtherQEMU(choice)
	if err != nil {
		return emulator{}, true, usagef("%s: %w", by, err)
	}
	return emulator{QEMU: q, why: fmt.Sprintf("%s is %s", by, choice)}, true, nil
}

// emulator returns the QEMU to use, and fetches lab's own when it is that and the
// cache has none. The answer is the same for the whole call of lab.
func (a *app) emulator(ctx context.Context, p images.Progress) (emulator, error) {
	kept := a.resolved
	if kept == nil {
		kept = &resolved{}
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if kept.known {
		return kept.emulator, kept.err
	}
	e, other, err := a.otherEmulator()
	if err == nil && !other {
		e.QEMU, err = a.cache.QEMU(ctx, p)
	}
	if ctx.Err() == nil { // what was cancelled may be asked for again
		kept.emulator, kept.err, kept.known = e, err, true
	}
	return e, err
}

// warnOlder says that programs of strangers are not safe on an old QEMU. One that
// can not be asked is reported when it is started.
func (a *app) warnOlder(ctx context.Context, e emulator, targets []target) {
	for _, t := range targets {
		version, err := e.version(ctx, t.arch)
		if err == nil && older(version) {
			a.cache.Warn(fmt.Sprintf("QEMU %s is older than %d: a submitted program can bring its guest down there, and is then not graded; without --qemu and %s lab uses its own", version, soundQEMU, qemuEnv))
			return
		}
	}
}

func (a *app) qemuCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "qemu",
		Short: "The QEMU that guests run in: list, fetch",
		Long: `lab brings its own QEMU, of Debian's packages with every library it needs. It is
fetched on first use, needs no privileges, and is the same on every host.

--qemu or LAB_QEMU choose another one: host for the programs in PATH, an executable,
or a folder of qemu-system-… programs. The host's wall clock stands still for lab's own
QEMU; on another one a run in some hundred may differ from the others.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknown("command", args[0], commandNames(cmd), "lab qemu --help lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.qemuListCommand(), a.qemuFetchCommand())
	return cmd
}

func (a *app) qemuFetchCommand() *cobra.Command {
	var refresh bool
	cmd := &cobra.Command{
		Use:   "fetch",
		Short: "Bring lab's own QEMU into the cache",
		Long: `fetch brings lab's own QEMU into the cache, through apt-get and from the mirror of
the host's apt sources (or LAB_DEBIAN_MIRROR), without privileges. It downloads 55 MB
and takes 85 MB of disk.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := newProgress(a.stderr)
			defer p.Done()
			fetch := a.cache.QEMU
			if refresh {
				fetch = a.cache.NewestQEMU
			}
			q, err := fetch(cmd.Context(), p.Report)
			if err != nil {
				return err
			}
			p.Done()
			fmt.Fprintf(a.stdout, "%s\t%s\n", q.Version, q.Dir)
			return nil
		},
	}
	cmd.Flags().BoolVar(&refresh, "refresh", false, "ask the mirror for a newer build, also when the cache has one")
	return cmd
}

// listedQEMU is a QEMU in the list.
type listedQEMU struct {
	Kind    string `json:"kind"` // "own", "host", "named"
	Arch    string `json:"arch"` // "all" for lab's own
	Version string `json:"version"`
	Path    string `json:"path"` // a folder for lab's own, else a program; "" when there is none
	Used    bool   `json:"used"`
	// FrozenClock: no run depends on the host's wall clock.
	FrozenClock bool   `json:"frozen_clock"`
	Error       string `json:"error,omitempty"` // why there is no version
}

func (a *app) qemuListCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the QEMUs there are, and say which is used",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			used, other, err := a.otherEmulator()
			if err != nil {
				return err
			}
			return a.listQEMUs(a.qemus(cmd.Context(), used, other), used.why, format)
		},
	}
	textOrJSON(cmd, &format)
	return cmd
}

// qemus are lab's own QEMU, the host's, and the one that --qemu or LAB_QEMU name.
func (a *app) qemus(ctx context.Context, used emulator, other bool) []listedQEMU {
	own := listedQEMU{Kind: "own", Arch: "all", Used: !other}
	if q, ok := a.cache.CachedQEMU(); ok {
		own.Version, own.Path, own.FrozenClock = q.Version, q.Dir, q.FrozenClock()
	} else {
		own.Error = "not fetched: lab qemu fetch"
	}
	list := []listedQEMU{own}
	add := func(kind string, e emulator, used bool) {
		for _, m := range arch.All() {
			l := listedQEMU{Kind: kind, Arch: m.Name, Used: used}
			path, err := exec.LookPath(e.command(m)[0])
			if err == nil {
				l.Path = path
				l.Version, err = e.version(ctx, m)
			}
			if err != nil {
				l.Error = err.Error()
			}
			list = append(list, l)
		}
	}
	host := emulator{}
	inPath := other && used.QEMU == host.QEMU
	add("host", host, inPath)
	if other && !inPath {
		add("named", used, true)
	}
	return list
}

func (a *app) listQEMUs(list []listedQEMU, why, format string) error {
	if format == "json" {
		return a.json(map[string]any{"schema": "lab.qemus/1", "qemus": list, "why": why})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "QEMU\tARCH\tVERSION\tUSED\tWHERE")
	used := ""
	for _, l := range list {
		name := map[string]string{"own": "lab's own", "host": "host's", "named": "named"}[l.Kind]
		mark := "no"
		if l.Used {
			mark, used = "yes", name
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, l.Arch, or(l.Version, "-"), mark, or(l.Path, l.Error))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	text := fmt.Sprintf("Used: %s, because %s.\n", used, why)
	if !slices.ContainsFunc(list, func(l listedQEMU) bool { return l.Used && l.Kind == "own" }) {
		text += "It sees the host's wall clock: a run in some hundred may differ from the others.\n"
	}
	_, err := io.WriteString(a.stdout, text)
	return err
}

// qemuFindings are the QEMU that is used, for lab doctor.
func (a *app) qemuFindings(ctx context.Context) []finding {
	used, other, err := a.otherEmulator()
	switch {
	case err != nil:
		return []finding{{Name: "QEMU", State: "missing", Detail: err.Error(), Needed: "every run", Mend: "unset " + qemuEnv}}
	case !other:
		f := finding{Name: "QEMU", State: "ok", Needed: "every run"}
		if q, ok := a.cache.CachedQEMU(); ok {
			f.Detail = fmt.Sprintf("lab's own %s, in %s", q.Version, q.Dir)
		} else {
			f.State, f.Detail, f.Mend = "missing", "lab's own is not fetched", "lab qemu fetch"
		}
		return []finding{f}
	}
	var found []finding
	for _, m := range arch.All() {
		f := finding{Name: "QEMU for " + m.Name, State: "ok", Needed: "every run on " + m.Name}
		command := used.command(m)
		path, err := exec.LookPath(command[0])
		if err != nil {
			f.State, f.Detail = "missing", "not installed, and "+used.why
			if used.QEMU == (images.QEMU{}) {
				f.Packages = m.QEMU.Package
			} else {
				f.Mend = "unset " + qemuEnv
			}
			found = append(found, f)
			continue
		}
		version, err := used.version(ctx, m)
		switch {
		case err != nil:
			f.State, version = "missing", err.Error()
		case older(version):
			version += fmt.Sprintf(", older than %d: a submitted program can bring its guest down", soundQEMU)
		}
		f.Detail = path + " " + version
		found = append(found, f)
	}
	return found
}
