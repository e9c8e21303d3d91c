package selftest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"kernellab/harness/submission"
	"kernellab/labs"
)

// WrongFolder is the folder of a lab with its wrong programs, each in a folder of its own,
// and findings.yaml, which says what is expected of them.
const WrongFolder = labs.WrongFolder

const findingsFile = "findings.yaml"

// Expectation is what has to come of a wrong program.
type Expectation struct {
	Words []string      // each stands in a finding
	Limit time.Duration // of the guest's time, 0 is the default
	files fs.FS         // the program
	// script is the script that takes the place of the lab's; "" is none, and the program
	// is wrong.
	script string
}

// UnmarshalYAML reads a list of words, or words and a limit.
func (e *Expectation) UnmarshalYAML(data []byte) error {
	if err := yaml.Unmarshal(data, &e.Words); err == nil {
		return nil
	}
	var long struct {
		Words []string `yaml:"words"`
		Limit string   `yaml:"limit"`
	}
	err := yaml.UnmarshalWithOptions(data, &long, yaml.Strict())
	if err == nil && long.Limit != "" {
		e.Limit, err = time.ParseDuration(long.Limit)
	}
	e.Words = long.Words
	return err
}

// Wrong returns the wrong programs of a lab by name. The error says all that is wrong
// with them.
func Wrong(l labs.Lab) (map[string]Expectation, error) {
	dir, err := fs.Sub(l.Program(), WrongFolder)
	if err != nil {
		return nil, err
	}
	data, err := fs.ReadFile(dir, findingsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoWrong
	}
	if err != nil {
		return nil, err
	}
	var all map[string]Expectation
	if err := yaml.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", WrongFolder, findingsFile, err)
	}
	if len(all) == 0 {
		return nil, errNoWrong
	}
	programs, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range programs {
		if _, ok := all[p.Name()]; p.IsDir() && !ok {
			errs = append(errs, fmt.Errorf("%s/%s says nothing of %s", WrongFolder, findingsFile, p.Name()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e := all[name]
		if len(e.Words) == 0 {
			errs = append(errs, fmt.Errorf("%s/%s: %s: no words that its findings have to have", WrongFolder, findingsFile, name))
		}
		if text, serr := fs.ReadFile(dir, path.Join(name, submission.ScriptFile)); serr == nil && l.Script != "" {
			e.script = string(text)
		} else if e.files, err = over(l.Program(), dir, name); err != nil {
			errs = append(errs, err)
		}
		all[name] = e
	}
	return all, errors.Join(errs...)
}

// over returns a program's files over those of the lab's own, of which it keeps what it
// does not replace.
func over(own, dir fs.FS, name string) (fs.FS, error) {
	if !fs.ValidPath(name) || strings.Contains(name, "/") {
		return nil, fmt.Errorf("%s/%s: %q is no name of a folder", WrongFolder, findingsFile, name)
	}
	if _, err := fs.Stat(dir, path.Join(name, "main.go")); err != nil {
		return nil, fmt.Errorf("%s/%s has no main.go: %w", WrongFolder, name, err)
	}
	its, err := fs.Sub(dir, name)
	if err != nil {
		return nil, err
	}
	return overlay{own, its}, nil
}

// overlay is a folder of files over those of another.
type overlay struct{ below, above fs.FS }

// Open opens a file of the upper folder, or else of the lower one.
func (o overlay) Open(name string) (fs.File, error) {
	f, err := o.above.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return o.below.Open(name)
	}
	return f, err
}

// ReadDir lists the files of both folders.
func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(o.above, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	below, err := fs.ReadDir(o.below, name)
	if err != nil {
		return nil, err
	}
	for _, e := range below {
		if !slices.ContainsFunc(list, func(a fs.DirEntry) bool { return a.Name() == e.Name() }) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}
