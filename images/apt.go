package images

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	helper  = "/usr/lib/apt/apt-helper"

	// refreshAfter is how old a package index may be before it is looked at
	// again.
	refreshAfter = 24 * time.Hour
)

// suite is one of Debian's, with the kernels that it is searched for.
type suite struct {
	name     string
	security bool // in the security archive
	// archived says that mirrors may have dropped it by now: no word about that.
	archived bool
}

// suites returns what is searched for an architecture, the oldest first.
func suites(arch string) []suite {
	newer := []suite{
		{name: "trixie"},
		{name: "trixie-security", security: true},
		{name: "trixie-backports"},
		{name: "forky"},
		{name: "sid"},
	}
	if arch == "riscv64" { // a release architecture since trixie
		return newer
	}
	return append([]suite{
		{name: "bullseye"},
		{name: "bullseye-security", security: true},
		{name: "bullseye-backports", archived: true},
		{name: "bookworm"},
		{name: "bookworm-security", security: true},
		{name: "bookworm-backports"},
	}, newer...)
}

// apt runs apt's programs with a configuration and a state of our own, so that
// they need no privileges and change nothing of the host's.
type apt struct {
	dir     string // the state's
	arch    string // as Debian has it
	suites  []suite
	mirrors mirrors
	trusted bool
	// resolves says that apt is asked what packages depend on. It builds its own
	// form of the indexes then, in memory.
	resolves bool
}

// sources tells what the indexes are of.
func (a apt) sources() string { return fmt.Sprint(a.mirrors, a.suites) }

