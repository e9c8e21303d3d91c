package submission_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/submission"
)

const program = "package main\n\nfunc main() {}\n"

func both() submission.Options {
	o := asked()
	o.Program = submission.Required
	return o
}

// entry is a file of an archive that a test makes.
type entry struct {
	name, text string
	mode       fs.FileMode
}

func zipOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode | 0o644)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.text)), Typeflag: tar.TypeReg}
		switch {
		case e.mode&fs.ModeSymlink != 0:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.text, 0
		case e.mode&fs.ModeDevice != 0:
			h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, 1, 5
		case e.mode&fs.ModeIrregular != 0:
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, e.text, 0
		case e.mode&fs.ModeDir != 0:
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(e.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReadAlike checks that the same files are the same submission however they
// come.
func TestReadAlike(t *testing.T) {
	files := []entry{{name: "prog.go", text: program}, {name: "answers.yaml", text: "count: 1\n"}}
	in := func(dir string) []entry {
		out := []entry{{name: "__MACOSX/._prog.go", text: "x"}}
		for _, f := range files {
			out = append(out, entry{name: dir + f.name, text: f.text})
		}
		return out
	}
	flat := folder(t, map[string]string{"prog.go": program, "answers.yaml": "count: 1\n"})
	want := read(t, flat, both())
	if len(want.Problems) > 0 || want.Program == nil || want.Answers == nil {
		t.Fatalf("%+v", want)
	}
	paths := map[string]string{
		"folder in a folder": folder(t, map[string]string{"hw1/prog.go": program, "hw1/answers.yaml": "count: 1\n", ".DS_Store": ""}),
		"zip":                write(t, "alice.zip", zipOf(t, files...)),
		"zip of a folder":    write(t, "alice.zip", zipOf(t, in("hw 1/")...)),
		"zip from Windows":   write(t, "alice.ZIP", zipOf(t, in(`hw1\`)...)),
		"zip of ./":          write(t, "alice.zip", zipOf(t, in("./")...)),
		"tar":                write(t, "alice.tar", tarOf(t, files...)),
		"tar.gz":             write(t, "alice.tar.gz", gz(t, tarOf(t, in("./hw1/")...))),
		"tgz":                write(t, "alice.tgz", gz(t, tarOf(t, append([]entry{{name: "hw1/", mode: fs.ModeDir}}, in("hw1/")...)...))),
	}
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, read(t, path, both())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if s := read(t, filepath.Join(flat, "prog.go"), submission.Options{Program: submission.Required}); s.Name != "prog" || s.Program == nil {
		t.Errorf("the file alone: %+v", s)
	}
	changed := read(t, folder(t, map[string]string{"prog.go": program + "\n", "answers.yaml": "count: 1\n"}), both())
	if changed.Hash == want.Hash {
		t.Error("another program has the same hash")
	}
}

// TestHostile checks what is made of files that are no honest student's. The
// part that is well stays well.
func TestHostile(t *testing.T) {
	secret := write(t, "secret", []byte(program))
	dir := func(make func(dir string) error) func(t *testing.T) string {
		return func(t *testing.T) string {
			d := folder(t, map[string]string{"answers.yaml": "count: 1\n"})
			if err := make(d); err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	archive := func(name string, data []byte) func(t *testing.T) string {
		return func(t *testing.T) string { return write(t, name, data) }
	}
	answers := entry{name: "answers.yaml", text: "count: 1\n"}
	prog := func(text string, mode fs.FileMode) entry { return entry{"prog.go", text, mode} }
	tests := map[string]struct {
		make func(t *testing.T) string
		want string // the first problem
		all  bool   // it costs everything
	}{
		"link to a file":  {dir(func(d string) error { return os.Symlink(secret, d+"/prog.go") }), "prog.go: a symbolic link, not a regular file", false},
		"link to nowhere": {dir(func(d string) error { return os.Symlink("prog.go", d+"/prog.go") }), "prog.go: a symbolic link", false},
		"pipe":            {dir(func(d string) error { return syscall.Mkfifo(d+"/prog.go", 0o644) }), "prog.go: a pipe", false},
		"folder":          {dir(func(d string) error { return os.Mkdir(d+"/prog.c", 0o755) }), "prog.c: a folder", false},
		"huge":            {dir(func(d string) error { return sparse(d+"/prog.go", 1<<40) }), "prog.go: larger than 1024 KiB", false},
		"empty":           {dir(func(d string) error { return os.WriteFile(d+"/prog.go", []byte("\n \n"), 0o644) }), "prog.go: the file is empty", false},
		"binary":          {dir(func(d string) error { return os.WriteFile(d+"/prog.go", []byte("\x7fELF\x00"), 0o644) }), "prog.go: not a text file", false},
		"none":            {dir(func(d string) error { return nil }), "no program: this lab requires prog.go or prog.c", false},
		"misnamed":        {dir(func(d string) error { return os.WriteFile(d+"/main.go", []byte(program), 0o644) }), "rename main.go to prog.go", false},
		"two": {dir(func(d string) error {
			return errors.Join(os.WriteFile(d+"/prog.go", []byte("x"), 0o644), os.WriteFile(d+"/prog.c", []byte("x"), 0o644))
		}), "both prog.go and prog.c", false},
		"many names":        {dir(manyNames), "no program", false},
		"zip: link":         {archive("a.zip", zipOf(t, answers, prog("/etc/passwd", fs.ModeSymlink))), "prog.go: a symbolic link", false},
		"zip: outside":      {archive("a.zip", zipOf(t, answers, entry{name: "../prog.go", text: program}, entry{name: "/prog.go", text: program})), "no program", false},
		"zip: twice":        {archive("a.zip", zipOf(t, answers, prog(program, 0), prog("package other", 0))), "prog.go: it is in the archive twice", false},
		"zip: bomb":         {archive("a.zip", zipOf(t, answers, prog(strings.Repeat("a", 4<<20), 0))), "prog.go: larger than 1024 KiB", false},
		"zip: bomb beside":  {archive("a.zip", zipOf(t, answers, entry{name: "x", text: strings.Repeat("a", 4<<20)})), "no program", false},
		"zip: many":         {archive("a.zip", zipOf(t, many(3000)...)), "more than 2000 files", true},
		"zip: broken":       {archive("a.zip", []byte("PK\x03\x04 or not")), "the archive is broken", true},
		"zip: cut":          {archive("a.zip", zipOf(t, prog(program, 0))[:60]), "the archive is broken", true},
		"zip: damaged":      {archive("a.zip", damaged(zipOf(t, answers, prog(program, 0)))), "it cannot be unpacked", false},
		"zip: large":        {archive("a.zip", make([]byte, 8<<20+1)), "larger than 8 MiB", true},
		"tar: link":         {archive("a.tar", tarOf(t, answers, prog("/etc/passwd", fs.ModeSymlink))), "prog.go: a symbolic link", false},
		"tar: hard link":    {archive("a.tar", tarOf(t, answers, prog("/etc/passwd", fs.ModeIrregular))), "prog.go: a symbolic link", false},
		"tar: device":       {archive("a.tar", tarOf(t, answers, prog("", fs.ModeDevice))), "prog.go: a device", false},
		"tar: outside":      {archive("a.tar", tarOf(t, answers, entry{name: "../../prog.go", text: program})), "no program", false},
		"tar: folder twice": {archive("a.tar", tarOf(t, answers, prog("", fs.ModeDir))), "prog.go: a folder", false},
		"tar.gz: bomb":      {archive("a.tar.gz", gz(t, tarOf(t, entry{name: "x", text: strings.Repeat("a", 33<<20)}, answers, prog(program, 0)))), "too much in the archive", true},
		"tar.gz: many":      {archive("a.tar.gz", gz(t, tarOf(t, many(3000)...))), "too much in the archive", true},
		"tar.gz: not one":   {archive("a.tar.gz", []byte("hello")), "the archive is broken", true},
		"tar: broken":       {archive("a.tar", bytes.Repeat([]byte("x"), 2000)), "the archive is broken", true},
		"another kind":      {archive("a.rar", []byte("Rar!")), "a.rar is not a supported kind of archive", true},
		"no kind, odd name": {archive("a\x1b[31m\n.exe", []byte("MZ")), "is not a supported kind of archive", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := read(t, tt.make(t), both())
			if len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Error(), tt.want) {
				t.Fatalf("problems %v, want one with %q", s.Problems, tt.want)
			}
			if s.Program != nil {
				t.Errorf("there is a program: %q", s.Program.Source)
			}
			if all := s.Problems[0].Part == submission.PartAll; all != tt.all {
				t.Errorf("it costs %s", s.Problems[0].Part)
			}
			_, answered := s.Answers["count"][""].(int)
			if answered == tt.all {
				t.Errorf("answers %v", s.Answers)
			}
			if s.Hash == "" || s.Name == "" {
				t.Errorf("hash %q, name %q", s.Hash, s.Name)
			}
			t.Log(s.Problems[0], s.Ignored)
		})
	}
}

func sparse(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

func manyNames(dir string) error {
	for i := range 1000 {
		if err := os.WriteFile(fmt.Sprintf("%s/%03d%s", dir, i, strings.Repeat("\n", 200)), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func many(n int) (out []entry) {
	for i := range n {
		out = append(out, entry{name: fmt.Sprintf("f%d", i)})
	}
	return out
}

// damaged is an archive whose last file was changed.
func damaged(data []byte) []byte {
	i := bytes.Index(data, []byte("prog.go"))
	data = bytes.Clone(data)
	data[i+len("prog.go")+3] ^= 0x55
	return data
}

// TestReadErrors are those of whoever grades.
func TestReadErrors(t *testing.T) {
	if _, err := submission.Read(context.Background(), filepath.Join(t.TempDir(), "none"), both()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one that there is none", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, path := range []string{folder(t, map[string]string{"prog.go": program}), write(t, "a.tar", tarOf(t, entry{name: "prog.go", text: program}))} {
		if _, err := submission.Read(ctx, path, both()); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want cancelled", err)
		}
	}
}

func TestLanguages(t *testing.T) {
	o := submission.Options{Program: submission.Required, Languages: []string{submission.C}}
	s := read(t, folder(t, map[string]string{"prog.go": program}), o)
	if p := s.Problem(submission.PartProgram); p == nil || p.Error() != "prog.go: this lab accepts prog.c" {
		t.Errorf("problems: %v", s.Problems)
	}
	s = read(t, folder(t, map[string]string{"prog.c": "\ufeffint main(void) { return 0; }\n"}), o)
	if s.Program == nil || s.Program.Language != submission.C || s.Program.Source[0] != 'i' {
		t.Errorf("%+v", s.Program)
	}
}

// FuzzArchive: whatever an archive holds, reading it gives a submission, of which a file
// is within its limit, and no error: what is wrong with it is the student's.
func FuzzArchive(f *testing.F) {
	entries := []entry{{name: "work/prog.go", text: program}, {name: "work/answers.yaml", text: "distance: 168\n"}, {name: "../x", text: "x"}, {name: "work/prog.c", mode: fs.ModeSymlink, text: "/etc/passwd"}}
	stream := tarOf(f, entries...)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(stream)
	z.Close()
	f.Add(zipOf(f, entries...), byte(0))
	f.Add(stream, byte(1))
	f.Add(packed.Bytes(), byte(2))
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		path := filepath.Join(t.TempDir(), "alice"+[]string{".zip", ".tar", ".tar.gz"}[int(kind)%3])
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := submission.Read(t.Context(), path, both())
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != "alice" || s.Hash == "" || s.Program == nil && len(s.Problems) == 0 {
			t.Errorf("%+v", s)
		}
		if s.Program != nil && len(s.Program.Source) > 1<<20 {
			t.Errorf("%d bytes of source", len(s.Program.Source))
		}
	})
}
