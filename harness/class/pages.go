package class

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kernellab/harness/report"
	"kernellab/harness/report/view"
	"kernellab/internal/atomicfile"
)

// PagesFolder has the class as pages for a browser, and nothing else, so that it can be
// copied to a web server: the evidence stays outside.
const PagesFolder = "pages"

// IndexFile is the page of the class in PagesFolder. It is for the instructor.
const IndexFile = "index.html"

// WritePages writes the pages of the results in a folder: the page of the class, and one
// for each student with what the student may see. It removes pages of others, and returns
// the file of the first page.
func WritePages(ctx context.Context, dir string) (string, error) {
	c, missing, err := Merge(ctx, []string{dir}, "")
	if err != nil {
		return "", err
	}
	c.Part = len(missing) > 0
	index := filepath.Join(dir, PagesFolder, IndexFile)
	folder := filepath.Join(dir, PagesFolder, view.StudentsFolder)
	if err := writePages(ctx, dir, index, folder, c); err != nil {
		return "", fmt.Errorf("write the class's pages: %w", err)
	}
	return index, nil
}

func writePages(ctx context.Context, dir, index, folder string, c report.Class) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, g := range c.Students {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		doc, err := readDocument(filepath.Join(dir, Folder(g.Student)))
		if err != nil {
			doc = g.Document // which says that there is no result
		}
		name := pageFile(g.Student)
		wanted[name] = true
		err = atomicfile.Write(filepath.Join(folder, name), 0o644, func(w io.Writer) error {
			return report.StudentPage(w, g.Student, doc)
		})
		if err != nil {
			return err
		}
	}
	err := atomicfile.Write(index, 0o644, func(w io.Writer) error { return report.ClassPage(w, c, pageFile) })
	return errors.Join(err, removeOthers(folder, wanted))
}

// removeOthers removes the pages of those who are no longer in the class.
func removeOthers(folder string, wanted map[string]bool) error {
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		if name := e.Name(); !wanted[name] && strings.HasSuffix(name, pageSuffix) && e.Type().IsRegular() {
			if e := os.Remove(filepath.Join(folder, name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

const pageSuffix = ".html"

// pageFile returns the name of a student's page. It is not the one that web servers
// return for the folder.
func pageFile(student string) string {
	name := Folder(student) + pageSuffix
	if strings.EqualFold(name, IndexFile) {
		name = fmt.Sprintf("%%%02X%s", name[0], name[1:])
	}
	return name
}
