package debian

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mirrors are the addresses of Debian's archives.
type mirrors struct {
	Main     string
	Security string
}

var debianSuite = regexp.MustCompile(`^(bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)([-/].*)?$`)

// findMirrors takes the addresses from LAB_DEBIAN_MIRROR, or from the apt
// sources of the host below etc.
func findMirrors(etc string) (mirrors, error) {
	if m := os.Getenv("LAB_DEBIAN_MIRROR"); m != "" {
		m = strings.TrimSuffix(m, "/")
		return mirrors{Main: m, Security: m + "-security"}, nil
	}
	entries, err := hostEntries(etc)
	if err != nil {
		return mirrors{}, fmt.Errorf("read the host's apt sources: %w", err)
	}
	var m mirrors
	for _, e := range entries {
		if !e.debian() {
			continue
		}
		if uri := resolve(e.uri); strings.Contains(e.suite, "-security") || strings.Contains(e.suite, "/updates") {
			m.Security = cmp.Or(m.Security, strings.TrimSuffix(uri, "/"))
		} else {
			m.Main = cmp.Or(m.Main, strings.TrimSuffix(uri, "/"))
		}
	}
	if m.Main == "" {
		return mirrors{}, errors.New("the host's apt sources name no Debian mirror; set LAB_DEBIAN_MIRROR to the address of one, up to and including /debian")
	}
	m.Security = cmp.Or(m.Security, m.Main+"-security")
	return m, nil
}

// sourceEntry is one suite of one repository, as sources.list(5) has them.
type sourceEntry struct {
	uri, suite, signedBy string
}

func (e sourceEntry) debian() bool {
	return debianSuite.MatchString(e.suite) && (e.signedBy == "" || strings.Contains(e.signedBy, "debian-archive") || strings.Contains(e.signedBy, "BEGIN PGP"))
}

func hostEntries(etc string) ([]sourceEntry, error) {
	paths := []string{filepath.Join(etc, "sources.list")}
	parts, err := os.ReadDir(filepath.Join(etc, "sources.list.d"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, p := range parts {
		paths = append(paths, filepath.Join(etc, "sources.list.d", p.Name()))
	}
	var all []sourceEntry
	for _, path := range paths {
		parse := oneLine
		switch filepath.Ext(path) {
		case ".list":
		case ".sources":
			parse = deb822
		default:
			continue
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, parse(string(b))...)
	}
	return all, nil
}

// oneLine reads "deb [option=value …] uri suite component…" lines. Lines that
// apt would refuse are passed over: apt is the one to complain.
func oneLine(text string) []sourceEntry {
	var es []sourceEntry
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "deb" {
			continue
		}
		f = f[1:]
		var e sourceEntry
		if len(f) > 0 && strings.HasPrefix(f[0], "[") {
			end := slices.IndexFunc(f, func(s string) bool { return strings.HasSuffix(s, "]") })
			if end < 0 {
				continue
			}
			for _, o := range f[:end+1] {
				if v, ok := strings.CutPrefix(strings.Trim(o, "[]"), "signed-by="); ok {
					e.signedBy = v
				}
			}
			f = f[end+1:]
		}
		if len(f) < 2 {
			continue
		}
		e.uri, e.suite = f[0], f[1]
		es = append(es, e)
	}
	return es
}

// deb822 reads stanzas of fields, as in deb822(5).
func deb822(text string) []sourceEntry {
	var es []sourceEntry
	for _, s := range stanzas(text) {
		if !slices.Contains(strings.Fields(s["types"]), "deb") || strings.EqualFold(strings.TrimSpace(s["enabled"]), "no") {
			continue
		}
		for _, uri := range strings.Fields(s["uris"]) {
			for _, suite := range strings.Fields(s["suites"]) {
				es = append(es, sourceEntry{uri: uri, suite: suite, signedBy: s["signed-by"]})
			}
		}
	}
	return es
}

// stanzas splits deb822 text; names of fields become lower case.
func stanzas(text string) []map[string]string {
	var all []map[string]string
	cur := map[string]string{}
	name := ""
	end := func() {
		if len(cur) > 0 {
			all = append(all, cur)
		}
		cur, name = map[string]string{}, ""
	}
	sc := bufio.NewScanner(strings.NewReader(text))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			if name != "" {
				cur[name] += "\n" + strings.TrimSpace(line)
			}
		default:
			n, v, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			name = strings.ToLower(strings.TrimSpace(n))
			cur[name] = strings.TrimSpace(v)
		}
	}
	end()
	return all
}

// resolve follows apt's mirror+file method to the first mirror of its list; the
// other addresses are apt's to understand.
func resolve(uri string) string {
	path, ok := strings.CutPrefix(uri, "mirror+file:")
	if !ok {
		return strings.TrimSuffix(uri, "/")
	}
	b, err := os.ReadFile("/" + strings.TrimLeft(path, "/"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 0 {
			return strings.TrimSuffix(f[0], "/")
		}
	}
	return ""
}
