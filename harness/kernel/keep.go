package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"kernellab/internal/atomicfile"
)

// OpenKept is Open for an image whose SHA-256, in hex, is known: it is unpacked
// once, into a file of folder dir, and read from there afterwards, with an index of
// what was found in it beside it. The files are mapped, not read, so that opening
// costs what is looked at. When they can not be used the image itself is opened;
// that they can not be written is no error.
func OpenKept(path, digest, dir string) (*Image, error) {
	if len(digest) != 64 {
		return Open(path)
	}
	kept := filepath.Join(dir, digest)
	if im, err := openFlat(kept); err == nil {
		im.SHA256 = digest
		im.answers.load(kept + answersSuffix)
		return im, nil
	}
	im, err := Open(path)
	if err == nil && im.SHA256 == digest && atomicfile.WriteBytes(kept, 0o600, im.flat) == nil {
		keepIndex(kept+indexSuffix, im)
		im.answers.path = kept + answersSuffix
	}
	return im, err
}

// Prepare begins to read what every run asks for of an image, on another processor
// if there is one, and does not wait for it. Of errors those are told who ask again.
func (im *Image) Prepare() {
	go func() {
		_, _ = pointTable()
		if !im.answers.known() {
			_, _ = im.composites("task_struct")
		}
		_, _ = im.machine.frames(im, span{})
	}()
}

// openFlat opens an unpacked image without reading it whole. The mapping stays
// as long as the process: an Image has no end.
func openFlat(path string) (*Image, error) {
	data, err := mapped(path)
	if err != nil {
		return nil, err
	}
	im, err := readSegments(data)
	if err == nil && loadIndex(path+indexSuffix, im) != nil {
		if err = im.search(); err == nil {
			keepIndex(path+indexSuffix, im)
		}
	}
	if err != nil {
		return nil, errors.Join(err, syscall.Munmap(data))
	}
	return im, nil
}

// mapped maps a file into memory, to be read.
func mapped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 || info.Size() > maxImage {
		return nil, fmt.Errorf("%s has %d bytes: want 1 to %d", path, info.Size(), maxImage)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return data, nil
}
