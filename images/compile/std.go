package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"kernellab/images"
	"kernellab/images/gotool"
	"kernellab/internal/atomicfile"
	"kernellab/internal/command"
	"kernellab/internal/regular"
)

// stdFormat changes when the same toolchain's archives are kept in another way.
const stdFormat = "std 1"

// maxDeps bounds a list of packages, in bytes.
const maxDeps = 1 << 20

// standard is the compiled standard library for one architecture, in a folder of
// the cache: PATH.a is a package, PATH.deps lists all that it needs, a line each.
// The compiler and the linker read it there, and nothing that handles a
// submission ever writes it. It is filled as imports ask for it.
type standard struct {
	cache  *images.Cache
	tool   gotool.Tool
	goarch string
	dir    string
}

func findStandard(c *images.Cache, tool gotool.Tool, goarch string) (standard, error) {
	h := sha256.New()
	fmt.Fprintln(h, stdFormat, tool.Version, tool.Experiment, goarch, gotool.Overrides, gotool.Reproducible)
	dir, err := c.Path("std", goarch+"-"+hex.EncodeToString(h.Sum(nil)[:8]))
	return standard{cache: c, tool: tool, goarch: goarch, dir: dir}, err
}

// importPath is the form of a package of the standard library. The words that
// mean several packages to the go command have no package of their name.
var importPath = regexp.MustCompile(`^[a-z][a-z0-9]*(/[a-z][a-z0-9]*)*$`)

// public reports whether an import path may be one of the standard library's
// packages for everybody.
func public(path string) bool {
	words := strings.Split(path, "/")
	return importPath.MatchString(path) && !slices.Contains(words, "internal") &&
		!slices.Contains([]string{"cmd", "vendor", "all", "std", "main", "tool", "work"}, words[0])
}

// notStandardError names imports that the standard library does not have.
type notStandardError struct {
	Paths []string
}

func (e *notStandardError) Error() string {
	return strings.Join(e.Paths, ", ") + ": not in the standard library"
}

// provide returns the packages that a program with these imports is linked of,
// all compiled in s.dir.
func (s standard) provide(ctx context.Context, imports []string, p images.Progress) ([]string, error) {
	roots := append([]string{"runtime"}, imports...)
	all, missing := s.closure(roots)
	if len(missing) == 0 {
		return all, nil
	}
	lock, err := s.cache.Lock(ctx, filepath.Base(s.dir))
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if all, missing = s.closure(roots); len(missing) == 0 {
		return all, nil
	}
	p.Report("compiling the standard library for "+s.goarch+": "+strings.Join(missing, ", "), 0, 0)
	if err := s.compile(ctx, missing); err != nil {
		return nil, err
	}
	if all, missing = s.closure(roots); len(missing) > 0 {
		return nil, fmt.Errorf("compile the standard library: the go command gave no %s", strings.Join(missing, ", "))
	}
	return all, nil
}

// closure returns the packages below roots, and the roots that are not there.
func (s standard) closure(roots []string) (all, missing []string) {
	for _, root := range roots {
		deps, err := regular.ReadFile(filepath.Join(s.dir, root+".deps"), maxDeps)
		if err != nil {
			missing = append(missing, root)
			continue
		}
		all = append(append(all, root), strings.Fields(string(deps))...)
	}
	slices.Sort(all)
	return slices.Compact(all), missing
}

// listed is what the go command says of a package.
type listed struct {
	ImportPath string
	Export     string
	Deps       []string
	Standard   bool
	Error      *struct{ Err string }
}

// compile has the go command compile packages of its own, into its own cache, and
// copies them. No source of a submission is near.
func (s standard) compile(ctx context.Context, paths []string) error {
	work, release, err := s.cache.TempDir(ctx, "std")
	if err != nil {
		return err
	}
	defer release()
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(programModule), 0o600); err != nil {
		return err
	}
	args := []string{"list", "-e", "-deps", "-export", "-json=ImportPath,Export,Deps,Standard,Error"}
	out, err := command.Command{
		Path: s.tool.Path(), Args: append(append(args, gotool.Reproducible...), paths...), Dir: work,
		Env: gotool.Env(s.goarch, "GOPROXY=off", "GOTOOLCHAIN=local"),
	}.Run(ctx)
	if err != nil {
		return err
	}
	var none notStandardError
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read what the go command lists: %w", err)
		}
		switch {
		case !l.Standard || l.Export == "" && l.Error != nil:
			none.Paths = append(none.Paths, l.ImportPath)
		default:
			if err := s.add(l); err != nil {
				return err
			}
		}
	}
	if len(none.Paths) > 0 {
		return &none
	}
	return nil
}

// add copies a package. Its list of packages is written last, and says that it is
// there. Package unsafe has no archive.
func (s standard) add(l listed) error {
	to := filepath.Join(s.dir, l.ImportPath)
	if images.Exists(to + ".deps") {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if l.Export != "" {
		f, err := os.Open(l.Export)
		if err != nil {
			return err
		}
		defer f.Close()
		err = atomicfile.Write(to+".a", 0o600, func(w io.Writer) error {
			_, err := io.Copy(w, f)
			return err
		})
		if err != nil {
			return err
		}
	}
	return atomicfile.Write(to+".deps", 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(l.Deps, "\n"))
		return err
	})
}

// config returns the compiler's and linker's table of packages.
func (s standard) config(packages []string) string {
	var b strings.Builder
	for _, p := range packages {
		if p != "unsafe" {
			fmt.Fprintf(&b, "packagefile %s=%s\n", p, filepath.Join(s.dir, p+".a"))
		}
	}
	return b.String()
}
