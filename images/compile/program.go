// Package compile compiles the programs that guests run, with the host's toolchains:
// trusted ones, and those that strangers hand in, whose compiler runs in a sandbox.
package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"kernellab/images"
	"kernellab/images/gotool"
	"kernellab/internal/command"
)

const (
	part          = "programs" // of the cache
	programFormat = "program 1"
	programModule = "module program\n\ngo 1.26\n"

	// Limits on the sources of a program, a lab's own or a submission's.
	maxSources    = 64
	maxSourceSize = 1 << 20
)

// Error is returned when a program's sources are at fault.
type Error struct {
	Name string
	// Text is what the compiler said, with file names as the program has
	// them.
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("%s does not compile:\n%s", e.Name, e.Text) }

// Program compiles a guest program from the *.go and *.s files in the root
// of src, tests excepted, and returns the path of a static binary. The sources are of
// one package main and import the standard library only; what is wrong with them
// is a [*Error]. The sources are trusted: a stranger's are compiled by a
// [Compiler].
func Program(ctx context.Context, c *images.Cache, goarch, name string, src fs.FS, p images.Progress) (string, error) {
	path, err := program(ctx, c, goarch, name, src, p)
	var ce *Error
	if err != nil && !errors.As(err, &ce) {
		return "", fmt.Errorf("build program %s: %w", name, err)
	}
	return path, err
}

func program(ctx context.Context, c *images.Cache, goarch, name string, src fs.FS, p images.Progress) (string, error) {
	if err := gotool.CheckArch(goarch); err != nil {
		return "", err
	}
	files, err := sources(name, src)
	if err != nil {
		return "", err
	}
	work, release, err := c.TempDir(ctx, "program")
	if err != nil {
		return "", err
	}
	defer release()
	mod := filepath.Join(work, "src")
	if err := os.Mkdir(mod, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(mod, "go.mod"), []byte(programModule), 0o600); err != nil {
		return "", err
	}
	h := sha256.New()
	for _, f := range files {
		gotool.HashFile(h, f.name, f.content)
		if err := os.WriteFile(filepath.Join(mod, f.name), f.content, 0o600); err != nil {
			return "", err
		}
	}
	tool, err := gotool.Find(ctx, mod)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(h, programFormat, tool.Version, goarch, gotool.Overrides, gotool.Reproducible)
	return c.Obtain(ctx, part, hex.EncodeToString(h.Sum(nil)[:16]), 0o700, func(w io.Writer) error {
		p.Report(fmt.Sprintf("compiling %s for %s", name, goarch), 0, 0)
		bin := filepath.Join(work, "program")
		// Nothing is fetched: a lab's program imports the standard library only.
		if err := tool.Build(ctx, mod, ".", bin, goarch, "GOPROXY=off"); err != nil {
			var ce *command.Error
			var exit *exec.ExitError
			if errors.As(err, &ce) && errors.As(err, &exit) && exit.Exited() && !command.DiskFull(err) {
				return &Error{Name: name, Text: compilerText(ce.Output, mod)}
			}
			return err
		}
		f, err := os.Open(bin)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
}

type source struct {
	name    string
	content []byte
}

func sources(name string, src fs.FS) ([]source, error) {
	list, err := fs.ReadDir(src, ".")
	if err != nil {
		return nil, err
	}
	var files []source
	for _, e := range list {
		assembly := strings.HasSuffix(e.Name(), ".s")
		if !assembly && !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		if !e.Type().IsRegular() {
			return nil, &Error{Name: name, Text: e.Name() + ": not a regular file"}
		}
		b, err := readLimited(src, e.Name())
		if err != nil {
			return nil, err
		}
		if len(b) > maxSourceSize {
			return nil, &Error{Name: name, Text: fmt.Sprintf("%s: larger than %d bytes", e.Name(), maxSourceSize)}
		}
		if assembly {
			files = append(files, source{e.Name(), b})
			continue
		}
		// The go command would make a library of any other package.
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), b, parser.PackageClauseOnly)
		if err != nil {
			return nil, &Error{Name: name, Text: err.Error()}
		}
		if f.Name.Name != "main" {
			return nil, &Error{Name: name, Text: fmt.Sprintf("%s: package %s, want package main", e.Name(), f.Name.Name)}
		}
		files = append(files, source{e.Name(), b})
	}
	if !slices.ContainsFunc(files, func(f source) bool { return strings.HasSuffix(f.name, ".go") }) {
		return nil, &Error{Name: name, Text: "no Go source files"}
	}
	if len(files) > maxSources {
		return nil, &Error{Name: name, Text: fmt.Sprintf("%d source files, want at most %d", len(files), maxSources)}
	}
	return files, nil
}

// readLimited reads a file, but no more than tells that it is too large.
func readLimited(src fs.FS, name string) ([]byte, error) {
	f, err := src.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSourceSize+1))
}

// compilerText drops the go command's heading and the work folder from what the
// compiler said.
func compilerText(out, dir string) string {
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(out, dir, ".")) {
		if strings.HasPrefix(line, "# ") {
			continue
		}
		lines = append(lines, strings.TrimPrefix(line, "./"))
	}
	return strings.TrimSpace(strings.Join(lines, ""))
}
