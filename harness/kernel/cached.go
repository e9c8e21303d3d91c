package kernel

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"

	"kernellab/internal/intact"
	"kernellab/internal/mapped"
	"kernellab/internal/regular"
)

// OpenCached is Open for an image whose SHA-256, in hex, is known. It unpacks the image
// once, into a file of folder dir with an index next to it, and maps these files
// afterwards. If it cannot use the files it opens the image itself, and it ignores
// errors of writing them.
func OpenCached(path, digest, dir string) (*Image, error) {
	if len(digest) != 64 {
		return Open(path)
	}
	flat := filepath.Join(dir, digest)
	if intact.Check(flat) == nil {
		if im, err := openFlat(flat); err == nil {
			im.SHA256, im.kept = digest, flat
			im.queries.load(flat + queryCacheSuffix)
			return im, nil
		}
	}
	im, err := Open(path)
	if err == nil && im.SHA256 == digest && intact.WriteBytes(flat, 0o600, im.flat) == nil {
		writeIndex(flat+indexSuffix, im)
		im.queries.path = flat + queryCacheSuffix
	}
	return im, err
}

// Check returns an error when the file that the image is read from is not what it was
// when the image was opened.
func (im *Image) Check() error {
	if im.kept == "" { // it is in memory
		return nil
	}
	return intact.Check(im.kept)
}

// Preload starts to read, in the background, the parts of an image that every run
// needs. Errors surface on first use.
func (im *Image) Preload() {
	go mapped.Guard(func() error {
		_, _ = pointTable()
		if !im.queries.hasTypes() {
			_, _ = im.composites("task_struct")
		}
		_, _ = im.machine.frames(im, span{})
		return nil
	})
}

// openFlat maps an unpacked image. The mapping lasts until the process ends, because
// an Image has no Close.
func openFlat(path string) (*Image, error) {
	data, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	im, err := readSegments(data)
	if err == nil && loadIndex(path+indexSuffix, im) != nil {
		if err = im.search(); err == nil {
			writeIndex(path+indexSuffix, im)
		}
	}
	if err != nil {
		return nil, errors.Join(err, syscall.Munmap(data))
	}
	return im, nil
}

// mapFile maps a file into memory, read-only. Whoever reads it is guarded by
// mapped.Guard.
func mapFile(path string) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 || info.Size() > maxImage {
		return nil, fmt.Errorf("map %s: it has %d bytes, want 1 to %d", path, info.Size(), maxImage)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return data, nil
}
