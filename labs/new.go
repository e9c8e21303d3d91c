package labs

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"kernellab/internal/regular"
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
	files, err := fs.Glob(blank, "new/*.txt")
	if err != nil {
		return nil, err
	}
	fill := strings.NewReplacer("NAME", name, "SCHEMA", schema, "WHERE", "./"+name)
	for _, file := range files {
		text, err := blank.ReadFile(file)
		if err != nil {
			return nil, err
		}
		out[strings.TrimSuffix(path.Base(file), ".txt")] = fill.Replace(string(text))
	}
	return out, nil
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
