package labs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kernellab/internal/regular"
	"kernellab/internal/scaffold"
	"kernellab/internal/usage"
)

//go:embed new lab.schema.json
var blank embed.FS

// New returns the files of a lab to begin from, by name, which runs as it is.
// Schema is where its lab.yaml finds the JSON Schema for editors; "" puts a copy
// of it beside.
func New(name, schema string) (map[string]string, error) {
	if !nameOfLab.MatchString(name) {
		return nil, fmt.Errorf("name %q: want small letters, digits and hyphens, as in my-lab", name)
	}
	out := map[string]string{}
	if schema == "" {
		schema = "lab.schema.json"
		text, err := blank.ReadFile(schema)
		if err != nil {
			return nil, err
		}
		out[schema] = string(text)
	}
	fill := strings.NewReplacer("NAME", name, "SCHEMA", schema, "WHERE", "./"+name)
	err := fs.WalkDir(blank, "new", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := blank.ReadFile(file)
		if err == nil {
			out[strings.TrimSuffix(strings.TrimPrefix(file, "new/"), ".txt")] = fill.Replace(string(text))
		}
		return err
	})
	return out, err
}

// Create makes the folder of a new lab in the folder parent, and returns the folder and
// the files in it. The lab begins as model, if that is not nil. When the folder exists
// nothing is written.
func Create(parent, name string, model *Lab) (dir string, paths []string, err error) {
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		return "", nil, usage.Errorf("no folder %s to make %s in", parent, name)
	}
	schema := ""
	if _, err := os.Stat(filepath.Join(parent, "lab.schema.json")); err == nil {
		schema = "../lab.schema.json" // the folder of a course
	}
	files, err := New(name, schema)
	if err == nil && model != nil {
		files, err = model.as(name, schema, files["lab.schema.json"])
	}
	if err != nil {
		return "", nil, usage.Wrap(err)
	}
	dir = filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return "", nil, usage.Errorf("%s exists: nothing was written; choose another name", dir)
	} else if err != nil {
		return "", nil, fmt.Errorf("make the lab's folder: %w", err)
	}
	if paths, err = scaffold.Write(dir, files); err != nil {
		return "", nil, fmt.Errorf("write the lab: %w", err)
	}
	return dir, paths, nil
}

// Open reads the lab in a folder, which need not be one of the course.
func Open(dir string) (Lab, error) {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return Lab{}, err
	}
	l, err := load(regular.FS(filepath.Dir(whole)), filepath.Base(whole), filepath.Clean(dir), false)
	l.outside = true
	return l, err
}

// Outside reports whether the lab was read from a folder, and is not one of the
// course.
func (l Lab) Outside() bool { return l.outside }
