package compile

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kernellab/images"
	"kernellab/images/gotool"
	"kernellab/images/sandbox"
)

// golang compiles with the toolchain's compiler and linker, as the go command
// would for a package main that imports the standard library only.
func (c *Compiler) golang(ctx context.Context, goarch, name string, p images.Progress) (language, error) {
	tool := c.tool
	if c.noTool != nil {
		return language{}, c.noTool
	}
	std, err := findStandard(c.cache, tool, goarch)
	if err != nil {
		return language{}, err
	}
	g := goBuild{Compiler: c, tool: tool, std: std, goarch: goarch, name: name, progress: p}
	return language{
		extension: ".go",
		identity:  fmt.Sprintln("go", tool.Version, tool.Experiment, gotool.Overrides),
		compile:   g.compile,
	}, nil
}

type goBuild struct {
	*Compiler
	tool         gotool.Tool
	std          standard
	goarch, name string
	progress     images.Progress
}

func (g goBuild) wrong(format string, args ...any) error {
	return &Error{Name: g.name, Text: fmt.Sprintf(format, args...)}
}

func (g goBuild) compile(ctx context.Context, work string, files []source) error {
	names, imports, err := g.choose(files)
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		packages, err := g.std.provide(ctx, imports, g.progress)
		var none *notStandardError
		if errors.As(err, &none) {
			return g.wrong("%v: a submission imports the standard library only", none)
		}
		if err != nil {
			return err
		}
		err = g.link(ctx, work, names, packages)
		var fault *Error
		if !errors.As(err, &fault) {
			return err
		}
		// The compiler and the linker fail in many ways on an archive that is damaged.
		// Before that is the sources' fault, the archives are read through.
		damaged := g.std.readThrough(packages)
		switch {
		case damaged == nil:
			return err
		case again:
			return fmt.Errorf("the standard library for %s is damaged again and again: %w; check the disk, or set LAB_CACHE to a folder on another one", g.goarch, damaged)
		}
		g.cache.Warning(fmt.Sprintf("%v; making it anew", damaged))
	}
}

// link compiles the sources and links the program with packages.
func (g goBuild) link(ctx context.Context, work string, names, packages []string) error {
	table := g.std.config(packages)
	in := g.box.Work(work)
	if err := os.WriteFile(filepath.Join(work, "importcfg"), []byte(table), 0o600); err != nil {
		return err
	}
	linked := table + "packagefile main=" + filepath.Join(in, "main.a") + "\n"
	if err := os.WriteFile(filepath.Join(work, "importcfg.link"), []byte(linked), 0o600); err != nil {
		return err
	}
	err := g.step(ctx, work, "compile", append([]string{
		"-p", "main", "-complete", "-trimpath", in, "-lang", langOf(g.tool.Version), "-importcfg", "importcfg",
		"-dwarf=false", "-c=2", "-pack", "-o", "main.a", "--",
	}, names...))
	if err != nil {
		return err
	}
	return g.step(ctx, work, "link", []string{"-importcfg", "importcfg.link", "-buildmode=exe", "-s", "-w", "-buildid=", "-o", "program", "main.a"})
}

func (g goBuild) step(ctx context.Context, work, tool string, args []string) error {
	path := filepath.Join(g.tool.Tools, tool)
	read := []string{g.tool.Tools, g.std.dir}
	if dynamic(path) {
		read = append(read, sandbox.System()...)
	}
	return g.run(ctx, g.name, sandbox.Command{
		Path: path, Args: args, Work: work, Read: read, Alone: true,
		Env: append(slices.Clone(gotool.Overrides),
			"GOARCH="+g.goarch, "GOEXPERIMENT="+g.tool.Experiment, "GOGC=400", "GOMEMLIMIT=300MiB",
			"TMPDIR="+filepath.Join(g.box.Work(work), "tmp")),
	})
}

// choose returns the files that are for this architecture, and what they import.
func (g goBuild) choose(files []source) (names, imports []string, err error) {
	target := build.Default
	target.GOOS, target.GOARCH, target.CgoEnabled, target.UseAllFiles, target.BuildTags = "linux", g.goarch, false, false, nil
	target.Compiler = "gc"
	for _, f := range files {
		target.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.content)), nil }
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, f.name, f.content, parser.ImportsOnly)
		if err != nil {
			return nil, nil, g.wrong("%v", err)
		}
		if tree.Name.Name != "main" {
			return nil, nil, g.wrong("%s: package %s, want package main", f.name, tree.Name.Name)
		}
		fits, err := target.MatchFile("", f.name)
		if err != nil {
			return nil, nil, g.wrong("%v", err)
		}
		for _, i := range tree.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			where := fset.PositionFor(i.Pos(), false)
			switch {
			case err != nil:
				return nil, nil, g.wrong("%s: %v", where, err)
			case path == "C":
				return nil, nil, g.wrong("%s: import \"C\": a submission in Go can not use cgo", where)
			case !public(path):
				return nil, nil, g.wrong("%s: import %q: a submission imports the standard library only", where, path)
			}
			imports = append(imports, path)
		}
		if fits {
			names = append(names, f.name)
		}
	}
	if len(names) == 0 {
		return nil, nil, g.wrong("no Go source files for linux/%s: all are excluded by their build constraints", g.goarch)
	}
	slices.Sort(imports)
	return names, slices.Compact(imports), nil
}

// langOf returns the language's version of a toolchain: go1.26 of go1.26.8.
func langOf(version string) string {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return version
	}
	minor := parts[1]
	if i := strings.IndexFunc(minor, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = minor[:i]
	}
	return parts[0] + "." + minor
}

// dynamic reports whether an executable needs libraries, as some distributions'
// tools do.
func dynamic(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}
