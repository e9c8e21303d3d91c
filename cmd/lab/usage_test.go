package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/prepare"
)

// odd are command lines that are wrong, by what standard error says of them. The
// folder that they are given in has a file, an empty folder, a text, a document of
// another kind, and a class.
var odd = map[string][]string{
	// What is to be written is of the wrong kind.
	"--out file: file is a file: name a folder":                         {"run fork-new --out file", "matrix --out file", "grade fork-new --submissions class --out file", "grade merge class --out file"},
	"--out file/in: file is a file: name a folder":                      {"run fork-new --out file/in"},
	"--out empty: it is a folder: name a file, such as empty/NAME":      {"export gradescope fork-new --out empty"},
	"--out none/a.zip: there is no folder none: make it":                {"export gradescope fork-new --out none/a.zip"},
	"--out file/a.zip: there is no folder file: make it":                {"export gradescope fork-new --out file/a.zip"},
	"is in the folder of the submissions":                               {"grade fork-new --submissions class --out class", "grade fork-new --submissions class --out class/out", "grade fork-new --submissions class --out ./empty/../class/alice"},
	"--baseline empty: it is a folder: name a file":                     {"matrix --baseline empty", "matrix --baseline empty --update-baseline"},
	"--baseline none/b: there is no folder none":                        {"matrix --baseline none/b --update-baseline"},
	"other.json: read baseline: schema \"lab.other/1\"":                 {"matrix --baseline other.json", "matrix --baseline other.json --update-baseline"},
	"file: read baseline: line 1":                                       {"matrix --baseline file", "matrix --baseline file --update-baseline"},
	"no baseline at none: lab matrix --baseline none --update-baseline": {"matrix --baseline none"},
	"file/in/README.md: not a directory: give a folder":                 {"init fork-new file/in"},
	"no folder none to make x in":                                       {"new x none"},
	"empty exists: nothing was written; choose another name":            {"new empty"},
	// What is to be read does not exist, or is of the wrong kind.
	"--submissions file: it is a file: name a folder":    {"grade fork-new --submissions file --out new"},
	"--submissions none: there is no such folder":        {"grade fork-new --submissions none --out new"},
	"a submission is a folder, or a .zip":                {"grade fork-new --submissions empty --out new"},
	"text is no submission: name a folder, or a .tar.gz": {"run fork-new --submission text", "check file --submission text", "verify file --submission text"},
	"/dev/null": {"run fork-new --submission /dev/null"},
	"no submission at none: lab init LAB DIR begins one":           {"run fork-new --submission none", "check file --submission none", "verify file --submission none"},
	"--attach none: no guest's console is there: lab debug prints": {"shell --attach none"},
	"--attach file: no guest's console is there":                   {"shell --attach file"},
	"--attach empty: no guest's console is there":                  {"shell --attach empty"},
	"--image none: there is no such file":                          {"kernels add --image none"},
	"--image empty: it is a folder: name a file":                   {"kernels add --image empty"},
	"--vmlinux none: there is no such file":                        {"kernels add --image file --vmlinux none", "run fork-new --vmlinux none", "debug fork-new --vmlinux none", "ps --vmlinux none"},
	"kernels add needs --image FILE":                               {"kernels add"},
	"no kernel image at ./none":                                    {"run fork-new --kernel ./none", "matrix --kernel ./none", "grade fork-new --submissions class --out new --kernel ./none", "shell --kernel ./none", "ps --kernel ./none", "doctor --boots 1 --kernel ./none"},
	"--lab none: there is no such folder":                          {"check file --lab none", "verify file --lab none"},
	"no trace at none":                                             {"check none", "check file none"},
	"no trace at empty/trace.jsonl":                                {"check empty"},
	"stat none: no such file":                                      {"verify none", "verify file none"},
	"there is no trace.jsonl in empty":                             {"verify empty", "verify file empty"},
	"none: no results of lab grade":                                {"grade merge none"},
	"--qemu: no QEMU at \"none\"":                                  {"run fork-new --qemu none", "list --qemu none"},
	"--qemu: the folder \"empty\" holds no qemu-system-":           {"run fork-new --qemu empty"},
	"--qemu: \"file\" is not executable":                           {"run fork-new --qemu file"},
	// A value that is out of range.
	"--timeout -1s: want a time over 0, such as 20s": {"run fork-new --timeout -1s", "grade fork-new --submissions class --out new --timeout -1s", "matrix --timeout -1s", "ps --timeout -1s"},
	"--timeout 0: want a time over 0":                {"run fork-new --timeout 0"},
	"--rewind 0: want a number from 1":               {"run fork-new --rewind 0"},
	"--rewind -1: want a number from 1":              {"run fork-new --rewind -1"},
	"--seeds 0: want a number from 1 to 1000":        {"run fork-new --seeds 0"},
	"--seeds 1001: want a number from 1 to 1000":     {"run fork-new --seeds 1001"},
	"--cpus 0: want a number from 1 to 8":            {"run fork-new --cpus 0", "matrix --cpus 0", "task --cpus 0"},
	"--jobs -1: want a number, 0 or more":            {"run fork-new --jobs -1", "matrix --jobs -1", "grade fork-new --jobs -1"},
	"--boots 0: want a number from 1":                {"doctor --boots 0"},
	"--verify 101%: want 0% to 100%":                 {"grade fork-new --verify=101%"},
	"I must be from 1 to N":                          {"grade fork-new --submissions class --out new --shard 0/2", "grade fork-new --submissions class --out new --shard 3/2"},
	"\"x\" is no pid: give a number, or current":     {"task x", "stack x"},
	// A word that is unknown.
	"unknown format \"jsn\": did you mean json":                          {"run fork-new --format jsn", "check file --format jsn", "matrix --format jsn", "grade fork-new --format jsn", "grade merge class --format jsn", "list --format jsn", "ps --format jsn", "doctor --format jsn", "kernels list --format jsn", "qemu list --format jsn", "verify file --format jsn"},
	"unknown architecture \"riscv\": did you mean riscv64?":              {"run fork-new --arch riscv", "shell --arch riscv", "kernels list --arch riscv", "export gradescope fork-new --arch riscv"},
	"unknown architecture \"all\"":                                       {"shell --arch all", "ps --arch all", "export gradescope fork-new --arch all"},
	"unknown visibility \"x\" (use visible":                              {"run fork-new --visibility x"},
	"unknown point of fork-new \"copy_thred\": did you mean copy_thread": {"run fork-new --at copy_thred", "ps --lab fork-new --at copy_thred"},
	"unknown step \"copy_thred\": did you mean copy_thread":              {"run fork-new --step copy_thread --step copy_thred", "check file --step copy_thred"},
	"no check or question \"x\" to hide":                                 {"run fork-new --hide x", "export gradescope fork-new --hide x"},
	"unknown system \"moodle\"":                                          {"export moodle fork-new"},
	"read the script: stat nowhere":                                      {"ftrace fork-new --script nowhere"},
	"larger than 64 KiB":                                                 {"ftrace fork-new --script large"},
	// Flags that do not go together.
	"--keep-going and --out are for a script":            {"ftrace fork-new --keep-going", "ftrace fork-new --out new"},
	"--at needs --lab":                                   {"ps --at copy_thread"},
	"--at and --rewind are two ways to name a stop":      {"run fork-new --at copy_thread --rewind 1"},
	"leave out --submission":                             {"run fork-new --rewind 1 --submission class/alice", "run fork-new --seeds 2 --submission class/alice"},
	"leave out --submission, --out, --seeds, --at":       {"run wait-zombie --what-if ignore-sigchld --seeds 2", "run wait-zombie --what-if ignore-sigchld --out new", "run wait-zombie --what-if ignore-sigchld --rewind 1"},
	"unknown format of --what-if \"junit\"":              {"run wait-zombie --what-if ignore-sigchld --format junit"},
	"unknown variation of wait-zombie \"ignore\"":        {"run wait-zombie --what-if ignore"},
	"(it has ignore-sigchld":                             {"run wait-zombie --what-if x"},
	"--seed and --seeds are two ways":                    {"run fork-new --seed 2 --seeds 2"},
	"--kernel says which kernels to boot: add --boots N": {"doctor --kernel 6.1"},
}

