package linux

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kernellab/images"
	"kernellab/images/debian"
	"kernellab/images/debian/debiantest"
	"kernellab/images/imagestest"
)

// serve returns a store that reads the repository.
func serve(t *testing.T, r *debiantest.Repository) Store {
	r.Serve(t)
	return Store{Cache: &images.Cache{Dir: t.TempDir()}, unsigned: true}
}

func TestFetch(t *testing.T) {
	r := debiantest.New(t)
	r.Add(t, "linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "kmod", map[string]string{
		"lib/modules/6.1.0-50-cloud-amd64/m.ko": "x", "boot/System.map-6.1.0-50-cloud-amd64": "x", "boot/vmlinuz-6.1.0-50-cloud-amd64": "image 50",
	}, nil)
	r.Add(t, "linux-image-6.1.0-51-cloud-amd64-unsigned", "6.1.177-1", "", map[string]string{"boot/vmlinuz-6.1.0-51-cloud-amd64": "unsigned"}, nil)
	r.Add(t, "linux-image-6.1.0-51-cloud-amd64", "6.1.177-1", "", map[string]string{"boot/vmlinuz-6.1.0-51-cloud-amd64": "signed"}, nil)
	r.Add(t, "linux-image-6.1.0-51-cloud-amd64-dbg", "6.1.177-1", "", nil, nil)
	r.Add(t, "linux-image-cloud-amd64", "7.2.12-1", "linux-image-7.2.12+deb14-cloud-amd64", nil, nil)
	r.Add(t, "linux-image-7.2.12+deb14-cloud-amd64", "7.2.12-1", "linux-binary-7.2.12+deb14-cloud-amd64 (= 7.2.12-1)", nil, nil)
	r.Add(t, "linux-binary-7.2.12+deb14-cloud-amd64", "7.2.12-1", "", map[string]string{"usr/lib/modules/7.2.12+deb14-cloud-amd64/vmlinuz": "image 7.2"}, nil)
	c := serve(t, r)
	var warned []string
	c.Cache.Warn = func(s string) { warned = append(warned, s) }

	ks, err := c.Offered(t.Context(), "x86_64", nil)
	if err != nil {
		t.Fatal(err)
	}
	ignore := cmpopts.IgnoreFields(Kernel{}, "SHA256", "Size", "DownloadSize", "Path", "uri", "digest", "Arch", "debug", "DebugSize")
	want := []Kernel{
		{Release: "7.2.12+deb14-cloud-amd64", Version: "7.2.12", Series: "7.2", Flavour: "cloud-amd64", Package: "linux-binary-7.2.12+deb14-cloud-amd64", PackageVersion: "7.2.12-1", Suite: "trixie"},
		{Release: "6.1.0-51-cloud-amd64", Version: "6.1.177", Series: "6.1", Flavour: "cloud-amd64", Package: "linux-image-6.1.0-51-cloud-amd64", PackageVersion: "6.1.177-1", Suite: "trixie"},
		{Release: "6.1.0-50-cloud-amd64", Version: "6.1.176", Series: "6.1", Flavour: "cloud-amd64", Package: "linux-image-6.1.0-50-cloud-amd64", PackageVersion: "6.1.176-1", Suite: "trixie"},
	}
	if d := cmp.Diff(want, ks, ignore); d != "" {
		t.Errorf("offered (-want +got)\n%s", d)
	}
	if len(warned) == 0 {
		t.Error("the suites that the mirror lacks are passed over in silence")
	}
	for spec, image := range map[string]string{"6.1.176": "image 50", "7.2": "image 7.2", "6.1.177": "signed"} {
		k, err := c.Fetch(t.Context(), "x86_64", spec, nil)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if b, err := os.ReadFile(k.Path); string(b) != image || err != nil {
			t.Errorf("%s: %q, %v; want %q", spec, b, err, image)
		}
	}
	var missing *NotFoundError
	if _, err := c.Fetch(t.Context(), "x86_64", "6.99", nil); !errors.As(err, &missing) || !missing.Offered {
		t.Errorf("%v, want a NotFoundError", err)
	}
	imagestest.NothingLeft(t, c.Cache, "tmp")

	// What no suite offers any more is listed, and found when the newest is asked for.
	mine := filepath.Join(t.TempDir(), "image")
	imagestest.Write(t, mine, "mine")
	if _, err := c.Add(t.Context(), mine, "", Identity{Arch: "x86_64", Release: "6.2.0-mine"}); err != nil {
		t.Fatal(err)
	}
	empty := debiantest.New(t)
	empty.Add(t, "linux-image-6.12.1-cloud-amd64", "6.12.1-1", "", nil, nil)
	dir := c.Cache.Dir
	c2 := serve(t, empty)
	c2.Cache.Dir = dir
	if k, err := c2.FetchNewest(t.Context(), "x86_64", "6.1", nil); err != nil || k.Version != "6.1.177" {
		t.Errorf("the newest of what is no longer offered: %s, %v", k.Version, err)
	}
	all, err := c2.All(t.Context(), "x86_64", nil)
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, k := range all {
		listed = append(listed, fmt.Sprintf("%s cached=%t gone=%t local=%t", k.Version, k.Cached(), k.Gone, k.Local))
	}
	wantAll := []string{
		"7.2.12 cached=true gone=true local=false", "6.12.1 cached=false gone=false local=false", "6.2.0 cached=true gone=false local=true",
		"6.1.177 cached=true gone=true local=false", "6.1.176 cached=true gone=true local=false",
	}
	if d := cmp.Diff(wantAll, listed); d != "" {
		t.Errorf("all (-want +got)\n%s", d)
	}

	// What is cached needs no repository.
	t.Setenv("LAB_DEBIAN_MIRROR", "file:///nowhere")
	for _, spec := range []string{"6.1.176", "6.1", "7.2.12+deb14-cloud-amd64"} {
		if _, err := c.Fetch(t.Context(), "x86_64", spec, nil); err != nil {
			t.Errorf("%s from the cache: %v", spec, err)
		}
	}
	if _, err := c.FetchNewest(t.Context(), "x86_64", "6.1", nil); err == nil {
		t.Error("fetched the newest from nowhere")
	}
}

