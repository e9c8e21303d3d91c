package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// goTool is the go command to build with, resolved for one folder: which
// toolchain that is can depend on the folder's go.mod.
type goTool struct {
	Root       string `json:"GOROOT"`
	Version    string `json:"GOVERSION"`
	Tools      string `json:"GOTOOLDIR"`
	Experiment string `json:"GOEXPERIMENT"`
}

// findGo asks the go command of PATH what it is.
func findGo(ctx context.Context, dir string) (goTool, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return goTool{}, fmt.Errorf("find the go command, which builds the guest's programs: %w; install Go 1.26 or newer", err)
	}
	out, err := command{Path: path, Args: []string{"env", "-json", "GOROOT", "GOVERSION", "GOTOOLDIR", "GOEXPERIMENT"}, Dir: dir, Env: goEnv("")}.run(ctx)
	if err != nil {
		return goTool{}, fmt.Errorf("ask the go command for its version: %w", err)
	}
	var t goTool
	if err := json.Unmarshal(out, &t); err != nil {
		return goTool{}, fmt.Errorf("ask the go command for its version: %w", err)
	}
	return t, nil
}

func (t goTool) path() string { return filepath.Join(t.Root, "bin", "go") }

// goOverrides are the settings that decide what is built. The user's own for
// them, by environment or "go env -w", must not: a GOFLAGS=-mod=vendor would
// break the build, a GOAMD64=v3 the program on QEMU's default processor. An
// empty variable lets "go env -w" through, so each has a value.
var goOverrides = []string{
	"GOFLAGS=-mod=readonly",
	"GOWORK=off",
	"GOOS=linux",
	"CGO_ENABLED=0",
	"GOAMD64=v1",
	"GORISCV64=rva20u64",
}

// goEnv returns the environment for a build. How modules are fetched, and with
// which toolchain, stays the user's choice.
func goEnv(goarch string, extra ...string) []string {
	env := append(os.Environ(), goOverrides...)
	if goarch != "" {
		env = append(env, "GOARCH="+goarch)
	}
	return append(env, extra...)
}

// reproducible makes a binary depend on nothing but sources and toolchain.
var reproducible = []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="}

// buildIn compiles the package of a folder.
func (t goTool) buildIn(ctx context.Context, dir, pkg, out, goarch string, extraEnv ...string) error {
	args := append([]string{"build", "-o", out}, reproducible...)
	_, err := command{
		Path: t.path(),
		Args: append(args, pkg),
		Dir:  dir,
		Env:  goEnv(goarch, extraEnv...),
	}.run(ctx)
	return err
}

// goArches are the guest architectures, by the names that Go has for them.
var goArches = map[string]string{"x86_64": "amd64", "riscv64": "riscv64"}

func checkGoArch(goarch string) error {
	for _, a := range goArches {
		if a == goarch {
			return nil
		}
	}
	return fmt.Errorf("unknown guest architecture %q, want amd64 or riscv64", goarch)
}

// GoArch returns Go's name of an architecture as [Kernel.Arch] has it.
func GoArch(arch string) (string, error) {
	if a, ok := goArches[arch]; ok {
		return a, nil
	}
	return "", fmt.Errorf("unknown architecture %q, want x86_64 or riscv64", arch)
}

// diskFull reports whether we or a command failed for want of space: that is the
// host's trouble, whatever the command was about.
func diskFull(err error) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	var c *commandError
	return errors.As(err, &c) && (strings.Contains(c.Output, "no space left on device") || strings.Contains(c.Output, "No space left on device") || strings.Contains(c.Output, "file too large"))
}
