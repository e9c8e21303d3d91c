package regress

import (
	"cmp"
	"regexp"
	"strings"
)

// releaseForm splits a release as printed by uname -r into the version, a release
// candidate, the build, suffixes and the flavour.
var releaseForm = regexp.MustCompile(`^([0-9.]+)([-~]rc[0-9]+)?(-[0-9]+)?([.~a-z0-9]*)(\+[0-9a-z.+~]*)?(?:-(.*))?$`)

// numbers matches runs of digits.
var numbers = regexp.MustCompile(`[0-9]+`)

// CompareReleases orders releases by version and build, not by flavour:
// 6.1.0-50-cloud-amd64 before 6.12.107+deb13-amd64, 6.19-rc3 before 6.19.
func CompareReleases(a, b string) int {
	x, y := releaseForm.FindStringSubmatch(a), releaseForm.FindStringSubmatch(b)
	if x == nil || y == nil {
		return cmp.Compare(a, b)
	}
	return cmp.Or(
		compareNumbers(x[1], y[1]), compareCandidates(x[2], y[2]),
		compareNumbers(x[3], y[3]), compareNumbers(x[4], y[4]), compareNumbers(x[5], y[5]),
	)
}

// compareNumbers compares the numbers in two texts one by one. A missing number counts
// as 0, so that 6.19 equals 6.19.0.
func compareNumbers(a, b string) int {
	x, y := numbers.FindAllString(a, -1), numbers.FindAllString(b, -1)
	for i := range max(len(x), len(y)) {
		m, n := "", ""
		if i < len(x) {
			m = strings.TrimLeft(x[i], "0")
		}
		if i < len(y) {
			n = strings.TrimLeft(y[i], "0")
		}
		if c := cmp.Or(cmp.Compare(len(m), len(n)), cmp.Compare(m, n)); c != 0 {
			return c
		}
	}
	return 0
}

// compareCandidates orders release candidates before the release.
func compareCandidates(a, b string) int {
	switch {
	case a == "" && b == "":
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	}
	return compareNumbers(a, b)
}

// flavour returns the words at the end of a release.
func flavour(release string) string {
	if m := releaseForm.FindStringSubmatch(release); m != nil {
		return m[6]
	}
	return ""
}

// short returns a release for a sentence, without Debian's suffix and without the words
// cloud, amd64 and riscv64 of its flavour.
func short(release string) string {
	m := releaseForm.FindStringSubmatch(release)
	if m == nil {
		return release
	}
	name := m[1] + m[2] + m[3]
	for word := range strings.SplitSeq(m[6], "-") {
		switch word {
		case "", "cloud", "amd64", "riscv64":
		default:
			name += "-" + word
		}
	}
	return name
}
