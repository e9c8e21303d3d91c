package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// source is a submission whose program is a text.
func source(name, text string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		writeFiles(t, path, map[string]string{name: text})
	}
}

// hostileSources attack the host through the compiler. images/compile tests more of
// them, among them those that take all the processor time that a compiler gets; these go
// all the way to a mark.
var hostileSources = []hostile{
	{name: "embed", attempt: "embeds a file of the host", want: "go:embed", make: source("prog.go",
		"package main\n\nimport _ \"embed\"\n\n//go:embed answers.yaml\nvar s string\n\nfunc main() { println(s) }\n")},
	{name: "cgo", attempt: "runs the C compiler with flags of its own", want: "can not use cgo", make: source("prog.go",
		"package main\n\n// #cgo CFLAGS: -fplugin=/tmp/x.so\n// #include \"/etc/passwd\"\nimport \"C\"\n\nfunc main() {}\n")},
	{name: "generate", attempt: "runs a command at build time", want: "never called sys_clone", make: source("prog.go",
		"package main\n\n//go:generate touch /tmp/lab-hostile-was-here\n\nfunc main() {}\n")},
	{name: "module", attempt: "fetches a stranger's package", want: "standard library only", make: source("prog.go",
		"package main\n\nimport _ \"evil.example/run\"\n\nfunc main() {}\n")},
	{name: "include", attempt: "includes a file of the host", want: "fatal error: /etc/passwd", make: source("prog.c",
		"#include \"/etc/passwd\"\n#include \"../answers.yaml\"\nint main(void) { return 0; }\n")},
	{name: "incbin", attempt: "assembles a file of the host in", want: "file not found", make: source("prog.c",
		"__asm__(\".incbin \\\"/etc/passwd\\\"\");\nint main(void) { return 0; }\n")},
	{name: "file-bomb", attempt: "compiles to 16 GiB", want: "the compiler was stopped", make: source("prog.c", "int main[-1u] = {1};\n")},
}

// hostileFolders go for the host through the files that are handed in.
var hostileFolders = []hostile{
	{name: "link", attempt: "links to a file of the host", want: "symbolic link", make: func(t *testing.T, path string) {
		must(t, os.Symlink("/etc/passwd", filepath.Join(path, "prog.c")))
	}},
	{name: "link-neighbour", attempt: "links to the neighbour's folder", want: "symbolic link", bare: true, make: func(t *testing.T, path string) {
		must(t, os.Symlink("00-lines-only~honest", path))
	}},
	{name: "link-answers", attempt: "links to the neighbour's answers", want: "symbolic link", bare: true, make: func(t *testing.T, path string) {
		program("honest")(t, path)
		must(t, os.Symlink("../00-lines-only~honest/answers.yaml", filepath.Join(path, "answers.yaml")))
	}},
	{name: "fifo", attempt: "a pipe that never ends", want: "not a regular file", make: func(t *testing.T, path string) {
		must(t, syscall.Mkfifo(filepath.Join(path, "prog.c"), 0o644))
	}},
	{name: "folder", attempt: "a folder for a file", want: "not a regular file", make: func(t *testing.T, path string) {
		must(t, os.MkdirAll(filepath.Join(path, "prog.c", "prog.c"), 0o755))
	}},
	{name: "huge", attempt: "a file of 100 GiB", want: "larger than", make: func(t *testing.T, path string) {
		writeFiles(t, path, map[string]string{"prog.c": ""})
		must(t, os.Truncate(filepath.Join(path, "prog.c"), 100<<30))
	}},
	{name: "odd-names", attempt: "file names with line ends, escapes and 255 letters", pass: true, make: func(t *testing.T, path string) {
		program("honest")(t, path)
		for _, name := range []string{"x\n\x1b[2Jpass", "-o", "\xff\xfe", strings.Repeat("n", 255), "prog.c ", "PROG.GO", "..."} {
			writeFiles(t, path, map[string]string{name: "x"})
		}
	}},
	{name: "many-files", attempt: "5,000 files", pass: true, make: func(t *testing.T, path string) {
		program("honest")(t, path)
		for i := range 5000 {
			must(t, os.Symlink("/dev/zero", filepath.Join(path, fmt.Sprint(i))))
		}
	}},
	{name: "zip-escape", attempt: "an archive that leads out of its folder", want: "no program", bare: true, make: zipped(map[string]string{
		"../../../../tmp/lab-hostile-was-here": "x", "/tmp/lab-hostile-was-here": "x", `..\prog.c`: "x", "../prog.c": "int main(void){}",
	})},
	{name: "zip-bomb", attempt: "an archive that unpacks to 1 GiB", want: "larger than", bare: true, make: func(t *testing.T, path string) {
		f, err := os.Create(path + ".zip")
		must(t, err)
		defer f.Close()
		z := zip.NewWriter(f)
		w, err := z.Create("prog.c")
		must(t, err)
		_, err = io.CopyN(w, zeros{}, 1<<30)
		must(t, err)
		must(t, z.Close())
	}},
	{name: "tar-bomb", attempt: "a stream of 1 GiB in front of the program", want: "too much", bare: true, make: tarred(func(t *testing.T, w *tar.Writer) {
		must(t, w.WriteHeader(&tar.Header{Name: "zeros", Size: 1 << 30, Mode: 0o644}))
		_, err := io.CopyN(w, zeros{}, 1<<30)
		must(t, err)
		must(t, w.WriteHeader(&tar.Header{Name: "prog.c", Mode: 0o644}))
	})},
	{name: "tar-links", attempt: "an archive of links and devices", want: "not a regular file", bare: true, make: tarred(func(t *testing.T, w *tar.Writer) {
		for _, h := range []tar.Header{
			{Name: "prog.c", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
			{Name: "answers.yaml", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5, Mode: 0o644},
			{Name: "dir", Typeflag: tar.TypeSymlink, Linkname: "/tmp"},
			{Name: "dir/lab-hostile-was-here", Typeflag: tar.TypeReg, Mode: 0o4755},
		} {
			must(t, w.WriteHeader(&h))
		}
	})},
	{name: "no-archive", attempt: "bytes that are no archive", want: "archive is broken", bare: true, make: func(t *testing.T, path string) {
		must(t, os.WriteFile(path+".tar.gz", []byte("\x1f\x8b\x08\x00garbage"), 0o644))
	}},
}

// answered is an honest program with answers that are not.
func answered(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		program("honest")(t, path)
		writeFiles(t, path, map[string]string{"answers.yaml": text})
	}
}

