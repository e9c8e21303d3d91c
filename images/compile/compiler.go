package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"kernellab/images"
	"kernellab/images/gotool"
	"kernellab/images/sandbox"
	"kernellab/internal/command"
)

const (
	compilerFormat = "submission 1"

	// maxProgram is the size of an executable, in bytes, that a guest is brought.
	maxProgram = 16 << 20
)

// Compiler compiles submissions: sources that may have been written to harm. It
// runs the compiler in a [sandbox.Box], where there is nothing to read but the
// sources and the toolchain, and hands it a list of files instead of a folder:
//
//   - Go: the compiler and the linker, without the go command. There is no
//     module, workspace, vendor folder or environment to obey, nothing is
//     generated, fetched or embedded, cgo and assembly have no way in, and imports
//     are looked up in a table of the standard library. Nobody's compile writes a
//     build cache that another's reads.
//   - C: gcc and its linker, for a static program. The preprocessor and the
//     assembler can include what the sandbox shows, which is the toolchain.
//
// A Compiler may be used by any number of goroutines, and is best kept: making
// one tries the sandbox out.
type Compiler struct {
	// Limits bound each step of a compile; the zero value is for the defaults.
	Limits sandbox.Limits

	cache *images.Cache
	box   sandbox.Box

	tool   gotool.Tool
	noTool error // why there is no tool
}

// New returns a compiler for submissions. A host that can not keep one apart
// gives a [*sandbox.UnavailableError], which says what to do.
func New(ctx context.Context, c *images.Cache) (*Compiler, error) {
	box, err := sandbox.Find(ctx, "")
	if err != nil {
		return nil, err
	}
	dir, err := c.Path("std")
	if err != nil {
		return nil, err
	}
	tool, err := gotool.Find(ctx, dir)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return &Compiler{cache: c, box: box, tool: tool, noTool: err}, nil
}

// Kind says how the compiler is kept apart from the host.
func (c *Compiler) Kind() sandbox.Kind { return c.box.Kind }

// Build compiles a submission, which is either the *.go files or the *.c files in
// the root of src, and returns the path of a static executable. What is wrong with
// the sources, the limits they went over included, is a [*Error]; a C
// compiler that the host lacks is a [*ToolError].
func (c *Compiler) Build(ctx context.Context, goarch, name string, src fs.FS, p images.Progress) (string, error) {
	path, err := c.build(ctx, goarch, name, src, p)
	var ce *Error
	if err != nil && !errors.As(err, &ce) {
		return "", fmt.Errorf("compile %s: %w", name, err)
	}
	return path, err
}

// language is how a program is made of its sources.
type language struct {
	extension string
	// identity is everything that the executable depends on beside the sources.
	identity string
	// compile makes the file called program in the work folder.
	compile func(ctx context.Context, work string, files []source) error
}

func (c *Compiler) build(ctx context.Context, goarch, name string, src fs.FS, p images.Progress) (string, error) {
	if err := gotool.CheckArch(goarch); err != nil {
		return "", err
	}
	l, err := c.language(ctx, goarch, name, src, p)
	if err != nil {
		return "", err
	}
	files, err := submitted(name, src, l.extension)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, compilerFormat, l.identity, goarch)
	for _, f := range files {
		gotool.HashFile(h, f.name, f.content)
	}
	return c.cache.Obtain(ctx, part, hex.EncodeToString(h.Sum(nil)[:16]), 0o700, func(w io.Writer) error {
		p.Report(fmt.Sprintf("compiling %s for %s", name, goarch), 0, 0)
		temp, release, err := c.cache.TempDir(ctx, "submission")
		if err != nil {
			return err
		}
		defer release()
		work := filepath.Join(temp, "work")
		if err := os.MkdirAll(filepath.Join(work, "tmp"), 0o700); err != nil {
			return err
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(work, f.name), f.content, 0o600); err != nil {
				return err
			}
		}
		if err := l.compile(ctx, work, files); err != nil {
			return err
		}
		return take(w, filepath.Join(work, "program"), name)
	})
}

