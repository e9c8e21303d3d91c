package debian

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/images/imagestest"
	"kernellab/internal/command"
)

func TestCompareVersions(t *testing.T) {
	ascending := []string{"", "5.10.223-1", "6.1.0~rc1", "6.1.0", "6.1.9", "6.1.176-1~deb11u1", "6.1.176-1", "6.1.176-1+b1", "6.12.107-1", "7.2.12-1~bpo13+1", "7.2.12-1"}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := CompareVersions(a, b); got != want {
				t.Errorf("%q against %q: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestMirrors(t *testing.T) {
	t.Setenv("LAB_DEBIAN_MIRROR", "")
	for name, c := range map[string]struct {
		files map[string]string
		want  mirrors
		err   string
	}{
		"one-line": {
			files: map[string]string{"sources.list": "# comment\ndeb-src http://a.invalid/debian trixie main\ndeb [arch=amd64 signed-by=/k.gpg] http://other.invalid/x trixie main\ndeb [ signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://a.invalid/debian/ trixie main # x\ndeb http://a.invalid/debian-security trixie-security main\n"},
			want:  mirrors{"http://a.invalid/debian", "http://a.invalid/debian-security"},
		},
		"deb822": {
			files: map[string]string{"sources.list.d/debian.sources": "Types: deb\n# c\nURIs: http://b.invalid/debian http://c.invalid/debian\nSuites: bookworm bookworm-updates\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\nTypes: deb\nURIs: http://s.invalid/debian-security\nSuites: bookworm-security\n"},
			want:  mirrors{"http://b.invalid/debian", "http://s.invalid/debian-security"},
		},
		"disabled, foreign, no security": {
			files: map[string]string{
				"sources.list.d/a.sources":  "Types: deb\nEnabled: no\nURIs: http://off.invalid/debian\nSuites: sid\n",
				"sources.list.d/b.list":     "deb http://ubuntu.invalid/ubuntu noble main\ndeb http://d.invalid/debian sid main\n",
				"sources.list.d/c.disabled": "deb http://no.invalid/debian sid main\n",
			},
			want: mirrors{"http://d.invalid/debian", "http://d.invalid/debian-security"},
		},
		"none": {
			files: map[string]string{"sources.list": "deb http://ubuntu.invalid/ubuntu noble main\n"},
			err:   "LAB_DEBIAN_MIRROR",
		},
	} {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			for f, text := range c.files {
				imagestest.Write(t, filepath.Join(etc, f), text)
			}
			got, err := findMirrors(etc)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q in it", err, c.err)
				}
				return
			}
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, d)
			}
		})
	}
	t.Setenv("LAB_DEBIAN_MIRROR", "file:///srv/debian/")
	if got, err := findMirrors(t.TempDir()); err != nil || got != (mirrors{"file:///srv/debian", "file:///srv/debian-security"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzSources(f *testing.F) {
	f.Add("deb [signed-by=x] http://a/ trixie main")
	f.Add("Types: deb\nURIs: a\n b\nSuites: sid\n\nX")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range append(oneLine(text), deb822(text)...) {
			e.debian()
		}
	})
}

// What is wrong is read in apt's words, not in a number that a path may hold.
func TestRemedy(t *testing.T) {
	failed := func(output string) error {
		return fmt.Errorf("download: %w", &command.Error{Name: helper, Output: output, Err: errors.New("exit status 100")})
	}
	for name, tt := range map[string]struct{ output, want string }{
		"not on the mirror":    {"Err:1 http://mirror/pool/x.deb\n  404  Not Found [IP: 192.0.2.1 80]", "--refresh"},
		"wrong hash":           {"E: Failed to fetch x  Hash Sum mismatch", "--refresh"},
		"404 in a file's name": {"File not found - /tmp/740419144/x.deb (2: No such file or directory)", "check the network"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Remedy(failed(tt.output)); !strings.Contains(got, tt.want) {
				t.Errorf("Remedy = %q, want %q in it", got, tt.want)
			}
		})
	}
}

// Without dpkg-deb nothing is downloaded, and the error says what to install, or how to
// do without.
func TestNoUnpacker(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "apt.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	p := func(what string, _, _ int64) { said = append(said, what) }
	const install = "dpkg-deb is not installed, which unpacks packages: install the package dpkg"
	kernels, emulators := Apt{Config: Config{Dir: dir}}, Apt{Config: Config{Dir: dir, Resolves: true}}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a kernel": {kernels.Download(t.Context(), Package{Name: "linux"}, filepath.Join(dir, "deb"), p),
			"download linux: " + install + "; on a host without apt and dpkg, fetch a kernel elsewhere and run: lab kernels add --image FILE"},
		"QEMU": {emulators.DownloadAll(t.Context(), []Package{{Name: "qemu"}}, dir, "downloading QEMU", p), install},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, c.err, c.want)
		}
	}
	if said != nil {
		t.Errorf("downloaded all the same: %q", said)
	}
}

func TestParseURIs(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	out := "Reading package lists...\n'http://mirror/pool/libc6_2.41-12%2bdeb13u5_amd64.deb' libc6_2.41-12+deb13u5_amd64.deb 2850108 SHA256:" + sum +
		"\n'http://mirror/pool/q.deb' qemu-system-x86_1%3a10.0.13+ds-0+deb13u1_amd64.deb 10 SHA256:" + sum + "\n"
	debs, version, err := parseURIs(out, "qemu-system-x86")
	want := []Package{
		{URI: "http://mirror/pool/libc6_2.41-12%2bdeb13u5_amd64.deb", Name: "libc6_2.41-12+deb13u5_amd64.deb", Digest: "SHA256:" + sum, Size: 2850108},
		{URI: "http://mirror/pool/q.deb", Name: "qemu-system-x86_1%3a10.0.13+ds-0+deb13u1_amd64.deb", Digest: "SHA256:" + sum, Size: 10},
	}
	if d := cmp.Diff(want, debs); d != "" || version != "1:10.0.13+ds-0+deb13u1" || err != nil {
		t.Errorf("packages (-want +got)\n%sversion %q, %v", d, version, err)
	}
	for name, out := range map[string]string{
		"nothing":      "0 upgraded",
		"weak hash":    strings.ReplaceAll(out, "SHA256:"+sum, "MD5Sum:"+sum[:32]),
		"another path": strings.ReplaceAll(out, "libc6_2.41-12+deb13u5", "../libc6"),
		"no QEMU":      strings.ReplaceAll(out, "qemu-system-x86_", "qemu-system-y_"),
		"odd version":  strings.ReplaceAll(out, "1%3a10.0.13", "..%2f10"),
	} {
		if _, _, err := parseURIs(out, "qemu-system-x86"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
