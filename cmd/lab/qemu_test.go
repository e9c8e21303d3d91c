package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/images"
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
func TestWarnOlder(t *testing.T) {
	var targets []target
	for _, m := range arch.All() {
		targets = append(targets, target{arch: m})
	}
	for version, want := range map[string]int{"7.2.22": 1, "9.2.1 (Debian 1:9.2.1)": 1, "10.0.13": 0, "11.0.50 (v11.0.0-12-g0123456)": 0} {
		t.Run(version, func(t *testing.T) {
			q, err := images.OtherQEMU(scripted(t, version))
			if err != nil {
				t.Fatal(err)
			}
			var warned []string
			a := &app{cache: &images.Cache{Warn: func(text string) { warned = append(warned, text) }}}
			a.warnOlder(t.Context(), emulator{QEMU: q}, targets)
			if len(warned) != want || want > 0 && !strings.Contains(warned[0], "a submitted program can bring its guest down") {
				t.Errorf("warnings %q, want %d", warned, want)
			}
		})
	}
}

// The QEMU of a call of lab is found once: a failure too, so that the runs of a
// matrix do not all try to fetch it.
func TestEmulator(t *testing.T) {
	t.Setenv(qemuEnv, "")
	t.Setenv("LAB_DEBIAN_MIRROR", "file:///nowhere")
	tried := 0
	count := func(what string, _, _ int64) {
		if strings.Contains(what, "index") {
			tried++
		}
	}
	a := &app{cache: &images.Cache{Dir: t.TempDir()}, resolved: &resolved{}}
	_, first := a.emulator(t.Context(), count)
	before := tried
	if _, err := a.emulator(t.Context(), count); first == nil || err == nil || tried != before {
		t.Errorf("%v, then %v with %d more tries", first, err, tried-before)
	}

	script := scripted(t, "10.0.0")
	m := arch.All()[0]
	t.Setenv(qemuEnv, script)
	a = &app{cache: a.cache, resolved: &resolved{}}
	e, err := a.emulator(t.Context(), nil)
	if err != nil || len(e.command(m)) != 1 || e.command(m)[0] != script {
		t.Errorf("with %s: %v, %v", qemuEnv, e, err)
	}
	a = &app{cache: a.cache, resolved: &resolved{}, qemuChoice: images.HostQEMU, qemuNamed: true}
	if e, err := a.emulator(t.Context(), nil); err != nil || e.command(m)[0] != m.QEMU.Binary {
		t.Errorf("with --qemu host: %v, %v", e, err)
	}
}
