package compile

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"kernellab/images"
	"kernellab/images/imagestest"
	"kernellab/images/sandbox"
	"kernellab/internal/labtest"
)

// compiler returns a compiler for submissions, with a cache of the test's own.
func compiler(t *testing.T) *Compiler {
	t.Helper()
	imagestest.Builds(t)
	c, err := New(t.Context(), &images.Cache{Dir: t.TempDir()})
	var none *sandbox.UnavailableError
	if errors.As(err, &none) {
		labtest.Lacking(t, "x86_64", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func needC(t *testing.T, goarch string) {
	t.Helper()
	if path, packages := CCompiler(goarch); path == "" {
		arch := map[string]string{"amd64": "x86_64", "riscv64": "riscv64"}[goarch]
		labtest.Lacking(t, arch, "no C compiler for it: install "+packages)
	}
}

func one(name, text string) fs.FS { return fstest.MapFS{name: {Data: []byte(text)}} }

const (
	honestGo = `package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() { fmt.Fprintln(os.Stdout, "honest", syscall.Getpid() > 0) }
`
	honestC = `#include <stdio.h>
#include <unistd.h>
int main(void) { printf("honest %d\n", getpid() > 0); return 0; }
`
)

// What is honest compiles for every guest, static, and runs.
func TestCompiler(t *testing.T) {
	c := compiler(t)
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "riscv64": elf.EM_RISCV}
	for goarch, machine := range machines {
		for name, text := range map[string]string{"prog.go": honestGo, "prog.c": honestC} {
			if name == "prog.c" {
				needC(t, goarch)
			}
			began := time.Now()
			path, err := c.Build(t.Context(), goarch, "fork-new", one(name, text), nil)
			if err != nil {
				t.Errorf("%s for %s: %v", name, goarch, err)
				continue
			}
			first := time.Since(began)
			began = time.Now()
			// The same program under another source, so that it is compiled.
			if _, err := c.Build(t.Context(), goarch, "fork-new", one(name, text+"\n"), nil); err != nil {
				t.Error(err)
			}
			t.Logf("%s for %s: the first %v, another %v", name, goarch, first.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
			f, err := elf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if f.Machine != machine || dynamic(path) {
				t.Errorf("%s for %s: %v, dynamic %t", name, goarch, f.Machine, dynamic(path))
			}
			f.Close()
			if out, err := exec.Command(path).Output(); goarch == "amd64" && !strings.HasPrefix(string(out), "honest") {
				t.Errorf("%s: %q, %v", name, out, err)
			}
		}
	}
}

// Sources that were written to harm are refused in the student's own terms, and
// learn nothing of the host.
func TestHostileSources(t *testing.T) {
	for _, kind := range []sandbox.Kind{sandbox.Bubblewrap, sandbox.Landlock} {
		t.Run(string(kind), func(t *testing.T) {
			var none *sandbox.UnavailableError
			if _, err := sandbox.Find(t.Context(), kind); errors.As(err, &none) {
				if kind == sandbox.Bubblewrap { // the other needs a kernel that has it
					labtest.Programs(t, "x86_64", "bwrap")
				}
				t.Skip(err)
			}
			t.Setenv(sandbox.Env, string(kind))
			hostileSources(t, compiler(t))
		})
	}
}

func hostileSources(t *testing.T, c *Compiler) {
	secret := filepath.Join(t.TempDir(), "answers")
	if err := os.WriteFile(secret, []byte(`"the answer is 42"`), 0o644); err != nil {
		t.Fatal(err)
	}
	// Landlock does not hide that a file is there.
	isThere := ""
	if c.Kind() == sandbox.Landlock {
		isThere = "Permission denied"
	}
	goMain := func(head, rest string) string {
		return "package main\n\n" + head + "\n\nfunc main() {}\n\n" + rest
	}
	for _, tt := range []struct {
		name, file, text string
		want             string // in the error; "" for a program that is made
	}{
		{"embeds a file of the host", "prog.go", goMain("import _ \"embed\"", "//go:embed answers\nvar a string\n"), "go:embed"},
		{"embeds by a path", "prog.go", goMain("import _ \"embed\"", "//go:embed "+secret+"\nvar a string\n"), "go:embed"},
		{"uses cgo", "prog.go", goMain("// #include \""+secret+"\"\nimport \"C\"", ""), "can not use cgo"},
		{"gives cgo flags", "prog.go", goMain("// #cgo LDFLAGS: -Wl,-T,"+secret+"\nimport \"C\"", ""), "can not use cgo"},
		{"gives the linker a library", "prog.go", goMain("import _ \"unsafe\"", "//go:cgo_import_dynamic x x \""+secret+"\"\n"), ""},
		{"gives the linker flags", "prog.go", goMain("import _ \"unsafe\"", "//go:cgo_ldflag \"-T"+secret+"\"\n"), "only allowed in cgo-generated code"},
		{"imports a stranger's module", "prog.go", goMain(`import _ "github.com/evil/evil"`, ""), "standard library only"},
		{"imports a folder", "prog.go", goMain(`import _ "../../root"`, ""), "standard library only"},
		{"imports an absolute path", "prog.go", goMain(`import _ "/root"`, ""), "standard library only"},
		{"imports what is internal", "prog.go", goMain(`import _ "internal/abi"`, ""), "standard library only"},
		{"imports the go command", "prog.go", goMain(`import _ "cmd/go"`, ""), "standard library only"},
		{"imports a word of the go command's", "prog.go", goMain(`import _ "std"`, ""), "standard library only"},
		{"imports what there is not", "prog.go", goMain(`import _ "fnt"`, ""), "fnt: not in the standard library"},
		{"runs a generator", "prog.go", goMain("//go:generate touch "+secret+".ran", ""), ""},
		{"confuses names", "prog.go", "package main\n\nfunc main() {\n//line " + secret + ":1\n\tx\n}\n", "undefined: x"},
		{"pushes into the runtime", "prog.go", goMain("import _ \"unsafe\"", "//go:linkname evil runtime.main\nfunc evil() {}\n"), "runtime.main"},
		{"has no body", "prog.go", goMain("", "func evil()\n"), "missing function body"},
		{"is for another machine", "prog.go", "//go:build windows\n\n" + goMain("", ""), "build constraints"},
		{"is a library", "prog.go", "package evil\n", "want package main"},
		{"is of the compiler's package", "prog.go", "package main\n\nfunc Main() {}\n", "main is undeclared"},
		{"is not Go", "prog.go", "\x00\xff\xfe", "prog.go:1"},
		{"is empty", "prog.go", "", "expected 'package'"},
		{"fills a disk in Go", "prog.go", goMain("", "var x = [1 << 30]byte{1 << 29: 1, 5: 2}\n\nfunc init() { println(&x) }\n"), "does not compile"},

		{"includes a file of the host", "prog.c", "char s[] =\n#include \"" + secret + "\"\n;\nint main(void){return 0;}\n", "fatal error: " + secret},
		{"includes passwd", "prog.c", "#include \"/etc/passwd\"\nint main(void){return 0;}\n", "fatal error: /etc/passwd"},
		{"assembles a file of the host", "prog.c", "__asm__(\".incbin \\\"" + secret + "\\\"\");\nint main(void){return 0;}\n", "file not found"},
		{"assembles a listing of a file", "prog.c", "__asm__(\".include \\\"/etc/passwd\\\"\");\nint main(void){return 0;}\n", "can't open"},
		{"asks whether a file is there", "prog.c", "#if __has_include(\"" + secret + "\")\n#error there\n#endif\nint main(void){return 0;}\n", isThere},
		{"has a line of a file shown", "prog.c", "#line 1 \"" + secret + "\"\nint main(void){return x;}\n", "undeclared"},
		{"includes a device", "prog.c", "#include \"/dev/zero\"\nint main(void){return 0;}\n", "fatal error: /dev/zero"},
		{"includes what the compiler prints", "prog.c", "#include \"/proc/self/fd/2\"\n#include \"/proc/self/fd/1\"\nint main(void){return x;}\n", "prog.c:"},
		{"assembles what the assembler prints", "prog.c", "__asm__(\".incbin \\\"/proc/self/fd/2\\\"\\n.incbin \\\"/proc/self/fd/1\\\"\\n.incbin \\\"/proc/self/fd/0\\\"\");\nint main(void){return x;}\n", "prog.c:"},
		{"includes its environment", "prog.c", "#include \"/proc/self/environ\"\nint main(void){return 0;}\n", "fatal error: /proc/self/environ"},
		{"loads a plugin", "prog.c", "#pragma GCC plugin \"" + secret + "\"\n#pragma comment(linker, \"-T" + secret + "\")\nint main(void){return 0;}\n", ""},
		{"includes itself for ever", "prog.c", "#include __FILE__\n#include __FILE__\nint main(void){return 0;}\n", "nested depth"},
		{"expands for ever", "prog.c", bomb(), "the compiler was stopped"},
		{"fills a disk", "prog.c", "int main[-1u]={1};\n", "the compiler was stopped"},
		{"prints without end", "prog.c", strings.Repeat("#warning x\n", 20000) + strings.Repeat("int f(void){return x;}\n", 20000), "error: 'x' undeclared"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if filepath.Ext(tt.file) == ".c" {
				needC(t, "amd64")
			}
			c.Limits = sandbox.Limits{CPU: 4 * time.Second, Memory: 256 << 20}
			began := time.Now()
			path, err := c.Build(t.Context(), "amd64", "fork-new", one(tt.file, tt.text), nil)
			var ce *Error
			if err != nil && !errors.As(err, &ce) {
				t.Fatalf("%v, want a compile error", err)
			}
			t.Logf("%v: %.200v", time.Since(began).Round(time.Millisecond), err)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("error %v, want a program", err)
			case tt.want == "":
				if b, _ := os.ReadFile(path); strings.Contains(string(b), "the answer is") {
					t.Error("the executable has a file of the host in it")
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
			if err != nil && (strings.Contains(err.Error(), "the answer") || len(err.Error()) > 100_000) {
				t.Errorf("the error tells of the host, or too much: %d bytes: %.300s", len(err.Error()), err)
			}
			if images.Exists(secret + ".ran") {
				t.Error("a command was run")
			}
		})
	}
}

// A compiler's crash is told in a line.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		code         int
		output, want string // want is "" for no crash
	}{
		{2, "SIGSEGV: segmentation violation\nPC=0x43cefd m=3 sigcode=1 addr=0x0\n\ngoroutine 0 gp=0x2ac5f72cd2c0 m=3 [idle]:\nruntime.(*spanQueue).tryDrain(0x400?)\n", "SIGSEGV: segmentation violation"},
		{2, "runtime: goroutine stack exceeds 1000000000-byte limit\nfatal error: stack overflow\n\ngoroutine 1 [running]:\n", "runtime: goroutine stack exceeds 1000000000-byte limit"},
		{2, "prog.go:3:1: internal compiler error: 'main': panic during lower\n\ngoroutine 8 [running]:\n", "internal compiler error: 'main': panic during lower"},
		{4, "x86_64-linux-gnu-gcc: internal compiler error: Segmentation fault signal terminated program cc1\nPlease submit a full bug report\n", "internal compiler error: Segmentation fault signal terminated program cc1"},
		{139, "", "exit status 139"},
		{1, "prog.c:1:10: fatal error: /etc/passwd: No such file or directory\n", ""},
		{1, "prog.go:3:2: undefined: panic: x\n", ""},
		{1, "", ""},
	} {
		said, ok := crashed(sandbox.Result{Code: c.code, Output: c.output})
		if ok != (c.want != "") || ok && said != c.want {
			t.Errorf("%q: %q, %t, want %q", c.output, said, ok, c.want)
		}
	}
}

// A type of very deep nesting crashes Go's compiler, or takes its memory.
func TestCompilerCrashes(t *testing.T) {
	c := compiler(t)
	for name, text := range map[string]string{
		"prog.go": "package main\n\ntype t " + strings.Repeat("[]", 400_000) + "int\n\nfunc main() { var x t; println(x) }\n",
		"prog.c":  "int main(void) { return " + strings.Repeat("!", 900_000) + "1; }\n",
	} {
		if name == "prog.c" {
			needC(t, "amd64")
		}
		_, err := c.Build(t.Context(), "amd64", "fork-new", one(name, text), nil)
		var ce *Error
		if !errors.As(err, &ce) || !strings.HasPrefix(ce.Text, "the compiler ") || strings.Contains(ce.Text, "\n") {
			t.Errorf("%s: error %.300v, want a line about the compiler", name, err)
		}
	}
}

// bomb is a macro that grows ninefold twelve times.
func bomb() string {
	var b strings.Builder
	b.WriteString("#define a0 1+\n")
	for i := range 12 {
		fmt.Fprintf(&b, "#define a%d %s\n", i+1, strings.Repeat(fmt.Sprintf("a%d ", i), 9))
	}
	b.WriteString("int main(void){return a12 0;}\n")
	return b.String()
}

// Functions of very many branches cost Go's compiler more than it may take: half a
// minute of processor time, of which it gets a second.
func TestLongCompile(t *testing.T) {
	c := compiler(t)
	if _, err := c.Build(t.Context(), "amd64", "fork-new", one("prog.go", honestGo), nil); err != nil {
		t.Fatal(err)
	}
	sources := fstest.MapFS{"prog.go": {Data: []byte("package main\n\nfunc main() {}\n")}}
	for n := range 4 {
		var b strings.Builder
		fmt.Fprintf(&b, "package main\n\nfunc init() {\n\tv := len([]string{})\n")
		for i := range 15000 {
			fmt.Fprintf(&b, "\tif v%%%d == 1 { v += %d; println(v) }\n", i+2, i)
		}
		b.WriteString("}\n")
		sources[fmt.Sprintf("more%d.go", n)] = &fstest.MapFile{Data: []byte(b.String())}
	}
	c.Limits = sandbox.Limits{CPU: time.Second}
	_, err := c.Build(t.Context(), "amd64", "fork-new", sources, nil)
	var ce *Error
	if !errors.As(err, &ce) || !strings.Contains(err.Error(), "the compiler was stopped: it took more than ") {
		t.Errorf("error %.300v, want it to say that the compile took too much", err)
	}
}

// Names of files are not options of the compiler's.
func TestSourceNames(t *testing.T) {
	c := compiler(t)
	for name, want := range map[string]string{
		"-importcfg.go": "letters, digits", "a b.go": "letters, digits", "prog.go\nx.go": "letters, digits", "@opts.c": "letters, digits",
		"prog.s": "no source files",
	} {
		_, err := c.Build(t.Context(), "amd64", "x", one(name, honestGo), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	_, err := c.Build(t.Context(), "amd64", "x", fstest.MapFS{"prog.go": {Data: []byte(honestGo)}, "prog.c": {Data: []byte(honestC)}}, nil)
	if err == nil || !strings.Contains(err.Error(), "one or the other") {
		t.Errorf("both languages: %v", err)
	}
}

// A host without a sandbox refuses, and says what to do.
func TestNoSandbox(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := New(t.Context(), &images.Cache{Dir: t.TempDir()})
	var none *sandbox.UnavailableError
	if !errors.As(err, &none) {
		t.Errorf("error %v, want an UnavailableError", err)
	}
}
