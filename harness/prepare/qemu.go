package prepare

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"text/tabwriter"

	"kernellab/harness/arch"
	"kernellab/harness/qemu"
	"kernellab/images/emulator"
	"kernellab/internal/usage"
)

// QEMUEnv chooses a QEMU as --qemu does, which wins over it.
const QEMUEnv = "LAB_QEMU"

// SoundQEMU is the first major version of QEMU whose processors do not let an
// ordinary program bring its guest down: before it, lretq with a stack pointer into
// the kernel is an access of the kernel's own, and lock bts of a register aborts QEMU.
const SoundQEMU = 10

// Emulator is the QEMU that machines are started with.
type Emulator struct {
	emulator.QEMU
	Why string // it is this one
}

// For returns the words that start the QEMU of an architecture.
func (e Emulator) For(m arch.Arch) []string { return e.Command(m.QEMU.Binary) }

// VersionFor returns the version of the QEMU of an architecture.
func (e Emulator) VersionFor(ctx context.Context, m arch.Arch) (string, error) {
	if e.Own() {
		return e.Version, nil
	}
	return qemu.Version(ctx, e.For(m))
}

// Unsound reports whether a version of QEMU lets programs bring their guests down.
func Unsound(version string) bool { return emulator.Major(version) < SoundQEMU }

// Choice is the QEMU that a person chose. The zero value is the one that LAB_QEMU
// names, or lab's own. It may be used by several goroutines.
type Choice struct {
	Value string // of --qemu, "" when it is not given

	mu       sync.Mutex
	known    bool
	emulator Emulator
	err      error
}

// Other returns the QEMU that --qemu or LAB_QEMU names; other is false when neither
// does.
func (c *Choice) Other() (e Emulator, other bool, err error) {
	value, by := c.Value, "--qemu"
	if value == "" {
		value, by = os.Getenv(QEMUEnv), QEMUEnv
	}
	if value == "" {
		return Emulator{Why: fmt.Sprintf("neither --qemu nor %s names another", QEMUEnv)}, false, nil
	}
	q, err := emulator.Other(value)
	if err != nil {
		return Emulator{}, true, usage.Errorf("%s: %w", by, err)
	}
	return Emulator{QEMU: q, Why: fmt.Sprintf("%s is %s", by, value)}, true, nil
}

func (h Host) choice() *Choice {
	if h.QEMU == nil {
		return &Choice{}
	}
	return h.QEMU
}

// OtherQEMU is Choice.Other of the host's choice.
func (h Host) OtherQEMU() (e Emulator, other bool, err error) { return h.choice().Other() }

// Emulator returns the QEMU to use, and fetches lab's own when that is chosen and
// the cache has none. Its answer, an error included, stays the same.
func (h Host) Emulator(ctx context.Context) (Emulator, error) {
	c := h.choice()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		return c.emulator, c.err
	}
	e, other, err := c.Other()
	if err == nil && !other {
		e.QEMU, err = emulator.In(h.Cache).QEMU(ctx, h.Progress.Report)
		h.Progress.Done()
	}
	if ctx.Err() == nil { // a cancelled search may be repeated
		c.emulator, c.err, c.known = e, err, true
	}
	return e, err
}

// Command returns the words that start the QEMU of an architecture. It is asked before
// anything is made for a guest: the error of a program that is not there is a
// *qemu.MissingError.
func (h Host) Command(ctx context.Context, m arch.Arch) ([]string, error) {
	e, err := h.Emulator(ctx)
	if err != nil {
		return nil, err
	}
	words := e.For(m)
	if _, err := exec.LookPath(words[0]); err != nil {
		return nil, &qemu.MissingError{Binary: words[0], Package: m.QEMU.Package, Err: err}
	}
	return words, nil
}

