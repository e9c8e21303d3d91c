package debian

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"kernellab/images"
	"kernellab/internal/command"
)

// Package is a package of a repository.
type Package struct {
	Name   string // or its file's name, of those that Resolve returns
	URI    string
	Digest string // in apt's notation: SHA256:…
	Size   int64  // in bytes
}

// uriLine is a line of "apt-get --print-uris": 'URI' FILE SIZE HASH.
var uriLine = regexp.MustCompile(`(?m)^'([^']+)' (\S+) ([0-9]+) (SHA256:[0-9a-f]{64})$`)

// Resolve returns the packages of which an installation of wanted consists, and
// the version of the first.
func (a Apt) Resolve(ctx context.Context, wanted []string) (debs []Package, version string, err error) {
	args := []string{"install", "-q", "--yes", "--no-install-recommends", "--print-uris", "-o", "Acquire::ForceHash=SHA256"}
	out, err := a.run(ctx, "apt-get", append(args, wanted...)...)
	if err != nil {
		return nil, "", fmt.Errorf("find the packages %s in %s: %w; check the network, or set LAB_DEBIAN_MIRROR to another mirror", strings.Join(wanted, ", "), a.suiteNames(), err)
	}
	return parseURIs(string(out), wanted[0])
}

func parseURIs(out, first string) (debs []Package, version string, err error) {
	for _, m := range uriLine.FindAllStringSubmatch(out, -1) {
		size, err := strconv.ParseInt(m[3], 10, 64)
		if err != nil {
			return nil, "", fmt.Errorf("read apt-get's answer %q: %w", m[0], err)
		}
		d := Package{Name: m[2], URI: m[1], Digest: m[4], Size: size}
		if d.Name != filepath.Base(d.Name) {
			return nil, "", fmt.Errorf("read apt-get's answer: %q is no file name", d.Name)
		}
		debs = append(debs, d)
		// NAME_VERSION_ARCH.deb, with %3a for the colon of an epoch
		if f := strings.Split(d.Name, "_"); len(f) == 3 && f[0] == first {
			if version, err = url.PathUnescape(f[1]); err != nil {
				return nil, "", fmt.Errorf("read apt-get's answer %q: %w", d.Name, err)
			}
		}
	}
	if version == "" || strings.Contains(version, "/") {
		return nil, "", fmt.Errorf("read apt-get's answer: no package %s in it: %s", first, strings.TrimSpace(out))
	}
	return debs, version, nil
}

// Download gets a package and checks its hash.
func (a Apt) Download(ctx context.Context, d Package, to string, p images.Progress) error {
	if _, err := os.Stat(filepath.Join(a.Dir, "apt.conf")); err != nil {
		if err := a.Prepare(ctx); err != nil {
			return err
		}
	}
	if err := a.unpacks(); err != nil {
		return fmt.Errorf("download %s: %w", d.Name, err)
	}
	what := "downloading " + d.Name
	p.Report(what, 0, d.Size)
	stop := watchSize(filepath.Dir(to), func(n int64) { p.Report(what, min(n, d.Size), d.Size) })
	_, err := a.run(ctx, helper, "download-file", d.URI, to, d.Digest)
	stop()
	if err != nil {
		return fmt.Errorf("download %s: %w%s", d.Name, err, Remedy(err))
	}
	p.Report(what, d.Size, d.Size)
	return nil
}

// DownloadAll gets packages into a folder, under their names, and checks their
// hashes. what is what Progress is told.
func (a Apt) DownloadAll(ctx context.Context, debs []Package, dir, what string, p images.Progress) error {
	if err := a.unpacks(); err != nil {
		return err
	}
	args := []string{"download-file"}
	var total int64
	for _, d := range debs {
		args = append(args, d.URI, filepath.Join(dir, d.Name), d.Digest)
		total += d.Size
	}
	p.Report(what, 0, total)
	stop := watchSize(dir, func(n int64) { p.Report(what, min(n, total), total) })
	_, err := a.run(ctx, helper, args...)
	stop()
	if err != nil {
		return fmt.Errorf("download it: %w; check the network, or set LAB_DEBIAN_MIRROR to another mirror", err)
	}
	return nil
}

// unpacks returns an error where packages cannot be unpacked, so that none is downloaded.
func (a Apt) unpacks() error {
	if _, err := exec.LookPath(unpacker); err != nil {
		return fmt.Errorf("%s is not installed, which unpacks packages: install the package dpkg%s", unpacker, a.otherwise())
	}
	return nil
}

// Remedy returns what to do about a download that failed, if that is known.
func Remedy(err error) string {
	var c *command.Error
	switch {
	case command.DiskFull(err):
		return "; make room with: lab clean, or set LAB_CACHE to a folder on another disk"
	case !errors.As(err, &c) || c.Name != helper:
		return ""
	case strings.Contains(c.Output, "Hash Sum mismatch"), strings.Contains(c.Output, "unexpected size"), strings.Contains(c.Output, "404  Not Found"):
		return "; the package index may be out of date, run: lab kernels fetch --refresh, or set LAB_DEBIAN_MIRROR to another mirror"
	}
	return "; check the network, or set LAB_DEBIAN_MIRROR to another mirror"
}

// Unpack gives the files of a package to take, which need not read them all.
func Unpack(ctx context.Context, deb string, take func(*tar.Reader) error) error {
	sub, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rd, wr := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := command.Command{Path: unpacker, Args: []string{"--fsys-tarfile", deb}, Stdout: wr, Env: append(os.Environ(), "LC_ALL=C.UTF-8")}.Run(sub)
		wr.CloseWithError(firstError(err, io.EOF))
	})
	err := take(tar.NewReader(images.Reader(ctx, rd)))
	// Nothing after what was looked for is wanted.
	cancel(errFound)
	rd.CloseWithError(errFound)
	wg.Wait()
	return err
}

var errFound = errors.New("what was looked for was found")

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// watchSize tells how many bytes are in a folder, a few times a second, until
// the function it returns is called.
func watchSize(dir string, tell func(int64)) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for last := int64(0); ; {
			select {
			case <-done:
				return
			case <-t.C:
			}
			var n int64
			filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					if info, err := d.Info(); err == nil {
						n += info.Size()
					}
				}
				return nil
			})
			if n != last {
				last = n
				tell(n)
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}