func TestFetchFails(t *testing.T) {
	const release, spec = "6.1.0-50-cloud-amd64", "6.1"
	image := map[string]string{"boot/vmlinuz-" + release: "an image"}
	for name, c := range map[string]struct {
		files map[string]string
		index func(string) string
		spoil func(t *testing.T, deb string)
		want  string
	}{
		"wrong hash": {image, func(s string) string {
			i := strings.Index(s, "SHA256: ") + len("SHA256: ")
			return s[:i] + strings.Repeat("0", 64) + s[i+64:]
		}, nil, "lab kernels fetch --refresh"},
		"cut off": {image, nil, func(t *testing.T, deb string) {
			if err := os.Truncate(deb, 100); err != nil {
				t.Fatal(err)
			}
		}, "lab kernels fetch --refresh"},
		"gone":          {image, nil, func(t *testing.T, deb string) { os.Remove(deb) }, "check the network"},
		"no image":      {map[string]string{"boot/config-" + release: "x"}, nil, nil, "it holds no kernel image"},
		"empty image":   {map[string]string{"boot/vmlinuz-" + release: ""}, nil, nil, "it holds no kernel image"},
		"another image": {map[string]string{"boot/vmlinuz-6.1.0-49-cloud-amd64": "x"}, nil, nil, "of release 6.1.0-49-cloud-amd64, want " + release},
	} {
		t.Run(name, func(t *testing.T) {
			r := debiantest.New(t)
			deb := r.Add(t, "linux-image-"+release, "6.1.176-1", "", c.files, c.index)
			if c.spoil != nil {
				c.spoil(t, deb)
			}
			cache := serve(t, r)
			_, err := cache.Fetch(t.Context(), "x86_64", spec, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
			imagestest.NothingLeft(t, cache.Cache, "kernels", "tmp")
		})
	}
}

// TestFetchDamaged has a package that is as the index says, but no package.
func TestFetchDamaged(t *testing.T) {
	r := debiantest.New(t)
	deb := r.Add(t, "linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "", map[string]string{"boot/vmlinuz-6.1.0-50-cloud-amd64": strings.Repeat("image", 1<<16)}, func(s string) string {
		return s
	})
	b, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	half := b[:len(b)*2/3]
	imagestest.Write(t, deb, string(half))
	text := r.Packages.String()
	i := strings.Index(text, "Size: ")
	r.Packages.Reset()
	fmt.Fprintf(&r.Packages, "%sSize: %d\nSHA256: %x\n\n", text[:i], len(half), sha256.Sum256(half))
	c := serve(t, r)
	if _, err := c.Fetch(t.Context(), "x86_64", "6.1", nil); err == nil || !strings.Contains(err.Error(), "unpack linux-image") {
		t.Errorf("error %v, want one about unpacking", err)
	}
	imagestest.NothingLeft(t, c.Cache, "kernels", "tmp")
}