// WarnUnsound warns when submitted programs are not safe on the QEMU of one of the
// targets. A QEMU whose version cannot be read is reported when it is started.
func (h Host) WarnUnsound(ctx context.Context, e Emulator, targets []Target) {
	for _, t := range targets {
		version, err := e.VersionFor(ctx, t.Arch)
		if err == nil && Unsound(version) {
			h.Cache.Warn(fmt.Sprintf("QEMU %s is older than %d: a submitted program can bring its guest down there, and change what its kernel shows, so marks are only as good as the programs are honest; without --qemu and %s lab uses its own", version, SoundQEMU, QEMUEnv))
			return
		}
	}
}

// FetchQEMU returns lab's own QEMU, fetched if the cache has none or, with newest, if
// there is a newer build.
func (h Host) FetchQEMU(ctx context.Context, newest bool) (emulator.QEMU, error) {
	fetch := emulator.In(h.Cache).QEMU
	if newest {
		fetch = emulator.In(h.Cache).Newest
	}
	q, err := fetch(ctx, h.Progress.Report)
	h.Progress.Done()
	return q, err
}

// ListedQEMU is a QEMU of this host, for a list.
type ListedQEMU struct {
	Kind    string `json:"kind"` // "own", "host", "named"
	Arch    string `json:"arch"` // "all" for lab's own
	Version string `json:"version"`
	Path    string `json:"path"` // a folder for lab's own, else a program; "" when there is none
	Used    bool   `json:"used"`
	// FrozenClock: no run depends on the host's wall clock.
	FrozenClock bool   `json:"frozen_clock"`
	Error       string `json:"error,omitempty"` // why there is no version
}

// QEMUs lists lab's own QEMU, the host's, and the one that --qemu or LAB_QEMU names,
// and says why the one that is used is.
func (h Host) QEMUs(ctx context.Context) (list []ListedQEMU, why string, err error) {
	defer func() {
		if err == nil {
			err = context.Cause(ctx) // half of a list looks like a whole one
		}
	}()
	used, other, err := h.OtherQEMU()
	if err != nil {
		return nil, "", err
	}
	own := ListedQEMU{Kind: "own", Arch: "all", Used: !other}
	if q, ok := emulator.In(h.Cache).Cached(); ok {
		own.Version, own.Path, own.FrozenClock = q.Version, q.Dir, q.FrozenClock()
	} else {
		own.Error = "not fetched: lab qemu fetch"
	}
	list = []ListedQEMU{own}
	host := Emulator{}
	inPath := other && used.QEMU == host.QEMU
	list = append(list, listed(ctx, "host", host, inPath)...)
	if other && !inPath {
		list = append(list, listed(ctx, "named", used, true)...)
	}
	return list, used.Why, nil
}

// listed lists the programs of a QEMU that is not lab's own.
func listed(ctx context.Context, kind string, e Emulator, used bool) []ListedQEMU {
	var list []ListedQEMU
	for _, m := range arch.All() {
		l := ListedQEMU{Kind: kind, Arch: m.Name, Used: used}
		path, err := exec.LookPath(e.For(m)[0])
		if err == nil {
			l.Path = path
			l.Version, err = e.VersionFor(ctx, m)
		}
		if err != nil {
			l.Error = err.Error()
		}
		list = append(list, l)
	}
	return list
}

// WriteQEMUs writes a list as a table, and which QEMU is used.
func WriteQEMUs(to io.Writer, list []ListedQEMU, why string) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "QEMU\tARCH\tVERSION\tUSED\tWHERE")
	used := ""
	for _, l := range list {
		name := map[string]string{"own": "lab's own", "host": "host's", "named": "named"}[l.Kind]
		mark := "no"
		if l.Used {
			mark, used = "yes", name
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, l.Arch, cmp.Or(l.Version, "-"), mark, cmp.Or(l.Path, l.Error))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	text := fmt.Sprintf("Used: %s, because %s.\n", used, why)
	if !slices.ContainsFunc(list, func(l ListedQEMU) bool { return l.Used && l.Kind == "own" }) {
		text += "It sees the host's wall clock: a run in some hundred may differ from the others.\n"
	}
	_, err := io.WriteString(to, text)
	return err
}
