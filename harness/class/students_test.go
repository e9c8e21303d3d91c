package class_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/class"
)

func TestList(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"zoe", "Ada Lovelace", "notes.zip.d", ".git", "__MACOSX", "..."} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bob.zip", "carol.tar.gz", "dan.TGZ", "README", ".DS_Store", ".zip", "eve.rar"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/", filepath.Join(dir, "mallory")); err != nil {
		t.Fatal(err)
	}
	students, skipped, err := class.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []class.Student{
		{Name: "Ada Lovelace", Path: dir + "/Ada Lovelace"},
		{Name: "bob", Path: dir + "/bob.zip"},
		{Name: "carol", Path: dir + "/carol.tar.gz"},
		{Name: "dan", Path: dir + "/dan.TGZ"},
		{Name: "mallory", Path: dir + "/mallory", Link: true},
		{Name: "notes.zip.d", Path: dir + "/notes.zip.d"},
		{Name: "zoe", Path: dir + "/zoe"},
	}
	if diff := cmp.Diff(want, students); diff != "" {
		t.Errorf("students -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"... is hidden: its name begins with a dot", ".git is hidden: its name begins with a dot", ".zip is hidden: its name begins with a dot",
		"README is neither a folder nor an archive", "eve.rar is neither a folder nor an archive",
	}, skipped); diff != "" {
		t.Errorf("skipped -want +got:\n%s", diff)
	}
	// What is not clear of one student is the trouble of no other.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bob"), 0o755), syscall.Mkfifo(filepath.Join(dir, "pipe.zip"), 0o600)); err != nil {
		t.Fatal(err)
	}
	unclear := map[string]string{}
	students, _, err = class.List(dir)
	for _, s := range students {
		if s.Unclear != "" {
			unclear[s.Name] = s.Unclear
		}
	}
	wantUnclear := map[string]string{"bob": "bob and bob.zip both belong to bob: keep one of them", "pipe": "pipe.zip is neither a folder nor a regular file"}
	if diff := cmp.Diff(wantUnclear, unclear); diff != "" || err != nil || len(students) != len(want)+1 {
		t.Errorf("%d students, error %v; unclear -want +got:\n%s", len(students), err, diff)
	}
	if _, _, err := class.List(t.TempDir()); !errors.Is(err, class.ErrNoSubmissions) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, _, err := class.List(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestFolder(t *testing.T) {
	long := strings.Repeat("é", 127) // 254 bytes, the longest that a file system takes
	tests := map[string]string{
		"alice":             "alice",
		"Ada Lovelace":      "Ada Lovelace",
		"Žofie":             "Žofie",
		"grades.csv":        "%67rades.csv",
		"Grades.CSV":        "%47rades.CSV",
		"shard-1-of-2.json": "%73hard-1-of-2.json",
		".work":             "%2Ework",
		"..":                "%2E.",
		"a\x1b[2Jb":         "a%1B[2Jb",
		"a\xffb":            "a%FFb",
		"50%":               "50%25",
		"a\u202eb":          "a%E2%80%AEb",
	}
	seen := map[string]string{}
	for name, want := range tests {
		got := class.Folder(name)
		if got != want {
			t.Errorf("Folder(%q) = %q, want %q", name, got, want)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q share the folder %q", name, other, got)
		}
		seen[got] = name
	}
	if got := class.Folder(long); len(got) > 220 || got == class.Folder(long+"é") {
		t.Errorf("Folder of a long name has %d bytes, or is that of another", len(got))
	}
}

// The results may not be among the submissions, whatever way leads there.
func TestCheckOut(t *testing.T) {
	dir := t.TempDir()
	in, link := filepath.Join(dir, "in"), filepath.Join(dir, "link")
	if err := errors.Join(os.MkdirAll(filepath.Join(in, "alice"), 0o755), os.Symlink(in, link)); err != nil {
		t.Fatal(err)
	}
	for out, refused := range map[string]bool{
		in: true, link: true, filepath.Join(in, "alice"): true, filepath.Join(in, "new/folder"): true, filepath.Join(link, "new"): true,
		filepath.Join(in, "..", "in"): true, dir: false, filepath.Join(dir, "out"): false, in + "-2": false, filepath.Join(in, "../out"): false,
	} {
		if err := class.CheckOut(out, in); (err != nil) != refused {
			t.Errorf("--out %s: %v, refused should be %v", out, err, refused)
		}
	}
	if err := class.CheckOut(filepath.Join(dir, "none/out"), filepath.Join(dir, "none")); err != nil {
		t.Errorf("no submissions: %v", err)
	}
}
