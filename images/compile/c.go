package compile

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"kernellab/images/sandbox"
	"kernellab/internal/command"
)

// ToolError says that the host lacks a compiler.
type ToolError struct {
	What     string // "C compiler for riscv64"
	Packages string // Debian's that bring it
}

func (e *ToolError) Error() string {
	return fmt.Sprintf("no %s: install %s (lab doctor --install)", e.What, e.Packages)
}

// gccs are the C compilers by guest architecture: the one that Debian names by its
// target, and the packages that bring it to a host of another architecture.
var gccs = map[string]struct{ target, cross string }{
	"amd64":   {"x86_64-linux-gnu", "gcc-x86-64-linux-gnu libc6-dev-amd64-cross"},
	"riscv64": {"riscv64-linux-gnu", "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"},
}

// CCompiler returns the path of the C compiler for an architecture, and the Debian
// packages that bring one. The path is "" when there is none.
func CCompiler(goarch string) (path, packages string) {
	g := gccs[goarch]
	packages = g.cross
	names := []string{g.target + "-gcc"}
	if goarch == runtime.GOARCH {
		names, packages = append(names, "gcc"), "gcc libc6-dev"
	}
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p, packages
		}
	}
	return "", packages
}

// c compiles with gcc. Optimisation is low, so that a program does what its source
// says in the order it says it.
func (c *Compiler) c(ctx context.Context, goarch, name string) (language, error) {
	gcc, packages := CCompiler(goarch)
	if gcc == "" {
		return language{}, &ToolError{What: "C compiler for " + goarch, Packages: packages}
	}
	version, err := command.Command{Path: gcc, Args: []string{"-dumpfullversion", "-dumpmachine"}, Env: []string{"PATH=/usr/bin:/bin"}}.Run(ctx)
	if err != nil {
		return language{}, fmt.Errorf("ask the C compiler for its version: %w", err)
	}
	flags := []string{"-std=gnu17", "-O1", "-w", "-static", "-pthread", "-s", "-fno-diagnostics-color", "-fmax-errors=20", "-o", "program"}
	return language{
		extension: ".c",
		identity:  fmt.Sprintln("c", gcc, strings.Fields(string(version)), flags),
		compile: func(ctx context.Context, work string, files []source) error {
			args := flags
			for _, f := range files {
				if filepath.Ext(f.name) == ".c" {
					args = append(args[:len(args):len(args)], f.name)
				}
			}
			return c.run(ctx, name, sandbox.Command{
				Path: gcc, Args: args, Work: work, Read: cToolchain(goarch),
				Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TMPDIR=" + filepath.Join(c.box.Work(work), "tmp")},
			})
		},
	}, nil
}

// cToolchain is what gcc, its assembler and its linker are made of and read.
func cToolchain(goarch string) []string {
	return append(sandbox.System(), "/usr/include", "/usr/"+gccs[goarch].target)
}
