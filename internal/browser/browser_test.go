package browser_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"kernellab/internal/browser"
)

func TestOpen(t *testing.T) {
	bin := t.TempDir()
	opened := filepath.Join(bin, "opened")
	script := "#!/bin/sh\necho \"$1\" >" + opened + "\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER", "DISPLAY"} {
		t.Setenv(name, "")
	}
	t.Setenv("PATH", bin)
	if err := browser.Open(t.Context(), "x.html"); !errors.Is(err, browser.ErrNone) {
		t.Errorf("without a display: %v", err)
	}
	t.Setenv("DISPLAY", ":0")
	t.Chdir(bin)
	if err := browser.Open(t.Context(), "x.html"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(opened)
	if want := filepath.Join(bin, "x.html") + "\n"; err != nil || string(got) != want {
		t.Errorf("opened %q, %v, want %q", got, err, want)
	}
	t.Setenv("PATH", t.TempDir())
	if err := browser.Open(t.Context(), "x.html"); !errors.Is(err, browser.ErrNone) {
		t.Errorf("without a program: %v", err)
	}
}
