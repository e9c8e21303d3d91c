package debuginfo

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kernellab/internal/regular"
)

var le = binary.LittleEndian

// maxSection limits the size of an unpacked section, in bytes.
const maxSection = 8 << 30

// wanted lists the sections that are read.
var wanted = [...]string{
	".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_line_str", ".debug_str_offsets",
	".debug_addr", ".debug_ranges", ".debug_rnglists", ".debug_loc", ".debug_loclists", ".debug_aranges", ".debug_frame",
}

// sections holds the mapped sections of a file.
type sections struct {
	path    string
	buildID string
	machine elf.Machine
	file    *os.File
	elf     *elf.File
	size    int64
	maps    [][]byte
	by      map[string][]byte
}

// openSections reads the headers.
func openSections(path string) (_ *sections, err error) {
	file, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open vmlinux: %w", err)
	}
	s := &sections{path: path, file: file, by: map[string][]byte{}}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open vmlinux: %w", err)
	}
	s.size = info.Size()
	if s.elf, err = elf.NewFile(file); err != nil {
		return nil, &FormatError{path, "it is not an ELF file, or is truncated; give the vmlinux of a kernel's build or of its -dbg package", err}
	}
	if s.elf.Class != elf.ELFCLASS64 || s.elf.Data != elf.ELFDATA2LSB {
		return nil, &FormatError{path, fmt.Sprintf("it is %s %s, but only 64-bit little-endian files are supported", s.elf.Class, s.elf.Data), nil}
	}
	s.machine = s.elf.Machine
	s.buildID = s.findBuildID()
	return s, nil
}

func (s *sections) findBuildID() string {
	const most = 1 << 20
	for _, sec := range s.elf.Sections {
		if sec.Type != elf.SHT_NOTE || sec.Size > most {
			continue
		}
		notes, err := sec.Data()
		if err != nil {
			continue
		}
		if id := NoteID(notes); id != "" {
			return id
		}
	}
	return ""
}

// NoteID returns the GNU build id from the notes of an ELF file, "" if there is none.
func NoteID(notes []byte) string {
	const ntGNUBuildID = 3
	align := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(notes) >= 12 {
		size := le.Uint32(notes[4:])
		name, desc, kind := align(le.Uint32(notes)), align(size), le.Uint32(notes[8:])
		notes = notes[12:]
		if name+desc > uint64(len(notes)) {
			return ""
		}
		if kind == ntGNUBuildID && bytes.HasPrefix(notes, []byte("GNU\x00")) {
			return hex.EncodeToString(notes[name : name+uint64(size)])
		}
		notes = notes[name+desc:]
	}
	return ""
}

// load maps the debug sections. Compressed ones are unpacked into dir first.
func (s *sections) load(dir string) error {
	whole, err := s.mapFile(s.file, s.size)
	if err != nil {
		return err
	}
	for _, name := range wanted {
		sec := s.elf.Section(name)
		if sec == nil {
			if sec = s.elf.Section(".z" + name[1:]); sec == nil {
				continue
			}
		}
		if sec.Type == elf.SHT_NOBITS || sec.FileSize == 0 {
			continue
		}
		if sec.Offset > uint64(s.size) || sec.FileSize > uint64(s.size)-sec.Offset {
			return &FormatError{s.path, fmt.Sprintf("it is truncated: section %s ends at byte %d, but the file has %d", sec.Name, sec.Offset+sec.FileSize, s.size), nil}
		}
		data := whole[sec.Offset : sec.Offset+sec.FileSize : sec.Offset+sec.FileSize]
		if sec.Flags&elf.SHF_COMPRESSED != 0 || strings.HasPrefix(sec.Name, ".zdebug") {
			if data, err = s.unpacked(sec, name, dir); err != nil {
				return err
			}
		}
		s.by[name] = data
	}
	for _, name := range []string{".debug_info", ".debug_abbrev"} {
		if len(s.by[name]) == 0 {
			return &FormatError{s.path, "it has no section " + name + ", like a stripped kernel; give the vmlinux of the build or of its -dbg package", ErrNone}
		}
	}
	return nil
}

func (s *sections) mapFile(f *os.File, size int64) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	s.maps = append(s.maps, data)
	return data, nil
}

// unpacked unpacks a compressed section into a file, unless that exists, and maps it.
func (s *sections) unpacked(sec *elf.Section, name, dir string) ([]byte, error) {
	if sec.Size > maxSection {
		return nil, &FormatError{s.path, fmt.Sprintf("section %s has %d bytes by its header, which is more than %d", name, sec.Size, int64(maxSection)), nil}
	}
	path := ""
	if dir != "" && s.buildID != "" {
		path = filepath.Join(dir, s.buildID+name)
		if f, err := regular.Open(path); err == nil {
			defer f.Close()
			if info, err := f.Stat(); err == nil && uint64(info.Size()) == sec.Size {
				return s.mapFile(f, info.Size())
			}
		}
	}
	f, err := os.CreateTemp(dir, ".unpacked-*")
	if err != nil {
		return nil, fmt.Errorf("unpack section %s: %w", name, err)
	}
	defer f.Close()
	n, err := io.Copy(f, io.LimitReader(sec.Open(), int64(sec.Size)))
	if err == nil && uint64(n) != sec.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		os.Remove(f.Name())
		return nil, &FormatError{s.path, fmt.Sprintf("unpack section %s", name), err}
	}
	if path == "" || os.Rename(f.Name(), path) != nil {
		os.Remove(f.Name()) // the mapping keeps the content
	}
	return s.mapFile(f, n)
}

func (s *sections) close() error {
	var errs []error
	for _, m := range s.maps {
		errs = append(errs, syscall.Munmap(m))
	}
	s.maps, s.by = nil, map[string][]byte{}
	return errors.Join(append(errs, s.file.Close())...)
}
