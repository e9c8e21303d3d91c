package labs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kernellab/labs"
)

// handoutHead matches what comes before the first section of a handout: the title, the
// question, at most a few paragraphs, and what one learns, has to know and how long it takes.
var handoutHead = regexp.MustCompile(`^# .+\n\n\*\*[^*]+\*\*\n\n([^#-][^#]*\n\n)?- \*\*You learn\*\* [^#]+\.\n- \*\*You should know\*\* [^#]+\.\n- \*\*Time\*\*: about [1-9][0-9]* minutes[^#]*\.\n\n$`)

// programInC matches the blocks of C in a handout.
var programInC = regexp.MustCompile("(?s)\n```c\n(.*?)```\n")

// handouts are the texts of the course's handouts, by their paths.
func handouts(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("*/README.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no handouts: %v", err)
	}
	texts := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	return texts
}

// TestHandouts checks the head of each handout, and that the C in it is in the lab's program.
func TestHandouts(t *testing.T) {
	for path, text := range handouts(t) {
		head, _, _ := strings.Cut(text, "## ")
		if !handoutHead.MatchString(head) {
			t.Errorf("%s does not begin with the question, what one learns, what one should know, and the time", path)
		}
		program, err := os.ReadFile(filepath.Join(filepath.Dir(path), "c", "prog.c"))
		if err != nil {
			t.Fatal(err)
		}
		blocks := programInC.FindAllStringSubmatch(text, -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows nothing of c/prog.c", path)
		}
		for _, b := range blocks {
			if !strings.Contains(string(program), b[1]) {
				t.Errorf("%s: not in c/prog.c:\n%s", path, b[1])
			}
		}
	}
}

// timeOfHandout is the time that a handout says the lab takes.
var timeOfHandout = regexp.MustCompile(`\*\*Time\*\*: about ([0-9]+) minutes`)

// TestPath checks the course as a path: each lab says how long it takes, as its handout
// does, and builds on labs that come before it, which its handout names.
func TestPath(t *testing.T) {
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	place := map[int]string{}
	before := map[string]bool{}
	for i, l := range all {
		if other, ok := place[l.Order]; ok {
			t.Errorf("%s and %s have the same order, %d", other, l.Name, l.Order)
		}
		place[l.Order] = l.Name
		m := timeOfHandout.FindStringSubmatch(l.Handout)
		if m == nil || m[1] != strconv.Itoa(l.Minutes) {
			t.Errorf("%s takes %d minutes, and its handout says %v", l.Name, l.Minutes, m)
		}
		if i > 0 && len(l.BuildsOn) == 0 {
			t.Errorf("%s builds on no lab", l.Name)
		}
		head, _, _ := strings.Cut(l.Handout, "\n## ")
		for _, on := range l.BuildsOn {
			if !before[on] {
				t.Errorf("%s builds on %q, which is no lab before it", l.Name, on)
			}
			if !strings.Contains(head, "*"+on+"*") {
				t.Errorf("%s builds on %s, and the head of its handout does not say so", l.Name, on)
			}
		}
		before[l.Name] = true
	}
}
