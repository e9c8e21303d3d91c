package flags

import (
	"errors"
	"io"
	"math"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"kernellab/internal/usage"
)

// set is what the flags of a test are set to.
type set struct {
	Text, Word    string
	Jobs, CPUs    int
	Seed          uint32
	Share         int
	Limit         time.Duration
	Kernels, Last []string
}

// parse parses a command line.
func parse(args ...string) (s set, usageText string, err error) {
	fl := pflag.NewFlagSet("lab", pflag.ContinueOnError)
	fl.SetOutput(io.Discard)
	fl.Var(Text(&s.Text, "a.zip"), "out", "file")
	fl.Var(Choice(&s.Word, "text", "format", []string{"text", "json"}), "format", "output")
	fl.Var(Number(&s.Jobs, 0, 0, math.MaxInt), "jobs", "`N` at a time")
	fl.Var(Number(&s.CPUs, 1, 1, 8), "cpus", "processors")
	fl.Var(Number(&s.Seed, 1, 0, uint32(math.MaxUint32)), "seed", "seed")
	fl.Var(Percent(&s.Share), "verify", "share")
	fl.Var(Duration(&s.Limit), "timeout", "limit")
	fl.Var(Texts(&s.Kernels, math.MaxInt), "kernel", "kernels")
	fl.Var(Texts(&s.Last, 1), "last", "one kernel")
	err = fl.Parse(args)
	return s, fl.FlagUsages(), err
}

func TestValues(t *testing.T) {
	defaults := set{Text: "a.zip", Word: "text", CPUs: 1, Seed: 1}
	got, help, err := parse()
	if err != nil || cmp.Diff(defaults, got) != "" {
		t.Errorf("defaults: %v\n%s", err, cmp.Diff(defaults, got))
	}
	want := `      --cpus int             processors (default 1)
      --format string        output (default "text")
      --jobs N               N at a time
      --kernel stringArray   kernels
      --last string          one kernel
      --out string           file (default "a.zip")
      --seed uint32          seed (default 1)
      --timeout duration     limit
      --verify share         share
`
	if d := cmp.Diff(want, help); d != "" {
		t.Errorf("help (-want +got)\n%s", d)
	}
	got, _, err = parse("--out", "o", "--format", "json", "--jobs", "9", "--cpus", "8", "--seed", "4294967295", "--verify", "25%", "--timeout", "20s",
		"--kernel", "6.1", "--kernel", "6.12", "--last", "6.1", "--last", "6.12")
	all := set{"o", "json", 9, 8, math.MaxUint32, 25, 20 * time.Second, []string{"6.1", "6.12"}, []string{"6.12"}}
	if err != nil || cmp.Diff(all, got) != "" {
		t.Errorf("all flags: %v\n%s", err, cmp.Diff(all, got))
	}
}

// A value that cannot be used is the caller's mistake, and the message says what can.
func TestProblems(t *testing.T) {
	const empty = "the value is empty: give one, or leave the flag out"
	for arg, want := range map[string]string{
		"--out=":                      `--out "": ` + empty,
		"--format=":                   `--format "": ` + empty,
		"--jobs=":                     `--jobs "": ` + empty,
		"--timeout=":                  `--timeout "": ` + empty,
		"--kernel=":                   `--kernel "": ` + empty,
		"--format=jason":              `unknown format "jason": did you mean json? (use text, json)`,
		"--jobs=-1":                   "--jobs -1: want a number, 0 or more",
		"--cpus=9":                    "--cpus 9: want a number from 1 to 8",
		"--cpus=0":                    "--cpus 0: want a number from 1 to 8",
		"--cpus=many":                 "--cpus many: want a number from 1 to 8",
		"--seed=-1":                   "--seed -1: want a number from 0 to 4294967295",
		"--seed=99999999999999999999": "--seed 99999999999999999999: want a number from 0 to 4294967295",
		"--verify=101%":               "--verify 101%: want 0% to 100%",
		"--timeout=0":                 "--timeout 0: want a time over 0, such as 20s",
		"--timeout=-1s":               "--timeout -1s: want a time over 0, such as 20s",
		"--timeout=soon":              "--timeout soon: want a time over 0, such as 20s",
	} {
		_, _, err := parse(arg)
		if err == nil {
			t.Errorf("%s: no error", arg)
			continue
		}
		if got := Problem(err); got.Error() != want || !usage.Is(got) {
			t.Errorf("%s: %q, want %q as a mistake of usage", arg, got, want)
		}
	}
	if _, _, err := parse("--nothing"); err == nil || Problem(err) != err {
		t.Errorf("an unknown flag: %v", err)
	}
}

// A path of the wrong kind is refused before anything is written or read.
func TestPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.Mkdir("d", 0o755), os.WriteFile("f", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		check func(string) error
		good  []string
		bad   map[string]string
	}{
		"a folder to write": {OutFolder, []string{"d", ".", "new", "new/er", "d/new"}, map[string]string{
			"f": "f is a file: name a folder", "f/new": "f is a file: name a folder", "d/../f/a/b": "f is a file: name a folder"}},
		"a file to write": {OutFile, []string{"f", "new", "d/new"}, map[string]string{
			"d": "it is a folder: name a file, such as d/NAME", "f/new": "there is no folder f: make it, or name a file in another", "none/new": "there is no folder none: make it, or name a file in another"}},
		"a folder to read": {InFolder, []string{"d", "."}, map[string]string{
			"f": "it is a file: name a folder", "none": "there is no such folder: no such file or directory"}},
		"a file to read": {InFile, []string{"f"}, map[string]string{
			"d": "it is a folder: name a file", "none": "there is no such file: no such file or directory"}},
	} {
		for _, path := range tt.good {
			if err := tt.check(path); err != nil {
				t.Errorf("%s, %s: %v", name, path, err)
			}
		}
		for path, want := range tt.bad {
			if err := tt.check(path); err == nil || err.Error() != want {
				t.Errorf("%s, %s: %v, want %q", name, path, err, want)
			}
		}
	}
	entries, err := os.ReadDir(".")
	if err != nil || len(entries) != 2 {
		t.Errorf("the checks left %v, %v", entries, err)
	}
	var out string
	if v := Text(&out, "", OutFolder); v.Set("f") == nil || v.Set("d") != nil || out != "d" {
		t.Errorf("a checked text is %q", out)
	}
}
