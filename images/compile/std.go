package compile

import (
	"cmp"
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
	"kernellab/internal/command"
	"kernellab/internal/intact"
)

// stdFormat changes when the same toolchain's archives are kept in another way.
const stdFormat = "std 1"

// standard is the compiled standard library for one architecture, in a folder of
// the cache: PATH.a is a package, PATH.deps lists all that it needs, a line each.
// Each file has its sum beside it. The compiler and the linker read it there, and nothing that handles a
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
	if all, missing := s.whole(roots); len(missing) == 0 {
		return all, nil
	}
	lock, err := s.cache.Lock(ctx, filepath.Base(s.dir))
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	all, missing := s.whole(roots)
	if len(missing) == 0 {
		return all, nil // another process made it meanwhile
	}
	for _, path := range missing {
		if err := s.damaged(path); err != nil {
			s.cache.Warning(fmt.Sprintf("%v; making it anew", err))
		}
	}
	p.Report("compiling the standard library for "+s.goarch+": "+strings.Join(roots, ", "), 0, 0)
	if err := s.compile(ctx, roots); err != nil {
		return nil, err
	}
	if all, missing = s.whole(roots); len(missing) > 0 {
		return nil, fmt.Errorf("compile the standard library: the go command gave no %s", strings.Join(missing, ", "))
	}
	return all, nil
}

// whole returns the packages below roots, and those of them that are missing or damaged.
func (s standard) whole(roots []string) (all, missing []string) {
	all, missing = s.closure(roots)
	return all, append(missing, s.lacking(all)...)
}

// damaged says why a package is damaged; a missing one is not.
func (s standard) damaged(path string) error {
	for _, file := range []string{s.archive(path), filepath.Join(s.dir, path+".deps")} {
		if err := intact.Check(file); intact.Damaged(err) {
			return err
		}
	}
	return nil
}

// closure returns the packages below roots, and the roots that are not there.
func (s standard) closure(roots []string) (all, missing []string) {
	for _, root := range roots {
		deps, err := intact.Read(filepath.Join(s.dir, root+".deps"))
		if err != nil {
			missing = append(missing, root)
			continue
		}
		all = append(append(all, root), strings.Fields(string(deps))...)
	}
	slices.Sort(all)
	return slices.Compact(all), missing
}

// lacking returns those of packages that are not there whole.
func (s standard) lacking(packages []string) []string {
	return slices.DeleteFunc(slices.Clone(packages), func(path string) bool {
		return path == "unsafe" || intact.Check(s.archive(path)) == nil
	})
}

// readThrough reads what a program was linked of, whatever the file system says of it.
// It removes the archives that are damaged and returns the first one's error.
func (s standard) readThrough(packages []string) (damaged error) {
	for _, path := range packages {
		if path == "unsafe" {
			continue
		}
		if err := intact.Through(s.archive(path)); err != nil {
			damaged = cmp.Or(damaged, err)
			intact.Remove(s.archive(path)) // else it fails again, and is named
		}
	}
	return damaged
}

// archive is the file with a package.
func (s standard) archive(path string) string { return filepath.Join(s.dir, path+".a") }

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

// add copies a package, unless it is there whole. Package unsafe has no archive.
func (s standard) add(l listed) error {
	to, list := s.archive(l.ImportPath), filepath.Join(s.dir, l.ImportPath+".deps")
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if l.Export != "" && intact.Check(to) != nil {
		f, err := os.Open(l.Export)
		if err != nil {
			return err
		}
		defer f.Close()
		err = intact.Write(to, 0o600, func(w io.Writer) error {
			_, err := io.Copy(w, f)
			return err
		})
		if err != nil {
			return err
		}
	}
	if intact.Check(list) == nil {
		return nil
	}
	return intact.WriteBytes(list, 0o600, []byte(strings.Join(l.Deps, "\n")))
}

// config returns the compiler's and linker's table of packages.
func (s standard) config(packages []string) string {
	var b strings.Builder
	for _, p := range packages {
		if p != "unsafe" {
			fmt.Fprintf(&b, "packagefile %s=%s\n", p, s.archive(p))
		}
	}
	return b.String()
}