// unset are flags, with a command that has each, and what else it is given. A value
// that is empty is a variable that is not set: taken for none, the default would run.
var unset = map[string][]string{
	"run fork-new": {"kernel", "out", "at", "arch", "format", "submission", "vmlinux", "seed", "seeds", "rewind", "what-if", "jobs", "cpus", "timeout", "visibility", "hide", "qemu"},
	"grade fork-new --submissions class --out new": {"kernel", "out", "submissions", "shard", "jobs", "verify", "format"},
	"grade merge class":                            {"out", "format"},
	"matrix":                                       {"kernel", "out", "baseline", "arch", "jobs"},
	"check file":                                   {"submission", "lab", "format"},
	"verify file":                                  {"submission", "lab", "kernel"},
	"ps":                                           {"kernel", "lab", "at", "vmlinux"},
	"debug fork-new":                               {"kernel", "vmlinux"},
	"ftrace fork-new":                              {"kernel", "timeout", "script", "out"},
	"shell":                                        {"kernel", "attach"},
	"export gradescope fork-new":                   {"kernel", "out"},
	"doctor":                                       {"kernel", "boots"},
	"kernels add":                                  {"image", "vmlinux"},
	"init fork-new new":                            {"language"},
	"predict fork-new":                             {"kernel", "arch"},
}

