package linux

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"kernellab/images/debian"
)

// suites returns what is searched for an architecture, the oldest first.
func suites(arch string) []debian.Suite {
	newer := []debian.Suite{
		{Name: "trixie"},
		{Name: "trixie-security", Security: true},
		{Name: "trixie-backports"},
		{Name: "forky"},
		{Name: "sid"},
	}
	if arch == "riscv64" { // a release architecture since trixie
		return newer
	}
	return append([]debian.Suite{
		{Name: "bullseye"},
		{Name: "bullseye-security", Security: true},
		{Name: "bullseye-backports", Archived: true},
		{Name: "bookworm"},
		{Name: "bookworm-security", Security: true},
		{Name: "bookworm-backports"},
	}, newer...)
}

// parseIndex takes the kernel images out of a Packages file. Up to 6.18 the image
// is in linux-image-RELEASE; from 6.19 that package is empty and depends on
// linux-binary-RELEASE. Either may exist with -unsigned at the end of its name,
// which has the same image without Debian's signature.
func parseIndex(r io.Reader, arch string, x debian.Index) ([]Kernel, error) {
	var ks []Kernel
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 4<<20)
	var s map[string]string
	end := func() {
		if k, ok := packaged(s, arch, x); ok {
			ks = append(ks, k)
		}
		s = nil
	}
	for sc.Scan() {
		line := sc.Text()
		if line == "" {
			end()
			continue
		}
		// Most stanzas are not of kernels: tell by their first field.
		if s == nil && strings.HasPrefix(line, "Package: ") {
			s = map[string]string{}
			if !strings.HasPrefix(line, "Package: linux-image-") && !strings.HasPrefix(line, "Package: linux-binary-") {
				s["skip"] = "yes"
			}
		}
		if s == nil || s["skip"] != "" {
			continue
		}
		if n, v, ok := strings.Cut(line, ": "); ok && line[0] != ' ' {
			s[n] = v
		}
	}
	end()
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read the package index of %s: %w", x.Suite, err)
	}
	return ks, nil
}

var packageName = regexp.MustCompile(`^linux-(image|binary)-([0-9]+\.[0-9].*)$`)

func packaged(s map[string]string, arch string, x debian.Index) (Kernel, bool) {
	m := packageName.FindStringSubmatch(s["Package"])
	if m == nil || strings.HasSuffix(m[2], "-template") {
		return Kernel{}, false
	}
	release, debug := strings.CutSuffix(m[2], debugSuffix)
	release = strings.TrimSuffix(release, "-unsigned")
	if !releaseName.MatchString(release) {
		return Kernel{}, false
	}
	// A metapackage is named after a series and a flavour, and depends on the
	// image's package; so does an empty linux-image-RELEASE.
	for _, dep := range strings.Split(s["Depends"]+","+s["Pre-Depends"], ",") {
		if d := strings.TrimSpace(dep); strings.HasPrefix(d, "linux-image-") || strings.HasPrefix(d, "linux-binary-") {
			return Kernel{}, false
		}
	}
	size, err := strconv.ParseInt(s["Size"], 10, 64)
	if err != nil || s["Filename"] == "" || s["SHA256"] == "" {
		return Kernel{}, false
	}
	version := leadingVersion.FindString(s["Version"])
	if version == "" || series(version) == "" {
		return Kernel{}, false
	}
	uri := strings.TrimSuffix(x.URI, "/") + "/" + s["Filename"]
	if debug {
		return Kernel{
			Arch: arch, Release: release, PackageVersion: s["Version"],
			debug: debugPackage{s["Package"], size, uri, "SHA256:" + s["SHA256"]},
		}, true
	}
	return Kernel{
		Arch: arch, Release: release, Version: version, Series: series(version), Flavour: flavourOf(release),
		Package: s["Package"], PackageVersion: s["Version"], Suite: x.Suite, DownloadSize: size,
		uri:    uri,
		digest: "SHA256:" + s["SHA256"],
	}, true
}

// oneEach keeps one package for each release: the newest version, and of that
// the signed one. It has the debug package of the same version.
func oneEach(ks []Kernel) []Kernel {
	best := map[string]Kernel{}
	debug := map[string]debugPackage{}
	for _, k := range ks {
		if k.debug.Package != "" {
			debug[k.Release+" "+k.PackageVersion] = k.debug
			continue
		}
		b, ok := best[k.Release]
		c := debian.CompareVersions(k.PackageVersion, b.PackageVersion)
		if !ok || c > 0 || c == 0 && strings.HasSuffix(b.Package, "-unsigned") {
			best[k.Release] = k
		}
	}
	var out []Kernel
	for _, k := range best {
		k.debug = debug[k.Release+" "+k.PackageVersion]
		k.DebugSize = k.debug.Size
		out = append(out, k)
	}
	sortKernels(out)
	return out
}
