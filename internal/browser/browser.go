// Package browser opens files in the browser of the person at this host.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrNone says that the host has no browser to open, or no display for one.
var ErrNone = errors.New("there is no browser here")

// openers are programs that open a file with whatever the person uses for it:
// freedesktop.org's, that of Debian, of Windows' subsystem for Linux, and of macOS.
var openers = []string{"xdg-open", "sensible-browser", "wslview", "open"}

// Open opens a file. It returns when the program that opens it has ended, which says
// nothing of the browser. Its output is not shown.
func Open(ctx context.Context, path string) error {
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" && os.Getenv("WSL_DISTRO_NAME") == "" && os.Getenv("BROWSER") == "" {
		return ErrNone
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("open %s in a browser: %w", path, err)
	}
	for _, name := range openers {
		program, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if err := exec.CommandContext(ctx, program, path).Run(); err != nil {
			return fmt.Errorf("open %s in a browser: %s: %w", path, name, err)
		}
		return nil
	}
	return ErrNone
}
