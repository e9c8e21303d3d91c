// Package debian reads Debian's repositories through apt's programs, which check
// signatures and hashes, with state of our own and without privileges. It knows
// packages and versions; what is in a package is for others to know.
package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"kernellab/images"
	"kernellab/internal/command"
)

const (
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	helper  = "/usr/lib/apt/apt-helper"

	unpacker = "dpkg-deb"
)

// Suite is one of Debian's.
type Suite struct {
	Name     string
	Security bool // in the security archive
	// Archived says that mirrors may have dropped it by now, which is no reason for a
	// warning.
	Archived bool
}

// Config says what is read. Its zero value reads nothing.
type Config struct {
	Dir    string // for the state
	Arch   string // as Debian has it
	Suites []Suite
	// Resolves says that apt is asked what packages depend on. It builds its own
	// form of the indexes then, in memory.
	Resolves bool
	// Unsigned drops the demand for signatures: for tests.
	Unsigned bool
}

// Apt runs apt's programs with a configuration and a state of our own, so that
// they need no privileges and change nothing of the host's.
type Apt struct {
	Config
	mirrors mirrors
}

// New returns apt's programs, set up for a configuration. Debian's mirror is the one
// of LAB_DEBIAN_MIRROR or of the host's own sources.
func New(c Config) (Apt, error) {
	m, err := findMirrors("/etc/apt")
	if err != nil {
		return Apt{}, err
	}
	return Apt{Config: c, mirrors: m}, nil
}

