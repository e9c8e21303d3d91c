// Package gotool finds the go command and runs it, to build what guests run: the
// settings that decide what is built are the same on every host.
package gotool

import (
	"context"
	"encoding/json"
	"fmt"
	"hash"
	"os"
	"os/exec"
	"path/filepath"

	"kernellab/internal/command"
)

// Tool is the go command to build with, resolved for one folder: which
// toolchain that is can depend on the folder's go.mod.
type Tool struct {
	Root       string `json:"GOROOT"`
	Version    string `json:"GOVERSION"`
	Tools      string `json:"GOTOOLDIR"`
	Experiment string `json:"GOEXPERIMENT"`
}

// Find asks the go command of PATH what it is.
func Find(ctx context.Context, dir string) (Tool, error) {
	path, err := exec.LookPath("go")
	if err != nil {
		return Tool{}, fmt.Errorf("find the go command, which builds the guest's programs: %w; install Go 1.26 or newer", err)
	}
	out, err := command.Command{Path: path, Args: []string{"env", "-json", "GOROOT", "GOVERSION", "GOTOOLDIR", "GOEXPERIMENT"}, Dir: dir, Env: Env("")}.Run(ctx)
	if err != nil {
		return Tool{}, fmt.Errorf("ask the go command for its version: %w", err)
	}
	var t Tool
	if err := json.Unmarshal(out, &t); err != nil {
		return Tool{}, fmt.Errorf("ask the go command for its version: %w", err)
	}
	return t, nil
}

// Path returns the go command's path.
func (t Tool) Path() string { return filepath.Join(t.Root, "bin", "go") }

// Overrides are the settings that decide what is built. The user's own for
// them, by environment or "go env -w", must not: a GOFLAGS=-mod=vendor would
// break the build, a GOAMD64=v3 the program on QEMU's default processor. An
// empty variable lets "go env -w" through, so each has a value.
var Overrides = []string{
	"GOFLAGS=-mod=readonly",
	"GOWORK=off",
	"GOOS=linux",
	"CGO_ENABLED=0",
	"GOAMD64=v1",
	"GORISCV64=rva20u64",
}

// Env returns the environment for a build. How modules are fetched, and with
// which toolchain, stays the user's choice.
func Env(goarch string, extra ...string) []string {
	env := append(os.Environ(), Overrides...)
	if goarch != "" {
		env = append(env, "GOARCH="+goarch)
	}
	return append(env, extra...)
}

// Reproducible makes a binary depend on nothing but sources and toolchain.
var Reproducible = []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="}

// Build compiles the package of a folder.
func (t Tool) Build(ctx context.Context, dir, pkg, out, goarch string, extraEnv ...string) error {
	args := append([]string{"build", "-o", out}, Reproducible...)
	_, err := command.Command{
		Path: t.Path(),
		Args: append(args, pkg),
		Dir:  dir,
		Env:  Env(goarch, extraEnv...),
	}.Run(ctx)
	return err
}

// CheckArch returns an error for what is not Go's name of a guest's architecture.
func CheckArch(goarch string) error {
	if goarch != "amd64" && goarch != "riscv64" {
		return fmt.Errorf("unknown guest architecture %q, want amd64 or riscv64", goarch)
	}
	return nil
}

// HashFile adds a file to a hash of what something is made from.
func HashFile(h hash.Hash, name string, content []byte) {
	fmt.Fprintf(h, "%q %d\n", name, len(content))
	h.Write(content)
}