// TestFullDisk fetches into a file system with room for the index only.
func TestFullDisk(t *testing.T) {
	r := debiantest.New(t)
	random := make([]byte, 3<<20)
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	r.Add(t, "linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "", map[string]string{"boot/vmlinuz-6.1.0-50-cloud-amd64": string(random)}, nil)
	c := serve(t, r)
	if err := syscall.Mount("tmpfs", c.Cache.Dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount a small tmpfs: %v", err)
	}
	defer syscall.Unmount(c.Cache.Dir, 0)
	_, err := c.Fetch(t.Context(), "x86_64", "6.1", nil)
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "no space left on device") || !strings.Contains(err.Error(), "lab clean") {
		t.Errorf("error %v, want the full disk and what to do about it", err)
	}
	imagestest.NothingLeft(t, c.Cache, "kernels", "tmp")
}

// TestFetchCancelled cancels while a mirror is silent, in the index and in the
// package.
func TestFetchCancelled(t *testing.T) {
	r := debiantest.New(t)
	r.Add(t, "linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "", map[string]string{"boot/vmlinuz-6.1.0-50-cloud-amd64": "x"}, nil)
	c := serve(t, r)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	began := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			began <- struct{}{}
		}
	}()
	mute := "http://" + silent.Addr().String()
	cancelled := func(t *testing.T, call func(context.Context) error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			<-began
			cancel()
		}()
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
		imagestest.NothingLeft(t, c.Cache, "kernels", "tmp")
	}
	t.Run("package", func(t *testing.T) {
		ks, err := c.Offered(t.Context(), "x86_64", nil)
		if err != nil || len(ks) != 1 {
			t.Fatalf("%v, %v", ks, err)
		}
		k := ks[0]
		k.uri = mute + "/x.deb"
		cancelled(t, func(ctx context.Context) error {
			_, err := c.download(ctx, k, nil)
			return err
		})
	})
	t.Run("index", func(t *testing.T) {
		t.Setenv("LAB_DEBIAN_MIRROR", mute)
		cancelled(t, func(ctx context.Context) error {
			_, err := c.Refresh(ctx, "x86_64", nil)
			return err
		})
	})
}

func FuzzIndex(f *testing.F) {
	f.Add("Package: linux-image-6.1.0-50-cloud-amd64\nVersion: 6.1.176-1\nDepends: kmod,\n x\nFilename: pool/x.deb\nSize: 1\nSHA256: ab\n\nPackage: x\n")
	f.Fuzz(func(t *testing.T, text string) {
		ks, err := parseIndex(strings.NewReader(text), "x86_64", debian.Index{URI: "u", Suite: "s"})
		if err != nil {
			return
		}
		for _, k := range oneEach(ks) {
			if k.Series == "" || !releaseName.MatchString(k.Release) {
				t.Errorf("%+v", k)
			}
		}
	})
}
