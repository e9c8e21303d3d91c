// Package debuginfo reads the DWARF of a kernel's vmlinux: source lines of
// addresses, inlined functions, arguments and locals, and the registers of callers.
//
// It maps the file. Open reads the section headers and an index, which is made once
// for each build id and kept in a folder. A compilation unit is decoded when an address
// in it is first needed. Compressed sections are unpacked into the folder once.
//
// It does not read a guest's memory by itself and does not support
// .gnu_debugaltlink (dwz), split DWARF or type units. Files must be 64-bit
// little-endian. Addresses are link addresses.
//
// Format: DWARF versions 4 and 5, with the GNU extensions that GCC writes. If several
// rows of the line table have the same address, gdb's rule chooses one.
package debuginfo

import (
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/go-delve/delve/pkg/dwarf/frame"
)

// ErrNone is wrapped by errors about a file without debug information.
var ErrNone = errors.New("it has no debug information")

// MismatchError says that a vmlinux and the kernel are not of the same build.
type MismatchError struct {
	Path       string
	Have, Want string // build ids in hex, "" for none
}

func (e *MismatchError) Error() string {
	or := func(id string) string {
		if id == "" {
			return "none"
		}
		return id
	}
	return fmt.Sprintf("vmlinux %s is of another build: its build id is %s, the kernel's is %s; give the vmlinux of the same build, as lab kernels fetch --debug does",
		e.Path, or(e.Have), or(e.Want))
}

// FormatError says why a vmlinux could not be read.
type FormatError struct {
	Path   string
	Reason string
	Err    error // may be nil
}

func (e *FormatError) Error() string {
	s := fmt.Sprintf("vmlinux %s: %s", e.Path, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *FormatError) Unwrap() error { return e.Err }

// Options says how to open a vmlinux. The zero value accepts any build and writes no
// index.
type Options struct {
	BuildID string // the kernel's, in hex: Open refuses a file of another build
	Dir     string // folder for the index and unpacked sections; "" for none
}

// File is an opened vmlinux. It is safe for concurrent use.
type File struct {
	Path    string
	BuildID string
	Machine elf.Machine

	dir      string
	sections *sections

	mu    sync.Mutex // guards the fields below
	index *index
	units map[uint64]*unit
	whole *dwarf.Data // of a file whose units refer to each other

	frameLock sync.Mutex // guards the fields below
	frames    []frameEntry
	known     map[uint64]*frame.FrameDescriptionEntry // cache, by address
}

// Open opens a vmlinux. The error is a *MismatchError for another build, and a
// *FormatError that wraps ErrNone for a stripped one.
func Open(path string, o Options) (_ *File, err error) {
	f := &File{Path: path, dir: o.Dir, units: map[uint64]*unit{}}
	defer guard(path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if f.sections, err = openSections(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.sections.close()
		}
	}()
	f.BuildID, f.Machine = f.sections.buildID, f.sections.machine
	if o.BuildID != "" && o.BuildID != f.BuildID {
		return nil, &MismatchError{Path: path, Have: f.BuildID, Want: o.BuildID}
	}
	if err = f.sections.load(o.Dir); err != nil {
		return nil, err
	}
	if f.index, err = f.loadIndex(); err != nil {
		return nil, err
	}
	return f, nil
}

// Prepare makes the index of functions' names and writes it to Options.Dir. Otherwise
// the first call of Sites does.
func (f *File) Prepare() (err error) {
	defer guard(f.Path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.makeNames(); err != nil {
		return &FormatError{Path: f.Path, Reason: "index it", Err: err}
	}
	return nil
}

// Close unmaps the file. No value from it may be used afterwards.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.units = map[uint64]*unit{}
	return f.sections.close()
}

// guard converts a panic to an error: the readers of DWARF panic on damaged data. With
// SetPanicOnFault a file that was truncated after it was mapped causes a panic, too.
func guard(path string, err *error) {
	if r := recover(); r != nil {
		*err = &FormatError{Path: path, Reason: fmt.Sprintf("the debug information is damaged (%v); fetch or build it again", r)}
	}
}

// ID returns the build id of an ELF file, "" if it has none.
func ID(path string) (_ string, err error) {
	defer guard(path, &err)
	s, err := openSections(path)
	if err != nil {
		return "", err
	}
	return s.buildID, s.close()
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("the debug information is damaged: "+format, args...)
}
