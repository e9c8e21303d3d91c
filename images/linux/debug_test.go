package linux

import (
	"errors"
	"os"
	"testing"

	"kernellab/images/debian/debiantest"
	"kernellab/images/imagestest"
)

func TestFetchDebug(t *testing.T) {
	r := debiantest.New(t)
	const one, two, three = "6.1.0-50-cloud-amd64", "6.1.0-51-cloud-amd64", "6.1.0-52-cloud-amd64"
	for _, release := range []string{one, two, three} {
		r.Add(t, "linux-image-"+release, "6.1.17"+release[7:8]+"-1", "", map[string]string{"boot/vmlinuz-" + release: "image"}, nil)
	}
	r.Add(t, "linux-image-"+one+"-dbg", "6.1.170-1", "", map[string]string{
		"usr/lib/debug/lib/modules/" + one + "/kernel/m.ko": "a module", "usr/lib/debug/boot/vmlinux-" + one: "debug information",
	}, nil)
	r.Add(t, "linux-image-"+two+"-dbg", "6.1.171-1", "", map[string]string{"usr/lib/debug/usr/lib/modules/" + two + "/vmlinux": "debug information"}, nil)
	// Of another build, though of the same release.
	r.Add(t, "linux-image-"+three+"-dbg", "6.1.100-1", "", map[string]string{"usr/lib/debug/boot/vmlinux-" + three: "debug information"}, nil)
	c := serve(t, r)
	fetch := func(release string) Kernel {
		t.Helper()
		k, err := c.Fetch(t.Context(), "x86_64", release, nil)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for name, release := range map[string]string{"below boot": one, "below lib/modules": two} {
		t.Run(name, func(t *testing.T) {
			k := fetch(release)
			refused := errors.New("of another build")
			if _, err := c.FetchDebug(t.Context(), k, func(string) error { return refused }, nil); !errors.Is(err, refused) {
				t.Errorf("%v, want what the check said", err)
			}
			if again := fetch(release); again.Vmlinux != "" {
				t.Errorf("what was refused was kept: %s", again.Vmlinux)
			}
			got, err := c.FetchDebug(t.Context(), k, func(path string) error { _, err := os.Stat(path); return err }, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(got.Vmlinux); string(b) != "debug information" || err != nil {
				t.Errorf("%s: %q, %v", got.Vmlinux, b, err)
			}
			if again := fetch(release); again.Vmlinux != got.Vmlinux {
				t.Errorf("found again with %q, want %q", again.Vmlinux, got.Vmlinux)
			}
			imagestest.NothingLeft(t, c.Cache, "tmp")
		})
	}
	var none *NoDebugError
	if _, err := c.FetchDebug(t.Context(), fetch(three), nil, nil); !errors.As(err, &none) {
		t.Errorf("%v, want a NoDebugError", err)
	}
}
