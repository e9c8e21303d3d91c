package kernel

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"kernellab/harness/kernel/kerneltest"
	"kernellab/internal/labtest"
)

// bzImage wraps a compressed payload the way the x86 build does.
func bzImage(payload []byte, size int) []byte {
	const setup = 2 // sectors after the first
	img := make([]byte, (setup+1)*512)
	img[bzSetupSects] = setup
	le.PutUint16(img[bzBootFlag:], 0xaa55)
	copy(img[bzMagic:], "HdrS")
	le.PutUint16(img[bzVersion:], 0x20f)
	payload = le.AppendUint32(bytes.Clone(payload), uint32(size))
	le.PutUint32(img[bzPayloadOffset:], 0x40)
	le.PutUint32(img[bzPayloadLength:], uint32(len(payload)))
	img = append(img, make([]byte, 0x40)...)
	return append(append(img, payload...), "the rest of the image"...)
}

func zboot(payload []byte, size int) []byte {
	img := make([]byte, 512)
	copy(img, "MZ\x00\x00zimg")
	payload = le.AppendUint32(bytes.Clone(payload), uint32(size))
	le.PutUint32(img[8:], uint32(len(img)))
	le.PutUint32(img[12:], uint32(len(payload)))
	return append(img, payload...)
}

// pack compresses with each format that a library can write.
func pack(t testing.TB, format string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	switch format {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	case "lz4":
		z := lz4.NewWriter(&out)
		err = z.Apply(lz4.LegacyOption(true))
		w = z
	case "xz":
		w, err = xz.NewWriter(&out)
	case "lzma":
		w, err = lzma.NewWriter(&out)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return out.Bytes()
}

func smallImage() []byte {
	s := synth{encoding: "place", tokensFirst: true, seqs: 3}
	return s.image(s.symbols(600))
}

func TestUnpack(t *testing.T) {
	raw := smallImage()
	cases := map[string][]byte{"as it is": raw, "Image.gz": pack(t, "gzip", raw), "zboot, gzip": zboot(pack(t, "gzip", raw), len(raw))}
	for _, format := range []string{"gzip", "zstd", "lz4", "xz", "lzma"} {
		cases["bzImage, "+format] = bzImage(pack(t, format, raw), len(raw))
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := unpack(data)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, raw) {
				t.Errorf("unpacked %d bytes that differ from the %d packed", len(got), len(raw))
			}
		})
	}
}

// Kernels for x86 are packed with xz's x86 filter, which only xz itself writes.
func TestUnpackXZFilter(t *testing.T) {
	tool, err := exec.LookPath("xz")
	if err != nil {
		labtest.Lacking(t, "x86_64", "xz is not installed: install the package xz-utils")
	}
	code := smallImage()
	if self, err := exec.LookPath("git"); err == nil {
		// Machine code with calls and jumps, at every alignment.
		if b := readSome(t, self, 1<<20); len(b) > 0 {
			code = append(code, b...)
		}
	}
	for _, args := range [][]string{{"--x86", "--lzma2=dict=1MiB"}, {"--x86", "--lzma2=preset=1"}} {
		cmd := exec.Command(tool, append([]string{"--check=crc32", "--stdout", "--format=xz"}, args...)...)
		cmd.Stdin = bytes.NewReader(code)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatalf("xz %q: %v", args, err)
		}
		got, err := unpack(bzImage(packed, len(code)))
		if err != nil {
			t.Fatalf("xz %q: %v", args, err)
		}
		if !bytes.Equal(got, code) {
			t.Errorf("xz %q: unpacked bytes differ", args)
		}
	}
	cmd := exec.Command(tool, "--stdout", "--format=xz", "--arm64", "--lzma2")
	cmd.Stdin = bytes.NewReader(code)
	if packed, err := cmd.Output(); err == nil {
		if _, err := unpack(bzImage(packed, len(code))); err == nil || !strings.Contains(err.Error(), "not supported") {
			t.Errorf("an arm64 filter: got %v, want that it is not supported", err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	raw := smallImage()
	packed := bzImage(pack(t, "zstd", raw), len(raw))
	legacy := bytes.Clone(packed)
	le.PutUint16(legacy[bzVersion:], 0x204)
	huge := bzImage(pack(t, "gzip", raw), 1<<31)
	elf := []byte("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 60))
	cases := []struct {
		name string
		data []byte
		is   error
		says string
	}{
		{"nothing", nil, ErrTruncated, "0 bytes"},
		{"text", []byte(strings.Repeat("hello ", 100)), ErrNotKernel, "68 65 6c"},
		{"half a bzImage", packed[:len(packed)/2], ErrTruncated, "fetch it again"},
		{"half a RISC-V Image", raw[:len(raw)/3], ErrTruncated, "RISC-V Image"},
		{"a third of a payload", bzImage(pack(t, "gzip", raw)[:2000], len(raw)), ErrTruncated, "gzip payload ends"},
		{"an old boot protocol", legacy, ErrNotKernel, "2.04"},
		{"an absurd size", huge, ErrNotKernel, "which is more than"},
		{"LZO", bzImage([]byte("\x89LZO\x00\r\n\x1a\n lots of it"), 1<<20), ErrNotKernel, "LZO"},
		{"a damaged ELF", elf, ErrTruncated, "ELF"},
		{"no banner", bytes.ReplaceAll(raw, []byte("Linux version"), []byte("Minix version")), ErrNotKernel, "banner"},
		{"no tables", raw[:0x4000], ErrNotKernel, "CONFIG_KALLSYMS"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "no tables" {
				c.data = bytes.Clone(c.data)
				le.PutUint64(c.data[riscvImageSize:], uint64(len(c.data)))
			}
			_, err := Parse(c.data)
			var format *FormatError
			if !errors.Is(err, c.is) || !errors.As(err, &format) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a FormatError of %v that says %q", err, c.is, c.says)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	s := synth{encoding: "percpu", seqs: 3, longNames: true}
	raw := s.image(s.symbols(100))
	f.Add(raw)
	for _, format := range []string{"gzip", "zstd", "lz4", "xz", "lzma"} {
		f.Add(bzImage(pack(f, format, raw), len(raw)))
	}
	f.Add(zboot(pack(f, "gzip", raw), len(raw)))
	f.Add([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		im, err := Parse(data)
		if err != nil {
			return
		}
		if im.Arch == "" || im.Release == "" || im.Symbols.Len() == 0 {
			t.Errorf("accepted with arch %q, release %q, %d symbols", im.Arch, im.Release, im.Symbols.Len())
		}
		im.Symbols.At(riscvLinkBase + 0x123)
		_, _ = im.Field("task_struct", "pid")
		_, _ = im.Resolve("kernel_clone")
	})
}

func BenchmarkOpen(b *testing.B) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		b.Run(arch, func(b *testing.B) {
			for _, path := range kerneltest.Images(b, arch) {
				im, err := Open(path)
				if err != nil {
					b.Fatal(err)
				}
				b.Run(im.Release, func(b *testing.B) {
					for b.Loop() {
						if _, err := Open(path); err != nil {
							b.Fatal(err)
						}
					}
				})
				b.Run(im.Release+"/unpacked", func(b *testing.B) {
					for b.Loop() {
						if _, err := parse(im.flat); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}
