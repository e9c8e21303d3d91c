package linux

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

var (
	leadingVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?`)
	specForm       = regexp.MustCompile(`^([0-9]+\.[0-9]+)(\.[0-9]+)?(?:-([a-z][a-z0-9-]*))?$`)
	candidate      = regexp.MustCompile(`^rc[0-9]`)
)

// series returns the first two numbers of a version, or "".
func series(version string) string {
	parts := strings.SplitN(leadingVersion.FindString(version), ".", 3)
	if len(parts) < 2 {
		return ""
	}
	return parts[0] + "." + parts[1]
}

// defaultFlavour is the one that a spec without a flavour means: of Debian's for
// x86_64 the cloud kernels are a fifth of the size.
func defaultFlavour(arch string) string {
	if arch == "riscv64" {
		return "riscv64"
	}
	return "cloud-amd64"
}

// flavourOf returns the words at the end of a Debian release: cloud-amd64 of
// both 6.1.0-50-cloud-amd64 and 6.12.107+deb13-cloud-amd64.
func flavourOf(release string) string {
	words := strings.Split(release, "-")
	i := len(words)
	for i > 1 {
		w := words[i-1]
		if w == "" || w[0] < 'a' || w[0] > 'z' || strings.Contains(w, "+") || candidate.MatchString(w) {
			break
		}
		i--
	}
	return strings.Join(words[i:], "-")
}

// match returns the newest of the kernels that spec names. A spec is a release
// (6.1.0-50-cloud-amd64), with or without the default flavour, or a series or
// version (6.12, 6.12.107) with or without a flavour, which may leave the
// architecture out (6.12-rt).
func match(ks []Kernel, arch, spec string) (Kernel, bool) {
	for _, k := range ks {
		if k.Release == spec {
			return k, true
		}
	}
	for _, k := range ks {
		if k.Release == spec+"-"+defaultFlavour(arch) {
			return k, true
		}
	}
	m := specForm.FindStringSubmatch(spec)
	if m == nil {
		return Kernel{}, false
	}
	version, flavour := m[1]+m[2], m[3]
	var found []Kernel
	for _, k := range ks {
		if version != k.Version && (m[2] != "" || version != k.Series) {
			continue
		}
		if hasFlavour(k, flavour) {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return Kernel{}, false
	}
	// A local kernel answers to a version of its own, not in the place of a
	// packaged one.
	slices.SortStableFunc(found, func(a, b Kernel) int { return cmp.Compare(localRank(a), localRank(b)) })
	packaged := found
	if i := slices.IndexFunc(found, func(k Kernel) bool { return k.Local }); i > 0 {
		packaged = found[:i]
	}
	sortKernels(packaged)
	return packaged[0], true
}

func localRank(k Kernel) int {
	if k.Local {
		return 1
	}
	return 0
}

func hasFlavour(k Kernel, flavour string) bool {
	if flavour == "" {
		return k.Local || k.Flavour == defaultFlavour(k.Arch)
	}
	return k.Flavour == flavour || strings.HasPrefix(k.Flavour, flavour+"-") && !strings.Contains(k.Flavour[len(flavour)+1:], "-")
}

// exact reports whether a spec can only ever mean one build.
func exact(spec string) bool {
	m := specForm.FindStringSubmatch(spec)
	return m == nil || m[2] != ""
}

// nearest returns up to six specs that would be found: versions of spec's series
// if there are any, else the series there are, those of its major version first.
func nearest(ks []Kernel, arch, spec string) []string {
	want := series(spec)
	major, _, _ := strings.Cut(want, ".")
	var same, kin, rest []string
	for _, k := range ks {
		suffix := ""
		if k.Flavour != "" && k.Flavour != defaultFlavour(arch) {
			suffix = "-" + k.Flavour
		}
		switch {
		case want != "" && k.Series == want:
			same = append(same, k.Version+suffix)
		case suffix != "":
		case major != "" && strings.HasPrefix(k.Series, major+"."):
			kin = append(kin, k.Series)
		default:
			rest = append(rest, k.Series)
		}
	}
	names := same
	if len(names) == 0 {
		names = append(kin, rest...)
	}
	seen := map[string]bool{}
	names = slices.DeleteFunc(names, func(n string) bool {
		again := seen[n]
		seen[n] = true
		return again
	})
	return names[:min(6, len(names))]
}
