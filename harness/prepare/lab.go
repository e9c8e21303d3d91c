package prepare

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kernellab/harness/arch"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Lab finds a lab of the course, or reads the one in a folder: a path has a slash, as
// a kernel's has.
func Lab(name string) (labs.Lab, error) {
	if strings.Contains(name, "/") || name == "." || name == ".." {
		l, err := labs.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: lab new writes a folder that is a lab", err)
		}
		if err != nil {
			return l, usage.Wrap(err)
		}
		return l, nil
	}
	l, err := labs.Get(name)
	var missing *labs.NotFoundError
	if errors.As(err, &missing) {
		if _, serr := os.Stat(filepath.Join(name, "lab.yaml")); serr == nil {
			err = fmt.Errorf("no lab %q in the course; for the one in the folder of that name write ./%s", name, name)
		}
		return l, usage.Wrap(err)
	}
	return l, err
}

// LabIn is Lab, or the lab in a folder if one is named, with or without a slash.
func LabIn(folder, name string) (labs.Lab, error) {
	switch {
	case folder == "":
		return Lab(name)
	case !strings.Contains(folder, "/"):
		return Lab("./" + folder)
	}
	return Lab(folder)
}

// NewLab makes the folder of a new lab in the folder parent, and returns the folder and
// its files. The lab begins as the one that from names, if that is not "".
func NewLab(parent, name, from string) (dir string, paths []string, err error) {
	var model *labs.Lab
	if from != "" {
		l, err := Lab(from)
		if err != nil {
			return "", nil, err
		}
		model = &l
	}
	dir, paths, err = labs.Create(parent, name, model)
	if !filepath.IsAbs(dir) {
		dir = "." + string(filepath.Separator) + dir // as Lab takes it
	}
	return dir, paths, err
}

// CheckPoint refuses a point that the lab does not have. called is how the person
// named the lab.
func CheckPoint(l labs.Lab, called, arch, point string) error {
	if known := l.PointNames(arch); !slices.Contains(known, point) {
		return usage.Unknown("point of "+called, point, known, "lab show "+called+" describes them")
	}
	return nil
}

// CheckSteps reports a step that is no point of the labs on any architecture, as a
// mistake of usage.
func CheckSteps(steps []string, all ...labs.Lab) error {
	if len(steps) == 0 {
		return nil
	}
	var points []string
	for _, l := range all {
		for _, a := range arch.Names() {
			points = append(points, l.PointNames(a)...)
		}
	}
	slices.Sort(points)
	points = slices.Compact(points)
	for _, s := range steps {
		if !slices.Contains(points, s) {
			return usage.Unknown("step", s, points, "lab show LAB describes the points")
		}
	}
	return nil
}

// Labs finds labs by their names, each once. Without names it returns the course.
func Labs(names []string) ([]labs.Lab, error) {
	if len(names) == 0 {
		return labs.All()
	}
	var chosen []labs.Lab
	for _, name := range names {
		l, err := Lab(name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(chosen, func(c labs.Lab) bool { return c.Name == l.Name }) {
			chosen = append(chosen, l)
		}
	}
	return chosen, nil
}