// HostArch returns Debian's name of the host's architecture.
func HostArch(ctx context.Context) (string, error) {
	out, err := command.Command{Path: "dpkg", Args: []string{"--print-architecture"}, Env: append(os.Environ(), "LC_ALL=C.UTF-8")}.Run(ctx)
	if err != nil {
		return "", fmt.Errorf("ask for the host's architecture: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Sources says what the indexes are of: the mirrors and the suites.
func (a Apt) Sources() string { return fmt.Sprint(a.mirrors, a.Suites) }

// suiteNames are the suites' names, for messages.
func (a Apt) suiteNames() string {
	var names []string
	for _, s := range a.Suites {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// Prepare writes the configuration. The host's own is not read by apt then,
// hooks included, but how the host reaches the network is carried over.
func (a Apt) Prepare(ctx context.Context) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("read Debian's repositories: %w%s", err, a.otherwise())
	}
	if _, err := os.Stat(keyring); err != nil && !a.Unsigned {
		return fmt.Errorf("read Debian's repositories: %w; install the package debian-archive-keyring", err)
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial", "log"} {
		if err := os.MkdirAll(filepath.Join(a.Dir, d), 0o700); err != nil {
			return err
		}
	}
	// We read the indexes ourselves; apt's own form of them takes 200 MB.
	indexes := [][2]string{{"pkgCacheFile::Generate", "false"}, {"Acquire::GzipIndexes", "true"}, {"Acquire::IndexTargets::deb::Packages::KeepCompressedAs", "xz"}}
	if a.Resolves {
		// Apt looks packages up in the index all over, which it unpacks again
		// from its start each time when it is compressed.
		indexes = [][2]string{{"Dir::Cache::pkgcache", ""}, {"Dir::Cache::srcpkgcache", ""}, {"Acquire::GzipIndexes", "false"}}
	}
	var conf, list strings.Builder
	conf.WriteString(a.network(ctx))
	for _, kv := range append(indexes, [][2]string{
		{"Dir::State", a.Dir},
		{"Dir::State::lists", filepath.Join(a.Dir, "lists")},
		{"Dir::State::status", filepath.Join(a.Dir, "status")},
		{"Dir::Cache", filepath.Join(a.Dir, "cache")},
		{"Dir::Log", filepath.Join(a.Dir, "log")},
		{"Dir::Etc::main", "/dev/null"},
		{"Dir::Etc::parts", "/dev/null"},
		{"Dir::Etc::sourcelist", filepath.Join(a.Dir, "sources.list")},
		{"Dir::Etc::sourceparts", "/dev/null"},
		{"Dir::Etc::preferences", "/dev/null"},
		{"Dir::Etc::preferencesparts", "/dev/null"},
		{"Dir::Etc::trusted", "/dev/null"},
		{"Dir::Etc::trustedparts", "/dev/null"},
		{"APT::Architecture", a.Arch},
		{"APT::Architectures", a.Arch},
		// Our folders are for their owner only, so apt's unprivileged user
		// could not work in them when the owner is root.
		{"APT::Sandbox::User", "root"},
		{"Acquire::Languages", "none"},
		{"Acquire::Retries", "2"},
	}...) {
		fmt.Fprintf(&conf, "%s %q;\n", kv[0], kv[1])
	}
	option := "signed-by=" + keyring
	if a.Unsigned {
		option = "trusted=yes"
	}
	for _, s := range a.Suites {
		uri := a.mirrors.Main
		if s.Security {
			uri = a.mirrors.Security
		}
		fmt.Fprintf(&list, "deb [arch=%s %s] %s %s main\n", a.Arch, option, uri, s.Name)
	}
	for name, text := range map[string]string{"apt.conf": conf.String(), "sources.list": list.String(), "status": ""} {
		if err := os.WriteFile(filepath.Join(a.Dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// otherwise says how to do without packages: of QEMU's, its caller says it.
func (a Apt) otherwise() string {
	if a.Resolves {
		return ""
	}
	return "; on a host without apt and dpkg, fetch a kernel elsewhere and run: lab kernels add --image FILE"
}

// networkSetting matches the settings that say how to reach a repository, and
// whether its index may be out of date; nothing that weakens signatures.
var networkSetting = regexp.MustCompile(`^Acquire::(http|https|ftp|socks|tor|ForceIPv4|ForceIPv6|ProxyAutoDetect|Proxy-Auto-Detect|Check-Valid-Until|Check-Date|Max-ValidTime|Min-ValidTime|Max-FutureTime|By-Hash|EnableSrvRecords)\b`)

// listSetting matches the members of lists, which "apt-config dump" shows with an
// empty last name.
var listSetting = regexp.MustCompile(`^\S+::\s`)

// network returns the host's settings for reaching repositories. A host whose
// apt-config does not work has none.
func (a Apt) network(ctx context.Context) string {
	out, err := command.Command{Path: "apt-config", Args: []string{"dump", "Acquire"}}.Run(ctx)
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
func (a Apt) run(ctx context.Context, path string, args ...string) ([]byte, error) {
	env := append(os.Environ(), "APT_CONFIG="+filepath.Join(a.Dir, "apt.conf"), "LC_ALL=C.UTF-8", "LANGUAGE=")
	return command.Command{Path: path, Args: args, Env: env, Dir: a.Dir}.Run(ctx)
}

// Update reads the suites' indexes and returns a warning for each that could not
// be read. It is an error when no mirror answered.
func (a Apt) Update(ctx context.Context, p images.Progress) (warnings []string, err error) {
	what := "reading Debian's package indexes"
	p.Report(what, 0, 0)
	stop := watchSize(filepath.Join(a.Dir, "lists"), func(n int64) { p.Report(what, n, 0) })
	out, err := a.run(ctx, "apt-get", "update", "-q")
	stop()
	if e := context.Cause(ctx); e != nil {
		return nil, e
	}
	if err != nil && errors.Is(err, exec.ErrNotFound) {
		return nil, err
	}
	if len(a.Indexes()) == 0 || !answered(out) {
		if c := a.complaints(out); c != "" {
			err = errors.New(c) // apt calls an unreachable mirror a warning
		}
		if err == nil {
			err = errors.New("apt-get read none")
		}
		return nil, fmt.Errorf("%w; check the network, or set LAB_DEBIAN_MIRROR to another mirror", err)
	}
	if c := a.complaints(out); c != "" {
		if command.DiskFull(err) {
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
func (a Apt) complaints(out []byte) string {
	var lines []string
	for line := range strings.Lines(string(out)) {
		if slices.ContainsFunc(a.Suites, func(s Suite) bool { return s.Archived && strings.Contains(line, " "+s.Name+" Release") }) {
			continue
		}
		if strings.HasPrefix(line, "W: ") || strings.HasPrefix(line, "E: ") {
			lines = append(lines, strings.TrimSpace(line[3:]))
		}
	}
	return strings.Join(lines, "; ")
}

// Index is a suite's list of packages on disk.
type Index struct {
	URI   string // of the repository
	Suite string
	path  string
}

// Read returns the text of an index: a Packages file.
func (a Apt) Read(ctx context.Context, x Index) ([]byte, error) {
	return a.run(ctx, helper, "cat-file", x.path)
}

// Indexes returns the lists that Update has fetched. "apt-get indextargets" would
// tell their names, but it reads them all into a cache of 200 MB to do so.
func (a Apt) Indexes() []Index {
	var all []Index
	for _, s := range a.Suites {
		uri := a.mirrors.Main
		if s.Security {
			uri = a.mirrors.Security
		}
		found, _ := filepath.Glob(filepath.Join(a.Dir, "lists", "*_dists_"+s.Name+"_main_binary-"+a.Arch+"_Packages*"))
		// Lists of a mirror that was used before stay while any suite fails.
		ours := listName(uri)
		found = slices.DeleteFunc(found, func(path string) bool {
			return !strings.HasPrefix(filepath.Base(path), ours+"_dists_")
		})
		if len(found) > 0 {
			all = append(all, Index{URI: uri, Suite: s.Name, path: found[0]})
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