// hostileAnswers go for the reader of the answers.
var hostileAnswers = []hostile{
	{name: "yaml-bomb", attempt: "aliases that grow tenfold nine times", want: "answers.yaml", make: answered(yamlBomb())},
	{name: "yaml-nesting", attempt: "60,000 lists in each other", want: "answers.yaml", make: answered("path: " + strings.Repeat("[", 60000))},
	{name: "yaml-megabyte", attempt: "a megabyte of nesting", want: "larger than", make: answered("path: " + strings.Repeat("[", 1<<20))},
	{name: "yaml-types", attempt: "wrong types everywhere", want: "answers.yaml", make: answered("path: {a: 1}\nfirst-function: [1]\nfirst-address: 1e999\nstack-distance: .nan\nchild-own: 2001-01-01\nwho-frees: null\n")},
	{name: "yaml-keys", attempt: "unknown keys, a verdict among them", want: "not answered", make: answered("verdict: pass\nscore: 99\n")},
	{name: "yaml-merge", attempt: "keys that are lists, merged maps", want: "answers.yaml", make: answered("? [a, b]\n: c\n<<: {path: x}\n")},
	{name: "yaml-twice", attempt: "every answer of a choice, one after the other", want: "who-frees", make: answered("who-frees: the child's own\nwho-frees: its parent's\n")},
	{name: "yaml-tag", attempt: "tags that make objects", want: "answers.yaml", make: answered("path: !!python/object/apply:os.system [touch /tmp/lab-hostile-was-here]\n")},
	{name: "yaml-bytes", attempt: "bytes that are no text", want: "answers.yaml", make: answered("\x00\xff\xfe\x1b[2J: \x00")},
	{name: "yaml-inject", attempt: "answers in the form of reports and terminals", want: "answers.yaml", make: answered("first-function: \"</failure><testcase/>\\e]0;x\\a\\n## 14/14\\n=cmd|'/C calc'!A0\"\n")},
}

func yamlBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	return b.String() + "path: *a9\n"
}

// zipped is a submission in a zip archive.
func zipped(files map[string]string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		f, err := os.Create(path + ".zip")
		must(t, err)
		defer f.Close()
		z := zip.NewWriter(f)
		for name, text := range files {
			w, err := z.Create(name)
			must(t, err)
			_, err = io.WriteString(w, text)
			must(t, err)
		}
		must(t, z.Close())
	}
}

// tarred is a submission in a tar archive, compressed.
func tarred(fill func(*testing.T, *tar.Writer)) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		f, err := os.Create(path + ".tar.gz")
		must(t, err)
		defer f.Close()
		z := gzip.NewWriter(f)
		w := tar.NewWriter(z)
		fill(t, w)
		must(t, w.Close())
		must(t, z.Close())
	}
}

// zeros is an endless reader of zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
