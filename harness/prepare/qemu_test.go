package prepare

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/qemu"
	"kernellab/images"
	"kernellab/images/emulator"
	"kernellab/internal/usage"
)

// scripted is an emulator that answers to --version only.
func scripted(t *testing.T, version string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "emulator")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho 'QEMU emulator version "+version+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// A submission on an old QEMU is warned of, once for all kernels.
func TestWarnUnsound(t *testing.T) {
	var targets []Target
	for _, m := range arch.All() {
		targets = append(targets, Target{Arch: m})
	}
	for version, want := range map[string]int{"7.2.22": 1, "9.2.1 (Debian 1:9.2.1)": 1, "10.0.13": 0, "11.0.50 (v11.0.0-12-g0123456)": 0} {
		t.Run(version, func(t *testing.T) {
			q, err := emulator.Other(scripted(t, version))
			if err != nil {
				t.Fatal(err)
			}
			var warned []string
			h := Host{Cache: &images.Cache{Warn: func(text string) { warned = append(warned, text) }}}
			h.WarnUnsound(t.Context(), Emulator{QEMU: q}, targets)
			if len(warned) != want || want > 0 && !strings.Contains(warned[0], "a submitted program can bring its guest down") {
				t.Errorf("warnings %q, want %d", warned, want)
			}
		})
	}
}

// A QEMU that is not installed is found out before anything is built for its guest.
func TestMissingQEMU(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	lab, err := Lab("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(Host, Target) error{
		"job":   func(h Host, target Target) error { _, err := h.Job(t.Context(), lab, target, Machine{}); return err },
		"shell": func(h Host, target Target) error { _, err := h.Shell(t.Context(), target); return err },
		"spec":  func(h Host, target Target) error { _, err := h.Spec(t.Context(), target, "", Machine{}); return err },
	} {
		log := &log{}
		h := log.host(t.TempDir())
		h.QEMU = &Choice{Value: emulator.Host}
		m := arch.All()[0]
		var missing *qemu.MissingError
		if err := use(h, Target{Arch: m}); !errors.As(err, &missing) || missing.Package != m.QEMU.Package || !strings.Contains(err.Error(), "run 'lab qemu fetch'") {
			t.Errorf("%s: %v", name, err)
		}
		if len(log.tasks) > 0 {
			t.Errorf("%s: done before: %q", name, log.tasks)
		}
	}
}

// The QEMU of a call of lab is found once: a failure too, so that the runs of a
// matrix do not all try to fetch it.
func TestEmulator(t *testing.T) {
	t.Setenv(QEMUEnv, "")
	t.Setenv("LAB_DEBIAN_MIRROR", "file:///nowhere")
	log := &log{}
	h := Host{Cache: &images.Cache{Dir: t.TempDir()}, QEMU: &Choice{}, Progress: log}
	_, first := h.Emulator(t.Context())
	tried := len(log.tasks)
	if _, err := h.Emulator(t.Context()); first == nil || err == nil || len(log.tasks) != tried || tried == 0 {
		t.Errorf("%v, then %v after %d tasks, and %d before", first, err, len(log.tasks), tried)
	}

	script := scripted(t, "10.0.0")
	m := arch.All()[0]
	t.Setenv(QEMUEnv, script)
	h.QEMU = nil
	e, err := h.Emulator(t.Context())
	if err != nil || len(e.For(m)) != 1 || e.For(m)[0] != script {
		t.Errorf("with %s: %v, %v", QEMUEnv, e, err)
	}
	h.QEMU = &Choice{Value: emulator.Host}
	if e, err := h.Emulator(t.Context()); err != nil || e.For(m)[0] != m.QEMU.Binary {
		t.Errorf("with --qemu host: %v, %v", e, err)
	}
	h.QEMU = &Choice{Value: filepath.Join(t.TempDir(), "none")}
	if _, err := h.Emulator(t.Context()); !usage.Is(err) {
		t.Errorf("with a --qemu that does not exist: %v, want a mistake of usage", err)
	}
}
