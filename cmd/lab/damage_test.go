package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/trace"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/internal/intact"
	"kernellab/internal/labtest"
)

// TestDamagedCache damages a file of each kind that the cache has. What lab can make, it
// makes anew: the run gives the same trace. What it has to fetch it names, says what to do,
// and ends with exit code 3, here where no mirror is.
func TestDamagedCache(t *testing.T) {
	labtest.Long(t)
	m := arch.All()[0]
	root, cache := realCache(t, m), borrowedCache(t, m)
	k, err := linux.In(&images.Cache{}).Find(m.Name, linux.DefaultSpec(m.Name))
	if err != nil {
		labtest.Lacking(t, m.Name, err.Error())
	}
	t.Setenv("LAB_DEBIAN_MIRROR", "file://"+t.TempDir())
	own(t, root, cache, "kernels", filepath.Join(m.Name, filepath.Base(filepath.Dir(k.Path)))+"/*")
	// The cache may be of a lab that recorded no digest of it.
	must(t, intact.Record(filepath.Join(cache, "kernels", m.Name, filepath.Base(filepath.Dir(k.Path)), "kernel.json")))
	own(t, root, cache, "qemu", "*/*/*", "*/*/*/*", "*/*/*/*/*", "*/*/*/*/*/*")
	own(t, root, cache, "unpacked", k.SHA256+"*")
	t.Setenv("LAB_CACHE", cache)
	first := filepath.Join(t.TempDir(), "first")
	before := ran(t, first, m.Name, k.Release)

	// The names of the rest say what they are made from, and not what for.
	own(t, root, cache, "initramfs", named(t, filepath.Join(root, "initramfs"), before.Header.Machine.Initramfs)...)
	own(t, root, cache, "programs", named(t, filepath.Join(root, "programs"), before.Header.Program.SHA256)...)
	snapshots, err := filepath.Glob(filepath.Join(cache, "snapshots", "*", "manifest.json"))
	if err != nil || len(snapshots) != 2 {
		t.Fatalf("%d snapshots, want that of the booted guest and that of the program: %v", len(snapshots), err)
	}
	for _, pattern := range []string{
		"unpacked/" + k.SHA256, "unpacked/*.index", "unpacked/*.answers", "initramfs/*[!m]", "programs/*[!m]",
		"snapshots/facts.json", "snapshots/boots.json",
	} {
		flip(t, cache, pattern)
	}
	flip(t, filepath.Dir(snapshots[0]), "ram")
	flip(t, filepath.Dir(snapshots[1]), "state")
	after := ran(t, filepath.Join(t.TempDir(), "again"), m.Name, k.Release)
	if a, b := readFile(t, filepath.Join(first, "trace.jsonl")), after.text; a != b {
		t.Error("the trace is another one when all that lab makes was damaged")
	}

	readOnly(t, cache, m.Name, k.Release)
	for pattern, want := range map[string]string{
		"kernels/*/*/vmlinuz":                    "vmlinuz is damaged",
		"kernels/*/*/kernel.json":                "kernel.json is damaged",
		"qemu/*/*+faketime/bin/" + m.QEMU.Binary: m.QEMU.Binary + " is damaged",
		"qemu/*/*+faketime/qemu.json":            "qemu.json is damaged",
	} {
		whole := flip(t, cache, pattern)
		var stdout, stderr bytes.Buffer
		code := run([]string{"run", "fork-new", "--arch", m.Name, "--kernel", k.Release}, strings.NewReader(""), &stdout, &stderr)
		if code != exitError || stdout.Len() > 0 || !strings.Contains(stderr.String(), want) || !strings.Contains(stderr.String(), "set LAB_DEBIAN_MIRROR to another mirror") {
			t.Errorf("%s: exit code %d, want %d and %q\n%s%s", pattern, code, exitError, want, stdout.String(), stderr.String())
		}
		for path, data := range whole {
			must(t, os.WriteFile(path, data, 0o700))
		}
	}
}

