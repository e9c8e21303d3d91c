package labs_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/internal/usage"
	"kernellab/labs"
)

// Every lab has a variation, and each tells why the runs differ.
func TestWhatIfs(t *testing.T) {
	for _, l := range all(t) {
		if len(l.WhatIfs) == 0 {
			t.Errorf("%s: no variation", l.Name)
		}
		text, err := fs.ReadFile(l.Program(), "main.go")
		if err != nil {
			t.Fatal(err)
		}
		main := string(text)
		for _, w := range l.WhatIfs {
			if !strings.HasSuffix(w.Means, ".") || !strings.HasSuffix(w.Why, ".") {
				t.Errorf("%s %s: want sentences: %q, %q", l.Name, w.Name, w.Means, w.Why)
			}
			if got := l.Varied(w).Plan("x86_64").Args; !cmp.Equal(got, append(l.Plan("x86_64").Args, w.Args...)) {
				t.Errorf("%s %s: arguments %q", l.Name, w.Name, got)
			}
			for _, a := range w.Args {
				if !strings.Contains(main, `"`+a+`"`) {
					t.Errorf("%s %s: the program does not know the argument %s", l.Name, w.Name, a)
				}
			}
			if got, err := l.WhatIf(w.Name); err != nil || !cmp.Equal(w, got) {
				t.Errorf("%s %s: %+v, %v", l.Name, w.Name, got, err)
			}
		}
		if _, err := l.WhatIf("nothing"); !usage.Is(err) || !strings.Contains(err.Error(), l.WhatIfs[0].Name) {
			t.Errorf("%s: an unknown variation: %v", l.Name, err)
		}
	}
	if _, err := (labs.Lab{Name: "x"}).WhatIf("y"); !usage.Is(err) || !strings.Contains(err.Error(), `no "what_if"`) {
		t.Errorf("a lab without variations: %v", err)
	}
}

// The loader and the schema refuse the same.
func TestWhatIfRefused(t *testing.T) {
	s := labSchema(t)
	for text, want := range map[string]string{
		"  two: {means: It has two processors., cpus: 2}":            "",
		"  own: {means: x, why: y, args: own-files}":                 "",
		"  own: {means: x, args: [a, b], cpus: 1, seed: 0}":          "",
		"  Two: {means: x, cpus: 2}":                                 `what_if "Two": want small letters, digits and hyphens`,
		"  two: {cpus: 2}":                                           `what_if two: no "means"`,
		"  two: {means: x}":                                          "what_if two: nothing is different: give args, cpus or seed",
		"  two: {means: x, cpu: 2}":                                  `what_if two: unknown key "cpu": did you mean "cpus"?`,
		"  two: {means: x, cpus: 9}":                                 "cpus: want a number from 1 to 8",
		"  two: {means: x, seed: -1}":                                "seed: want a number from 0 to 4294967295",
		"  two: {means: x, args: {a: b}}":                            "args: want a list",
		"  two: CLONE_FILES":                                         "what_if two: want names with values",
		"  two: {means: x, cpus: 2}\n  Two-2: {means: x, cpus: 2}\n": `what_if "Two-2"`,
	} {
		file := unasked(t) + "\nwhat_if:\n" + text + "\n"
		_, lerr := labs.Load(folder(file))
		serr := validate(t, s, file)
		switch {
		case (lerr == nil) != (serr == nil):
			t.Errorf("%s: the loader says %v, the schema says %v", text, lerr, serr)
		case want == "" && lerr != nil, want != "" && (lerr == nil || !strings.Contains(lerr.Error(), want)):
			t.Errorf("%s: %v, want %q", text, lerr, want)
		}
	}
}
