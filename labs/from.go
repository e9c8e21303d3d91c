package labs

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// The limits of a lab that another begins from.
const (
	maxModelFiles = 500
	maxComm       = 15 // bytes that the kernel keeps of a program's name
)

// copied are the files of a lab that another one begins from.
var copied = []string{"lab.yaml", "README.md", "*.go", "*.sh", "*.s", "c/*", "starter/*/*", "testdata/*/*", "testdata/*/*/*"}

// as returns the files of the lab under a new name. schema is where lab.yaml finds the
// JSON Schema for editors, and beside the text of the schema that lies beside it, or "".
func (l Lab) as(name, schema, beside string) (map[string]string, error) {
	out := map[string]string{}
	for _, pattern := range copied {
		files, err := fs.Glob(l.program, pattern)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			info, err := fs.Stat(l.program, file)
			if err != nil {
				return nil, err
			}
			if !info.Mode().IsRegular() {
				continue
			}
			text, err := read(l.program, file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if out[file] = string(text); len(out) > maxModelFiles {
				return nil, fmt.Errorf("%s has more than %d files", l.Name, maxModelFiles)
			}
		}
	}
	means, err := l.nameMatters(out["lab.yaml"], name)
	if err != nil {
		return nil, err
	}
	for file, text := range out {
		out[file] = l.renamed(file, text, name, means)
	}
	out["lab.yaml"] = schemaLine.ReplaceAllString(out["lab.yaml"], "")
	out["lab.yaml"] = "# yaml-language-server: $schema=" + schema + "\n" + out["lab.yaml"]
	if beside != "" {
		out["lab.schema.json"] = beside
	}
	return out, nil
}

var schemaLine = regexp.MustCompile(`(?m)^# yaml-language-server:.*\n`)

// nameMatters reports whether lab.yaml compares something with the name of the lab's
// program, which is the lab's. A name with a hyphen is none of the kernel's functions.
func (l Lab) nameMatters(text, name string) (bool, error) {
	if !strings.Contains(l.Name, "-") || !strings.Contains(text, `"`+l.Name+`"`) {
		return false, nil
	}
	if len(name) > maxComm {
		return false, fmt.Errorf("name %q: %s compares names of programs, of which the kernel keeps %d letters: choose a shorter one", name, l.Name, maxComm)
	}
	return true, nil
}

// command matches how a handout calls lab, up to the lab's name.
const command = `(\blab (?:calls|debug|ftrace|init|matrix|predict|ps|run|shell|show|stack|step|task|test|tree|why)(?: (?:--lab )?))`

// renamed returns a file of the lab with a new name of the lab. means says that the name
// is a value in lab.yaml, and not only what the lab is called.
func (l Lab) renamed(file, text, name string, means bool) string {
	old := regexp.QuoteMeta(l.Name)
	replace := func(pattern, with string) {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, with)
	}
	word := `(^|[^A-Za-z0-9_-])` + old + `($|[^A-Za-z0-9_-])`
	switch {
	case path.Ext(file) == ".md":
		replace(command+old+`($|[^A-Za-z0-9_-])`, "${1}./"+name+"${2}")
		replace(`\[`+old+`\]`, "["+name+"]") // the program's name, as in 89[fork-new]
		if means {
			replace(word, "${1}"+name+"${2}")
		}
	case file == "lab.yaml":
		replace(`(?m)^name: .*$`, "name: "+name)
		if means {
			replace(word, "${1}"+name+"${2}")
		}
	case path.Ext(file) == ".sh": // in which the program's name is a command
		replace(word, "${1}"+name+"${2}")
	case means && path.Base(file) == "findings.yaml":
		replace(word, "${1}"+name+"${2}")
	default:
		replace(`(//|/\*) Command `+old+` `, "${1} Command "+name+" ")
	}
	return text
}