// readOnly runs the lab from a cache on a file system that cannot be written: what is
// needed is in it. What it lacks is named, with what to do.
func readOnly(t *testing.T, cache, archName, kernel string) {
	t.Helper()
	lab, err := exec.LookPath("lab")
	must(t, err)
	mounted := func(args ...string) (string, error) {
		const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"`
		args = append([]string{"--user", "--map-root-user", "--mount", "sh", "-c", script, cache}, args...)
		out, err := exec.CommandContext(t.Context(), "unshare", args...).CombinedOutput()
		return string(out), err
	}
	if out, err := mounted("true"); err != nil {
		t.Logf("a read-only cache is not tested, as this host mounts nothing for us: %v\n%s", err, out)
		return
	}
	if out, err := mounted(lab, "run", "fork-new", "--arch", archName, "--kernel", kernel); err != nil {
		t.Errorf("from a read-only cache: %v\n%s", err, out)
	}
	must(t, os.Rename(filepath.Join(cache, "programs"), filepath.Join(cache, "away")))
	out, err := mounted(lab, "run", "fork-new", "--arch", archName, "--kernel", kernel)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitError || !strings.Contains(out, "set LAB_CACHE to a folder") {
		t.Errorf("from a read-only cache without programs: %v, want exit code %d and what to do\n%s", err, exitError, out)
	}
	must(t, os.Rename(filepath.Join(cache, "away"), filepath.Join(cache, "programs")))
}

// recorded is a run's trace, and its text.
type recorded struct {
	*trace.Trace
	text string
}

// ran runs fork-new, which passes, and returns its trace.
func ran(t *testing.T, out, archName, kernel string) recorded {
	t.Helper()
	var stderr bytes.Buffer
	args := []string{"run", "fork-new", "--arch", archName, "--kernel", kernel, "--out", out}
	if code := run(args, strings.NewReader(""), io.Discard, &stderr); code != exitPass {
		t.Fatalf("exit code %d, want %d\n%s", code, exitPass, stderr.String())
	}
	text := readFile(t, filepath.Join(out, "trace.jsonl"))
	got, err := trace.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return recorded{got, text}
}

// own replaces a part of a borrowed cache with copies of files of the real one, those that
// match.
func own(t *testing.T, root, cache, part string, patterns ...string) {
	t.Helper()
	must(t, os.Remove(filepath.Join(cache, part)))
	for _, p := range patterns {
		files, err := filepath.Glob(filepath.Join(root, part, p))
		must(t, err)
		for _, from := range files {
			info, err := os.Lstat(from)
			must(t, err)
			rel, err := filepath.Rel(root, from)
			must(t, err)
			to := filepath.Join(cache, rel)
			must(t, os.MkdirAll(filepath.Dir(to), 0o700))
			switch {
			case info.Mode().Type() == os.ModeSymlink:
				target, err := os.Readlink(from)
				must(t, err)
				must(t, os.Symlink(target, to))
			case info.Mode().IsRegular():
				must(t, os.WriteFile(to, []byte(readFile(t, from)), info.Mode().Perm()))
			}
		}
	}
}

// named returns the names of the file with a digest and of its sum.
func named(t *testing.T, dir, digest string) []string {
	t.Helper()
	sums, err := filepath.Glob(filepath.Join(dir, "*.sum"))
	must(t, err)
	for _, path := range sums {
		if strings.Contains(readFile(t, path), digest) {
			return []string{strings.TrimSuffix(filepath.Base(path), ".sum"), filepath.Base(path)}
		}
	}
	t.Fatalf("no file in %s has the digest %s", dir, digest)
	return nil
}

// flip changes a byte in the middle of files, of one page of data where they have holes,
// and returns what was in them.
func flip(t *testing.T, dir, pattern string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	whole := map[string][]byte{}
	for _, path := range files {
		data := []byte(readFile(t, path))
		whole[path] = bytes.Clone(data)
		at := len(data) / 2
		if n := bytes.IndexFunc(data[at:], func(r rune) bool { return r != 0 }); n > 0 {
			at += n
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte{data[at] ^ 1}, int64(at))
		must(t, err)
		must(t, f.Close())
	}
	return whole
}