// arguments are commands that take names, one of which may be an empty variable too.
var arguments = []string{"run", "predict", "check", "verify", "matrix", "grade merge", "kernels fetch", "task", "stack", "show", "debug", "new", "init fork-new"}

// listFiles lists the files under the current folder with their sizes.
func listFiles(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		all = append(all, fmt.Sprint(path, " ", info.Mode(), " ", info.Size()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Wrong usage exits with 2, says what is wrong on standard error, prints nothing on
// standard output, and writes and changes nothing.
func TestWrongUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(prepare.QEMUEnv, "")
	t.Setenv("LAB_CACHE", t.TempDir())
	t.Setenv("LAB_DEBIAN_MIRROR", "file:///nowhere")
	for path, text := range map[string]string{
		"file": "x\n", "large": strings.Repeat("#\n", 40<<10), "text": "hello\n", "other.json": `{"schema": "lab.other/1"}`, "class/alice/prog.go": "package main\n", "empty": "",
	} {
		if text == "" {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := listFiles(t)
	refused := func(want string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := run(args, strings.NewReader(""), &stdout, &stderr)
		if code != exitUsage || stdout.Len() > 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("lab %q exits with %d, want %d and %q on standard error\nstandard output: %s\nstandard error: %s", args, code, exitUsage, want, &stdout, &stderr)
		}
		if n := strings.Count(stderr.String(), "\n"); n > 2 {
			t.Errorf("lab %q: %d lines on standard error:\n%s", args, n, &stderr)
		}
		if d := cmp.Diff(before, listFiles(t)); d != "" {
			t.Fatalf("lab %q changed files (-before +after)\n%s", args, d)
		}
	}
	for want, lines := range odd {
		for _, line := range lines {
			refused(want, strings.Fields(line)...)
		}
	}
	for command, names := range unset {
		for _, name := range names {
			refused(fmt.Sprintf("--%s \"\": the value is empty", name), append(strings.Fields(command), "--"+name+"=")...)
		}
	}
	for _, command := range arguments {
		refused("was given an empty argument", append(strings.Fields(command), "")...)
	}
	t.Setenv("LAB_CACHE", "file")
	for _, line := range []string{"run fork-new", "list", "kernels list", "clean"} {
		refused("file is a file: name a folder", strings.Fields(line)...)
	}
	t.Setenv("LAB_CACHE", t.TempDir())
	t.Setenv(prepare.QEMUEnv, "empty")
	refused(`LAB_QEMU: the folder "empty" holds no qemu-system-`, "run", "fork-new")
}
