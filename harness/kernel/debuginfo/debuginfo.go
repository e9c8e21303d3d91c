// Package debuginfo reads the DWARF of a kernel's vmlinux: source lines of
// addresses, inlined functions as frames and as places, arguments and locals by
// their location lists, and the registers of callers.
//
// The file is mapped and read where it is looked at: opening reads the section
// headers and an index, which is made once for each build id and kept in a
// folder, and a compilation unit is decoded when an address in it is asked
// about. Compressed sections are unpacked into that folder once.
//
// It does not read a guest by itself, follow .gnu_debugaltlink (dwz), split
// DWARF or type units, and knows 64-bit little-endian files alone. Addresses
// are link addresses.
//
// Format: DWARF versions 4 and 5, with the GNU extensions that GCC writes; line
// numbers follow gdb's rule where several rows are of one address.
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
var ErrNone = errors.New("no debug information in it")

// MismatchError says that a vmlinux is of another build than the kernel.
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
	return fmt.Sprintf("vmlinux %s is of another build: its build id is %s, the kernel's is %s; give the vmlinux of the very build, as lab kernels fetch --debug does",
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

// Options says how to open a vmlinux. The zero value takes any build and keeps
// no index.
type Options struct {
	BuildID string // the kernel's, in hex: a file of another build is refused
	Dir     string // folder for the index and unpacked sections; "" keeps none
}

// File is an opened vmlinux. It is safe for concurrent use.
type File struct {
	Path    string
	BuildID string
	Machine elf.Machine

	dir      string
	sections *sections

	mu    sync.Mutex // over what follows
	index *index
	units map[uint64]*unit
	whole *dwarf.Data // of a file whose units refer to each other

	frameLock sync.Mutex // over what follows
	frames    []frameEntry
	known     map[uint64]*frame.FrameDescriptionEntry // by the addresses they were asked for
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

// Prepare makes the index of functions' names, which else the first call of Sites
// does, and keeps it.
func (f *File) Prepare() (err error) {
	defer guard(f.Path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.makeNames(); err != nil {
		return &FormatError{Path: f.Path, Reason: "no index could be made of it", Err: err}
	}
	return nil
}

// Close gives the mapping back. Nothing of the file may be used afterwards.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.units = map[uint64]*unit{}
	return f.sections.close()
}

// guard makes an error of a panic: the readers of DWARF panic on damage. With
// SetPanicOnFault a mapped file that was cut short meanwhile does too.
func guard(path string, err *error) {
	if r := recover(); r != nil {
		*err = &FormatError{Path: path, Reason: fmt.Sprintf("the debug information is damaged (%v); fetch or build it again", r)}
	}
}

// ID returns the build id of an ELF file, "" when it carries none.
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
