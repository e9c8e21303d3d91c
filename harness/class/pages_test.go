package class_test

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"kernellab/harness/class"
	"kernellab/harness/verdict"
)

// TestPages checks that each link of a class's page leads to the page of its student,
// whatever the student's name is, and that no page is elsewhere.
func TestPages(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	names := []string{
		"alice", "Index", "index", "pages", "../../evil", "/etc/passwd", "..", ".htaccess", "a%2Fb", "a b", "a?b#c", "javascript:alert(1)",
		`"><script>alert(1)</script>`, "line\nbreak", "\u202egnp", "é", "\xff", "%69ndex", strings.Repeat("long", 90), "not-graded",
	}
	f := fake{do: func(student string, _ int) (verdict.Document, error) {
		if student == "not-graded" {
			return document(verdict.Error, 0), nil
		}
		return document(verdict.Fail, 1), nil
	}}
	run(t, f.run(out, append(names, "gone")...))
	if _, err := class.WritePages(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	c := run(t, f.run(out, names...))
	before := files(t, filepath.Dir(out))
	index, err := class.WritePages(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(out, "pages", "index.html"); index != want || len(c.Students) != len(names) {
		t.Errorf("the first page is %s, want %s, of %d", index, want, len(c.Students))
	}
	after := files(t, filepath.Dir(out))
	if len(before)-len(after) != 1 { // that of gone
		t.Errorf("%d files, and %d before", len(after), len(before))
	}
	for _, file := range after {
		if in := strings.HasPrefix(file, "out/pages/"); in != strings.HasSuffix(file, ".html") {
			t.Errorf("the file %s", file)
		}
	}
	data, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]string{} // the text of a link, by file
	for n := range root.Descendants() {
		if n.Type != html.ElementNode || n.Data != "a" {
			continue
		}
		base, _ := url.Parse("http://host/class/pages/index.html")
		to, err := base.Parse(n.Attr[0].Val)
		if err != nil || to.Host != "host" || to.RawQuery != "" || to.Fragment != "" {
			t.Errorf("the link %q: %v", n.Attr[0].Val, err)
			continue
		}
		file := strings.TrimPrefix(to.Path, "/class/pages/") // as a web server reads it
		page, err := os.ReadFile(filepath.Join(out, "pages", file))
		if err != nil || filepath.Dir(file) != "students" || file == "students/index.html" {
			t.Errorf("the link %q: %v", n.Attr[0].Val, err)
			continue
		}
		name := n.FirstChild.Data
		if text, ok := linked[file]; ok && text != name {
			t.Errorf("%s is the page of %q and of %q", file, text, name)
		}
		linked[file] = name
		if !strings.Contains(string(page), "The submission of "+html.EscapeString(name)) {
			t.Errorf("%s is not the page of %q", file, name)
		}
	}
	if len(linked) != len(names) {
		t.Errorf("%d pages are linked of %d: %v", len(linked), len(names), linked)
	}
	if entries, err := os.ReadDir(filepath.Join(out, "pages", "students")); err != nil || len(entries) != len(names) {
		t.Errorf("%d pages of %d, %v", len(entries), len(names), err)
	}
	if !slices.Contains(after, "out/%70ages/verdict.json") {
		t.Error("the student pages has no folder of its own")
	}
}