// take copies an executable out of a folder in which a stranger's sources were
// compiled.
func take(w io.Writer, from, name string) error {
	f, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &Error{Name: name, Text: "the compiler made no executable"}
	}
	if info.Size() > maxProgram {
		return &Error{Name: name, Text: fmt.Sprintf("the executable has %d bytes, over the limit of %d", info.Size(), maxProgram)}
	}
	_, err = io.Copy(w, io.LimitReader(f, maxProgram))
	return err
}

// language finds out what a submission is written in.
func (c *Compiler) language(ctx context.Context, goarch, name string, src fs.FS, p images.Progress) (language, error) {
	list, err := fs.ReadDir(src, ".")
	if err != nil {
		return language{}, err
	}
	has := func(ext string) bool {
		return slices.ContainsFunc(list, func(e fs.DirEntry) bool { return path.Ext(e.Name()) == ext })
	}
	switch {
	case has(".go") && has(".c"):
		return language{}, &Error{Name: name, Text: "sources in Go and in C: hand in one or the other"}
	case has(".go"):
		return c.golang(ctx, goarch, name, p)
	case has(".c"):
		return c.c(ctx, goarch, name)
	}
	return language{}, &Error{Name: name, Text: "no source files: want *.go or *.c"}
}

// run runs a step of a compile. The step that fails is the sources' fault.
func (c *Compiler) run(ctx context.Context, name string, cmd sandbox.Command) error {
	cmd.Limits = c.Limits
	r, err := c.box.Run(ctx, cmd)
	if err != nil {
		return err
	}
	switch {
	case r.Code == 0:
		return nil
	case command.DiskFull(&command.Error{Output: r.Output}) && r.Exceeded == "":
		return &command.Error{Name: cmd.Path, Output: r.Output, Err: syscall.ENOSPC}
	case r.Exceeded != "":
		return &Error{Name: name, Text: fmt.Sprintf("the compiler was stopped: it took %s", r.Exceeded)}
	}
	if said, ok := crashed(r); ok {
		return &Error{Name: name, Text: "the compiler crashed over these sources: " + said}
	}
	text := compilerText(r.Output, c.box.Work(cmd.Work))
	if text == "" {
		text = fmt.Sprintf("the compiler ended with exit status %d", r.Code)
	}
	return &Error{Name: name, Text: text}
}

// crash matches what a compiler says first of its own crash: Go's runtime at the start of
// a line, gcc after its name.
var crash = regexp.MustCompile(`(?m)(?:^(?:SIG[A-Z]+: |fatal error: |panic: |runtime: |unexpected fault address )|internal compiler error: ).*$`)

// crashed reports whether a compiler crashed, and what it said of that, in a line.
func crashed(r sandbox.Result) (said string, ok bool) {
	if said := crash.FindString(r.Output); said != "" {
		return said, true
	}
	const signalled = 128
	return fmt.Sprintf("exit status %d", r.Code), r.Code > signalled
}

// submitted reads the sources of one language.
func submitted(name string, src fs.FS, ext string) ([]source, error) {
	list, err := fs.ReadDir(src, ".")
	if err != nil {
		return nil, err
	}
	var files []source
	for _, e := range list {
		n := e.Name()
		if path.Ext(n) != ext && (ext != ".c" || path.Ext(n) != ".h") || strings.HasSuffix(n, "_test.go") {
			continue
		}
		if !plainName(n) {
			return nil, &Error{Name: name, Text: fmt.Sprintf("%q: a source file is named with letters, digits, _ and -", n)}
		}
		if !e.Type().IsRegular() {
			return nil, &Error{Name: name, Text: n + ": not a regular file"}
		}
		b, err := readLimited(src, n)
		if err != nil {
			return nil, err
		}
		if len(b) > maxSourceSize {
			return nil, &Error{Name: name, Text: fmt.Sprintf("%s: larger than %d bytes", n, maxSourceSize)}
		}
		if files = append(files, source{n, b}); len(files) > maxSources {
			return nil, &Error{Name: name, Text: fmt.Sprintf("more than %d source files", maxSources)}
		}
	}
	return files, nil
}

// plainName reports whether a file's name can stand in a compiler's arguments.
func plainName(name string) bool {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.", r) {
			return false
		}
	}
	return name != "" && name[0] != '-' && name[0] != '.' && len(name) < 100
}
