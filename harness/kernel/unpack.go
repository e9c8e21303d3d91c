package kernel

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

const (
	// maxImage limits the unpacked size of an image. The largest stock vmlinux has
	// less than 100 MB.
	maxImage = 512 << 20
	// maxFile limits the size of an image file. A vmlinux may have debug information.
	maxFile = 2 << 30
	// maxLayers limits nested containers: Image.gz within an EFI application has two.
	maxLayers = 4
)

var le = binary.LittleEndian

// unpack removes compression and boot headers from data until an ELF vmlinux or a
// raw Image is left.
func unpack(data []byte) ([]byte, error) {
	for range maxLayers {
		inner, err := peel(data)
		if err != nil {
			return nil, err
		}
		if inner == nil {
			return data, nil
		}
		data = inner
	}
	return nil, notKernel("image", "it has more than %d nested containers; give the vmlinux itself", maxLayers)
}

// peel removes one layer. It returns nil if there is none.
func peel(data []byte) ([]byte, error) {
	switch {
	case len(data) < 64:
		return nil, truncated("image", "it has only %d bytes, but a kernel image has millions", len(data))
	case bytes.HasPrefix(data, []byte("\x7fELF")), isRISCVImage(data):
		return nil, nil
	case isBzImage(data):
		return peelBzImage(data)
	case isZboot(data):
		return peelZboot(data)
	case payloadFormat(data) != "":
		return decompress("image", data, 0)
	}
	return nil, notKernel("image", "it starts with % x and is not a bzImage, ELF vmlinux, RISC-V Image, EFI zboot image or compressed image", data[:8])
}

// Offsets in the x86 boot header: Documentation/arch/x86/boot.rst.
const (
	bzSetupSects    = 0x1f1
	bzBootFlag      = 0x1fe
	bzMagic         = 0x202
	bzVersion       = 0x206
	bzPayloadOffset = 0x248
	bzPayloadLength = 0x24c
	bzHeaderEnd     = 0x250
)

func isBzImage(data []byte) bool {
	return len(data) >= bzHeaderEnd && le.Uint16(data[bzBootFlag:]) == 0xaa55 &&
		string(data[bzMagic:bzMagic+4]) == "HdrS"
}

func peelBzImage(data []byte) ([]byte, error) {
	if v := le.Uint16(data[bzVersion:]); v < 0x208 {
		return nil, notKernel("bzImage", "its boot protocol %d.%02d is older than 2.08 and lacks the kernel's position; give the vmlinux itself", v>>8, v&0xff)
	}
	sects := uint64(data[bzSetupSects])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + uint64(le.Uint32(data[bzPayloadOffset:]))
	length := uint64(le.Uint32(data[bzPayloadLength:]))
	if start+length > uint64(len(data)) || length < 16 {
		return nil, truncated("bzImage", "by the header the kernel is at bytes %d to %d, but the file has %d; fetch it again", start, start+length, len(data))
	}
	payload := data[start : start+length]
	if bytes.HasPrefix(payload, []byte("\x7fELF")) {
		return payload, nil
	}
	// The build appends the unpacked size, least significant byte first
	// (scripts/Makefile.lib, size_append). A gzip file ends with it anyway.
	size := le.Uint32(payload[len(payload)-4:])
	return decompress("bzImage", payload, uint64(size))
}

// isZboot recognizes the EFI zboot header: drivers/firmware/efi/libstub/zboot-header.S.
func isZboot(data []byte) bool {
	return len(data) >= 64 && string(data[:2]) == "MZ" && string(data[4:8]) == "zimg"
}

func peelZboot(data []byte) ([]byte, error) {
	start, length := uint64(le.Uint32(data[8:])), uint64(le.Uint32(data[12:]))
	if start+length > uint64(len(data)) || length < 16 {
		return nil, truncated("EFI zboot", "by the header the kernel is at bytes %d to %d, but the file has %d; fetch it again", start, start+length, len(data))
	}
	payload := data[start : start+length]
	return decompress("EFI zboot", payload, uint64(le.Uint32(payload[len(payload)-4:])))
}

// payloadFormat returns the name of a payload's compression, from its first bytes.
func payloadFormat(p []byte) string {
	for _, m := range [...]struct{ magic, name string }{
		{"\x1f\x8b", "gzip"},
		{"\x28\xb5\x2f\xfd", "zstd"},
		{"\x02\x21\x4c\x18", "lz4"},
		{"\xfd7zXZ\x00", "xz"},
		{"\x5d\x00\x00", "lzma"},
		{"BZh", "bzip2"},
		{"\x89LZO\x00", "lzo"},
	} {
		if bytes.HasPrefix(p, []byte(m.magic)) {
			return m.name
		}
	}
	return ""
}

// decompress unpacks p. size is the unpacked size by a header, 0 if unknown.
func decompress(layer string, p []byte, size uint64) ([]byte, error) {
	if size > maxImage {
		return nil, notKernel(layer, "by its header it unpacks to %d bytes, which is more than %d", size, maxImage)
	}
	format := payloadFormat(p)
	var r io.Reader
	var filtered bool
	var err error
	switch format {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(p))
		if err == nil {
			r.(*gzip.Reader).Multistream(false)
		}
	case "zstd":
		var z *zstd.Decoder
		z, err = zstd.NewReader(bytes.NewReader(p), zstd.WithDecoderMaxMemory(maxImage), zstd.WithDecoderMaxWindow(256<<20))
		if err == nil {
			defer z.Close()
			r = z
		}
	case "lz4":
		r = lz4.NewReader(bytes.NewReader(p))
	case "xz":
		r, filtered, err = newXZReader(p)
	case "lzma":
		r, err = lzma.NewReader(bytes.NewReader(p))
	case "bzip2":
		r = bzip2.NewReader(bytes.NewReader(p))
	case "lzo":
		return nil, notKernel(layer, "its kernel is compressed with LZO, which is not supported; unpack it with the kernel's scripts/extract-vmlinux and give the vmlinux")
	default:
		return nil, notKernel(layer, "its kernel starts with % x, which is not a known compression", p[:min(6, len(p))])
	}
	if err != nil {
		return nil, &FormatError{Layer: layer, Reason: "unpack its " + format + " payload", Err: err}
	}
	out, err := readBounded(layer, format, r, len(p), size)
	if err == nil && filtered {
		unfilterX86(out)
	}
	return out, err
}

func readBounded(layer, format string, r io.Reader, packed int, size uint64) ([]byte, error) {
	// No image has a higher ratio than 32.
	hint := min(size, uint64(packed)*32)
	if hint == 0 {
		hint = min(uint64(packed)*4, maxImage)
	}
	out := make([]byte, 0, hint+1)
	limit := uint64(maxImage)
	if size > 0 {
		limit = size
	}
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if size > 0 && uint64(len(out)) >= limit {
			// The bytes after the payload are its size.
			return out[:size], nil
		}
		if uint64(len(out)) > limit {
			return nil, notKernel(layer, "it unpacks to more than %d bytes", limit)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && size == 0:
			return out, nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, &FormatError{Layer: layer, Reason: fmt.Sprintf("its %s payload ends after %d unpacked bytes; fetch it again", format, len(out)), Err: ErrTruncated}
		default:
			return nil, &FormatError{Layer: layer, Reason: "unpack its " + format + " payload", Err: err}
		}
	}
}
