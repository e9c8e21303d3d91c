package linux

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kernellab/images"
	"kernellab/images/debian"
	"kernellab/images/imagestest"
)

func TestFlavours(t *testing.T) {
	for release, want := range map[string]string{
		"6.1.0-50-cloud-amd64":          "cloud-amd64",
		"6.12.107+deb13-cloud-amd64":    "cloud-amd64",
		"6.12.107+deb13-riscv64":        "riscv64",
		"6.1.0-0.deb11.52-rt-amd64":     "rt-amd64",
		"7.3-rc4+deb14-amd64":           "amd64",
		"7.3-rc4-amd64":                 "amd64",
		"6.12.115+deb13.1-cloud-amd64":  "cloud-amd64",
		"6.12.0":                        "",
		"6.12.0-custom":                 "custom",
		"6.17.13+deb13+1-amd64-unsined": "amd64-unsined",
	} {
		if got := flavourOf(release); got != want {
			t.Errorf("%s: flavour %q, want %q", release, got, want)
		}
	}
}

func offered(arch, release, version string) Kernel {
	return Kernel{Arch: arch, Release: release, Version: version, Series: series(version), Flavour: flavourOf(release), PackageVersion: version + "-1"}
}

func TestSpecs(t *testing.T) {
	ks := []Kernel{
		offered("x86_64", "6.1.0-47-cloud-amd64", "6.1.170"),
		offered("x86_64", "6.1.0-50-cloud-amd64", "6.1.176"),
		offered("x86_64", "6.1.0-50-amd64", "6.1.176"),
		offered("x86_64", "6.12.107+deb13-cloud-amd64", "6.12.107"),
		offered("x86_64", "6.12.9+deb13-cloud-amd64", "6.12.9"),
		offered("x86_64", "7.2.12+deb14-rt-amd64", "7.2.12"),
		{Arch: "x86_64", Release: "6.12.200-mine", Version: "6.12.200", Series: "6.12", Flavour: "mine", Local: true},
		{Arch: "x86_64", Release: "6.17.0-mine", Version: "6.17.0", Series: "6.17", Flavour: "mine", Local: true},
	}
	for spec, want := range map[string]string{
		"6.1":                  "6.1.0-50-cloud-amd64",
		"6.1.170":              "6.1.0-47-cloud-amd64",
		"6.1-amd64":            "6.1.0-50-amd64",
		"6.1.176-cloud":        "6.1.0-50-cloud-amd64",
		"6.1.0-47":             "6.1.0-47-cloud-amd64",
		"6.1.0-50-amd64":       "6.1.0-50-amd64",
		"6.12":                 "6.12.107+deb13-cloud-amd64",
		"6.12.200":             "6.12.200-mine",
		"6.12-mine":            "6.12.200-mine",
		"6.17":                 "6.17.0-mine",
		"7.2-rt":               "7.2.12+deb14-rt-amd64",
		"7.2":                  "",
		"6.99":                 "",
		"6":                    "",
		"":                     "",
		"6.1.0":                "",
		"../6.1":               "",
		"6.12.107+deb13":       "6.12.107+deb13-cloud-amd64",
		"6.1-cloud-amd64-more": "",
	} {
		got, ok := match(ks, "x86_64", spec)
		if got.Release != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", spec, got.Release, ok, want)
		}
	}
	for spec, want := range map[string][]string{
		"6.1.5": {"6.1.170", "6.1.176", "6.1.176-amd64"},
		"6.99":  {"6.1", "6.12"},
		"x":     {"6.1", "6.12"},
	} {
		if d := cmp.Diff(want, nearest(ks, "x86_64", spec)); d != "" {
			t.Errorf("near %q (-want +got)\n%s", spec, d)
		}
	}
}

func FuzzSpec(f *testing.F) {
	f.Add("6.1", "6.1.0-50-cloud-amd64", "6.1.176")
	f.Fuzz(func(t *testing.T, spec, release, version string) {
		ks := []Kernel{offered("x86_64", release, version)}
		match(ks, "x86_64", spec)
		nearest(ks, "x86_64", spec)
		if a, b := debian.CompareVersions(release, version), debian.CompareVersions(version, release); a != -b {
			t.Errorf("%q against %q: %d, and %d the other way", release, version, a, b)
		}
	})
}

func TestAdd(t *testing.T) {
	c := In(&images.Cache{Dir: t.TempDir()})
	dir := t.TempDir()
	image, vmlinux := filepath.Join(dir, "bzImage"), filepath.Join(dir, "vmlinux")
	imagestest.Write(t, image, "an image")
	imagestest.Write(t, vmlinux, "with debugging information")
	k, err := c.Add(t.Context(), image, vmlinux, Identity{Arch: "x86_64", Release: "6.17.0-mine"})
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(c.Cache.Dir, "kernels/x86_64/6.17.0-mine")
	want := Kernel{
		Arch: "x86_64", Release: "6.17.0-mine", Version: "6.17.0", Series: "6.17", Flavour: "mine", Local: true,
		Size: 8, SHA256: "e34151c9e7a3dd7e7ed2cbc7f1a8dbd5e5c9b4f6b3bf7bcb1d1d5a2b0f4a3c2d",
		Path: filepath.Join(root, "vmlinuz"), Vmlinux: filepath.Join(root, "vmlinux"),
	}
	ignore := cmpopts.IgnoreFields(Kernel{}, "SHA256", "uri", "digest", "debug")
	if d := cmp.Diff(want, k, ignore); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for _, spec := range []string{"6.17", "6.17.0", "6.17.0-mine"} {
		got, err := c.Fetch(t.Context(), "x86_64", spec, nil)
		if d := cmp.Diff(k, got, ignore); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", spec, err, d)
		}
	}
	imagestest.Write(t, image, "another image")
	if k, err = c.Add(t.Context(), image, "", Identity{Arch: "x86_64", Release: "6.17.0-mine"}); err != nil || k.Size != 13 || k.Vmlinux != "" {
		t.Errorf("%+v, %v", k, err)
	}
	for _, id := range []Identity{{Arch: "arm64", Release: "6.1"}, {Arch: "x86_64", Release: "../x"}, {Arch: "x86_64"}, {Arch: "x86_64", Release: "6"}} {
		if _, err := c.Add(t.Context(), image, "", id); err == nil {
			t.Errorf("%+v was added", id)
		}
	}
	imagestest.NothingLeft(t, c.Cache, "tmp")
}
