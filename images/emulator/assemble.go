package emulator

import (
	"cmp"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"kernellab/images"
)

// assembly is a QEMU in the making.
type assembly struct {
	ctx   context.Context
	tree  *os.Root            // what was unpacked
	to    *os.Root            // the finished folder
	found map[string][]string // paths in tree by file name, the likeliest first
	files map[string]int64    // sizes of what is in to, by path
}

// assemble makes a folder of the programs, the libraries that they need, and their
// firmware from an unpacked tree. It returns the sizes of its files, and the name
// of the dynamic loader that the programs ask for.
func assemble(ctx context.Context, tree, dir string) (files map[string]int64, loader string, err error) {
	for _, d := range []string{qemuBin, qemuLib, qemuShare} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, "", err
		}
	}
	s := assembly{ctx: ctx, found: map[string][]string{}, files: map[string]int64{}}
	if s.tree, err = os.OpenRoot(tree); err != nil {
		return nil, "", err
	}
	defer s.tree.Close()
	if s.to, err = os.OpenRoot(dir); err != nil {
		return nil, "", err
	}
	defer s.to.Close()
	if err := s.index(); err != nil {
		return nil, "", err
	}
	for _, program := range qemuPrograms {
		if loader, err = s.program(program); err != nil {
			return nil, "", err
		}
	}
	if err := s.libraries("lab", []string{clockLibrary}); err != nil {
		return nil, "", err
	}
	if len(s.found[libgcc]) > 0 {
		if err := s.libraries("the C library", []string{libgcc}); err != nil {
			return nil, "", err
		}
	}
	for _, name := range qemuFirmware {
		if err := s.copy(name, qemuShare); err != nil {
			return nil, "", err
		}
	}
	return s.files, loader, nil
}

// index finds the unpacked files. Of those with the same name the one that is
// nearest to the root comes first: deeper ones are for plugins and for particular
// processors.
func (s *assembly) index() error {
	err := fs.WalkDir(s.tree.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			s.found[path.Base(name)] = append(s.found[path.Base(name)], name)
		}
		return err
	})
	for _, paths := range s.found {
		slices.SortFunc(paths, func(a, b string) int {
			return cmp.Or(strings.Count(a, "/")-strings.Count(b, "/"), cmp.Compare(a, b))
		})
	}
	return err
}

// copy puts the file of that name into a folder, unless it is there.
func (s *assembly) copy(name, folder string) error {
	to := path.Join(folder, name)
	if _, ok := s.files[to]; ok {
		return nil
	}
	err := fmt.Errorf("no package holds %s: %w", name, fs.ErrNotExist)
	for _, from := range s.found[name] {
		var f *os.File
		if f, err = s.tree.Open(from); err != nil {
			continue // a link that leads nowhere
		}
		defer f.Close()
		s.files[to], err = writeNew(s.to, to, images.Reader(s.ctx, f))
		return err
	}
	return err
}

// program adds a program, its loader and its libraries.
func (s *assembly) program(name string) (loader string, err error) {
	if err := s.copy(name, qemuBin); err != nil {
		return "", err
	}
	interp, needed, err := s.links(path.Join(qemuBin, name))
	if err != nil {
		return "", err
	}
	if interp == "" {
		return "", fmt.Errorf("%s names no dynamic loader", name)
	}
	loader = path.Base(interp)
	return loader, s.libraries(name, append([]string{loader}, needed...))
}

// libraries adds libraries and all that they need in turn. by is who needs them.
func (s *assembly) libraries(by string, names []string) error {
	for _, name := range names {
		to := path.Join(qemuLib, name)
		if _, ok := s.files[to]; ok {
			continue
		}
		if err := s.copy(name, qemuLib); err != nil {
			return fmt.Errorf("%s needs %s: %w", by, name, err)
		}
		_, needed, err := s.links(to)
		if err != nil {
			return err
		}
		if err := s.libraries(name, needed); err != nil {
			return err
		}
	}
	return nil
}

// links returns the dynamic loader that an executable asks for (PT_INTERP) and
// the libraries that it needs (DT_NEEDED).
func (s *assembly) links(name string) (interp string, needed []string, err error) {
	file, err := s.to.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	f, err := elf.NewFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", name, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if err != nil {
				return "", nil, fmt.Errorf("read the interpreter of %s: %w", name, err)
			}
			interp = strings.TrimRight(string(b), "\x00")
		}
	}
	if needed, err = f.ImportedLibraries(); err != nil {
		return "", nil, fmt.Errorf("read what %s needs: %w", name, err)
	}
	for _, n := range needed {
		if n != path.Base(n) {
			return "", nil, fmt.Errorf("%s needs %q, which is no file name", name, n)
		}
	}
	return interp, needed, nil
}