// prepare writes the configuration. The host's own is not read by apt then,
// hooks included, but how the host reaches the network is carried over.
func (a apt) prepare(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		hint := "; on a host without apt, fetch a kernel elsewhere and run: lab kernels add --image FILE"
		if a.resolves {
			hint = ""
		}
		return fmt.Errorf("read Debian's repositories: %w%s", err, hint)
	}
	if _, err := os.Stat(keyring); err != nil && !a.trusted {
		return fmt.Errorf("read Debian's repositories: %w; install the package debian-archive-keyring", err)
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "log"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o700); err != nil {
			return err
		}
	}
	// We read the indexes ourselves; apt's own form of them takes 200 MB.
	indexes := [][2]string{{"pkgCacheFile::Generate", "false"}, {"Acquire::GzipIndexes", "true"}, {"Acquire::IndexTargets::deb::Packages::KeepCompressedAs", "xz"}}
	if a.resolves {
		// Apt looks packages up in the index all over, which it unpacks again
		// from its start each time when it is compressed.
		indexes = [][2]string{{"Dir::Cache::pkgcache", ""}, {"Dir::Cache::srcpkgcache", ""}, {"Acquire::GzipIndexes", "false"}}
	}
	var conf, list strings.Builder
	conf.WriteString(a.network(ctx))
	for _, kv := range append(indexes, [][2]string{
		{"Dir::State", a.dir},
		{"Dir::State::lists", filepath.Join(a.dir, "lists")},
		{"Dir::State::status", filepath.Join(a.dir, "status")},
		{"Dir::Cache", filepath.Join(a.dir, "cache")},
		{"Dir::Log", filepath.Join(a.dir, "log")},
		{"Dir::Etc::main", "/dev/null"},
		{"Dir::Etc::parts", "/dev/null"},
		{"Dir::Etc::sourcelist", filepath.Join(a.dir, "sources.list")},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::preferences", "/dev/null"},
		{"Dir::Etc::preferencesparts", "/dev/null"},
		{"Dir::Etc::trusted", "/dev/null"},
		{"Dir::Etc::trustedparts", "/dev/null"},
		{"APT::Architecture", a.arch},
		{"APT::Architectures", a.arch},
		// Our folders are for their owner only, so apt's unprivileged user
		// could not work in them when the owner is root.
		{"APT::Sandbox::User", "root"},
		{"Acquire::Languages", "none"},
		{"Acquire::Retries", "2"},
	}...) {
		fmt.Fprintf(&conf, "%s %q;\n", kv[0], kv[1])
	}
	option := "signed-by=" + keyring
	if a.trusted {
		option = "trusted=yes"
	}
	for _, s := range a.suites {
		uri := a.mirrors.Main
		if s.security {
			uri = a.mirrors.Security
		}
		fmt.Fprintf(&list, "deb [arch=%s %s] %s %s main\n", a.arch, option, uri, s.name)
	}
	for name, text := range map[string]string{"apt.conf": conf.String(), "sources.list": list.String(), "status": ""} {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// networkSetting matches the settings that say how to reach a repository, and
// whether its index may be out of date; nothing that weakens signatures.
var networkSetting = regexp.MustCompile(`^Acquire::(http|https|ftp|socks|tor|ForceIPv4|ForceIPv6|ProxyAutoDetect|Proxy-Auto-Detect|Check-Valid-Until|Check-Date|Max-ValidTime|Min-ValidTime|Max-FutureTime|By-Hash|EnableSrvRecords)\b`)

// listSetting matches the members of lists, which "apt-config dump" shows with an
// empty last name.
var listSetting = regexp.MustCompile(`^\S+::\s`)

// network returns the host's settings for reaching repositories. A host whose
// apt-config does not work has none.
func (a apt) network(ctx context.Context) string {
	out, err := command{Path: "apt-config", Args: []string{"dump", "Acquire"}}.run(ctx)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		if networkSetting.MatchString(line) && !listSetting.MatchString(line) && !strings.HasSuffix(strings.TrimSpace(line), `"";`) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// run runs one of apt's programs. Messages are in English, for we read some.
func (a apt) run(ctx context.Context, path string, args ...string) ([]byte, error) {
	env := append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C.UTF-8", "LANGUAGE=")
	return command{Path: path, Args: args, Env: env, Dir: a.dir}.run(ctx)
}

// update reads the suites' indexes and returns a warning for each that could not
// be read. It is an error when no mirror answered.
func (a apt) update(ctx context.Context, p Progress) (warnings []string, err error) {
	what := "reading Debian's package indexes"
	p.report(what, 0, 0)
	stop := watchSize(filepath.Join(a.dir, "lists"), func(n int64) { p.report(what, n, 0) })
	out, err := a.run(ctx, "apt-get", "update", "-q")
	stop()
	if e := context.Cause(ctx); e != nil {
		return nil, e
	}
	if err != nil && errors.Is(err, exec.ErrNotFound) {
		return nil, err
	}
	if len(a.indexes()) == 0 || !answered(out) {
		if c := a.complaints(out); c != "" {
			err = errors.New(c) // apt calls an unreachable mirror a warning
		}
		if err == nil {
			err = errors.New("apt-get read none")
		}
		return nil, fmt.Errorf("%w; check the network, or set LAB_DEBIAN_MIRROR to another mirror", err)
	}
	if c := a.complaints(out); c != "" {
		if diskFull(err) {
			return nil, err
		}
		warnings = append(warnings, c)
	}
	return warnings, nil
}

// releaseLine matches what apt-get says about the head of a suite.
var releaseLine = regexp.MustCompile(`(?m)^(Get|Hit|Ign|Err):([0-9]+) \S+ \S+ (?:In)?Release(?: \[.*\])?$`)

// answered reports whether a mirror had the head of any suite. A line about a
// file that turned out to be absent is followed by one that takes it back.
func answered(out []byte) bool {
	last := map[string]string{}
	for _, m := range releaseLine.FindAllStringSubmatch(string(out), -1) {
		last[m[2]] = m[1]
	}
	for _, word := range last {
		if word == "Get" || word == "Hit" {
			return true
		}
	}
	return false
}

// complaints returns apt's warnings and errors.
func (a apt) complaints(out []byte) string {
	var lines []string
	for line := range strings.Lines(string(out)) {
		if slices.ContainsFunc(a.suites, func(s suite) bool { return s.archived && strings.Contains(line, " "+s.name+" Release") }) {
			continue
		}
		if strings.HasPrefix(line, "W: ") || strings.HasPrefix(line, "E: ") {
			lines = append(lines, strings.TrimSpace(line[3:]))
		}
	}
	return strings.Join(lines, "; ")
}

// index is a suite's list of packages on disk.
type index struct {
	uri, suite, path string
}

// indexes returns the lists that update has fetched. "apt-get indextargets" would
// tell their names, but it reads them all into a cache of 200 MB to do so.
func (a apt) indexes() []index {
	var all []index
	for _, s := range a.suites {
		uri := a.mirrors.Main
		if s.security {
			uri = a.mirrors.Security
		}
		found, _ := filepath.Glob(filepath.Join(a.dir, "lists", "*_dists_"+s.name+"_main_binary-"+a.arch+"_Packages*"))
		// Lists of a mirror that was used before stay while any suite fails.
		ours := listName(uri)
		found = slices.DeleteFunc(found, func(path string) bool {
			return !strings.HasPrefix(filepath.Base(path), ours+"_dists_")
		})
		if len(found) > 0 {
			all = append(all, index{uri: uri, suite: s.name, path: found[0]})
		}
	}
	return all
}

// listName is how apt names the lists of a repository: its address without the
// scheme, with _ for / and the rest of what it takes for special as %xx
// (URItoFileName in apt-pkg/contrib/strutl.cc).
func listName(uri string) string {
	_, rest, ok := strings.Cut(uri, "://")
	if !ok {
		_, rest, _ = strings.Cut(uri, ":")
	}
	if host, path, ok := strings.Cut(rest, "/"); ok {
		if at := strings.LastIndex(host, "@"); at >= 0 {
			rest = host[at+1:] + "/" + path
		}
	}
	var b strings.Builder
	for _, c := range []byte(strings.TrimSuffix(rest, "/")) {
		switch {
		case c == '/':
			b.WriteByte('_')
		case c <= ' ' || c >= 0x7f || strings.IndexByte(`\|{}[]<>"^~_=!@#$%^&*`, c) >= 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// kernels reads the kernels of an index.
func (a apt) kernels(ctx context.Context, arch string, x index) ([]Kernel, error) {
	out, err := a.run(ctx, helper, "cat-file", x.path)
	if err != nil {
		return nil, err
	}
	return parseIndex(bytes.NewReader(out), arch, x)
}

// parseIndex takes the kernel images out of a Packages file. Up to 6.18 the image
// is in linux-image-RELEASE; from 6.19 that package is empty and depends on
// linux-binary-RELEASE. Either may exist with -unsigned at the end of its name,
// which has the same image without Debian's signature.
func parseIndex(r io.Reader, arch string, x index) ([]Kernel, error) {
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
		return nil, fmt.Errorf("read the package index of %s: %w", x.suite, err)
	}
	return ks, nil
}

var packageName = regexp.MustCompile(`^linux-(image|binary)-([0-9]+\.[0-9].*)$`)

func packaged(s map[string]string, arch string, x index) (Kernel, bool) {
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
	uri := strings.TrimSuffix(x.uri, "/") + "/" + s["Filename"]
	if debug {
		return Kernel{
			Arch: arch, Release: release, PackageVersion: s["Version"],
			debug: debugPackage{s["Package"], size, uri, "SHA256:" + s["SHA256"]},
		}, true
	}
	return Kernel{
		Arch: arch, Release: release, Version: version, Series: series(version), Flavour: flavourOf(release),
		Package: s["Package"], PackageVersion: s["Version"], Suite: x.suite, DownloadSize: size,
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
		c := compareVersions(k.PackageVersion, b.PackageVersion)
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

// offer is what the indexes held, kept so that they need not be read each time.
type offer struct {
	Schema  string       `json:"schema"`
	When    time.Time    `json:"when"`
	Sources string       `json:"sources"` // the sources.list that it is from
	Kernels []offerEntry `json:"kernels"`
}

type offerEntry struct {
	Kernel
	URI    string       `json:"uri"`
	Digest string       `json:"digest"`
	Debug  debugPackage `json:"debug,omitzero"`
}

const offerSchema = "lab.offer/2"

func (o offer) kernels() []Kernel {
	var ks []Kernel
	for _, e := range o.Kernels {
		k := e.Kernel
		k.uri, k.digest, k.debug = e.URI, e.Digest, e.Debug
		ks = append(ks, k)
	}
	return ks
}

func readOffer(path string) (offer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return offer{}, err
	}
	var o offer
	if err := json.Unmarshal(b, &o); err != nil {
		return offer{}, err
	}
	if o.Schema != offerSchema {
		return offer{}, fmt.Errorf("schema %q, want %q", o.Schema, offerSchema)
	}
	return o, nil
}
