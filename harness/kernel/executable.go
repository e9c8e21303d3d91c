package kernel

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// executable identifies the running program. /proc/self/exe is the file that was
// started, even if another file has replaced it since.
var executable = sync.OnceValues(func() (string, error) { return identify("/proc/self/exe") })

// identify identifies the content of a program by its Go build ID, a hash of
// everything that was linked into it (Go's cmd/go/internal/work/buildid.go). So it need
// not read the whole file. It identifies a program without a build ID by the file's
// inode, size and times.
func identify(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("identify the program: %w", err)
	}
	defer f.Close()
	if id := goBuildID(f); id != "" {
		return id, nil
	}
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("identify the program: %w", err)
	}
	return stampOf(info)
}

func stampOf(info fs.FileInfo) (string, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("identify the program: no inode of %s", info.Name())
	}
	return fmt.Sprintf("%d:%d:%d:%d:%d", st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()), nil
}

// goBuildID returns the Go build ID of an ELF file, or "" if it has none. The ID is
// in a note with name Go and type 4 (Go's cmd/internal/buildid/note.go).
func goBuildID(f *os.File) string {
	const header, name, kind = 12, "Go\x00\x00", 4
	file, err := elf.NewFile(f)
	if err != nil {
		return ""
	}
	section := file.Section(".note.go.buildid")
	if section == nil || section.Size > 4096 {
		return ""
	}
	note, err := section.Data()
	if err != nil || len(note) < header+len(name) || le.Uint32(note[8:]) != kind || string(note[header:header+len(name)]) != name {
		return ""
	}
	id := note[header+len(name):]
	if size := le.Uint32(note[4:]); uint64(size) <= uint64(len(id)) {
		return string(id[:size])
	}
	return ""
}
