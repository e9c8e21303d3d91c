package class

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
)

// ShardSchema names the list of a shard's students and its version.
const ShardSchema = "lab.shard/1"

// list is the list of a shard's students, by which a merge finds missing results.
type list struct {
	Schema   string   `json:"schema"`
	Lab      string   `json:"lab"`
	Index    int      `json:"index"`
	Of       int      `json:"of"`
	Students []string `json:"students"`
}

const listPrefix, listSuffix = "shard-", ".json"

func (l list) file() string {
	return fmt.Sprintf("%s%d-of-%d%s", listPrefix, l.Index, l.Of, listSuffix)
}

// writeList writes the list of a run, and removes those of other divisions of
// the class.
func (r Run) writeList() error {
	l := list{Schema: ShardSchema, Lab: r.Lab, Index: max(r.Shard.Index, 1), Of: max(r.Shard.Of, 1), Students: []string{}}
	for _, s := range r.Students {
		l.Students = append(l.Students, s.Name)
	}
	old, err := lists(r.Out)
	if err != nil {
		return err
	}
	for _, o := range old {
		if o.Of != l.Of || o.Lab != l.Lab {
			if err := os.Remove(filepath.Join(r.Out, o.file())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return atomicfile.Write(filepath.Join(r.Out, l.file()), 0o644, func(w io.Writer) error { return encode(w, l) })
}

// lists returns the lists in a folder of results.
func lists(dir string) ([]list, error) {
	files, err := filepath.Glob(filepath.Join(escapeGlob(dir), listPrefix+"*-of-*"+listSuffix))
	if err != nil {
		return nil, err
	}
	var out []list
	for _, file := range files {
		data, err := regular.ReadFile(file, maxRecord)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var l list
		if err := json.Unmarshal(data, &l); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if l.Schema != ShardSchema || l.file() != filepath.Base(file) || l.Index < 1 || l.Index > l.Of {
			return nil, fmt.Errorf("%s: lab grade did not write this list", file)
		}
		out = append(out, l)
	}
	return out, nil
}

// escapeGlob returns a pattern that matches only path.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// part is a student's result in one of the merged folders.
type part struct {
	dir string
	rec record
	report.Graded
}

// Merge combines the results in several folders. If out is not "", it also writes them
// to folder out. A student in a shard's list without a result gets the verdict error.
// missing names the shards whose lists are missing.
func Merge(ctx context.Context, dirs []string, out string) (c report.Class, missing []string, err error) {
	parts, all, err := gather(ctx, dirs)
	if err != nil {
		return c, nil, fmt.Errorf("merge: %w", err)
	}
	c.Lab = all[0].Lab
	for _, p := range parts {
		c.Students = append(c.Students, p.Graded)
	}
	for i := 1; i <= all[0].Of; i++ {
		if !slices.ContainsFunc(all, func(l list) bool { return l.Index == i }) {
			missing = append(missing, Shard{i, all[0].Of}.String())
		}
	}
	if out == "" {
		return c, missing, nil
	}
	if err := copyParts(ctx, parts, out); err != nil {
		return c, missing, fmt.Errorf("merge into %s: %w", out, err)
	}
	r := Run{Lab: c.Lab, Out: out}
	if len(missing) > 0 {
		// Keep the lists, so that out can be merged with the missing shards later.
		for _, l := range all {
			if err := atomicfile.Write(filepath.Join(out, l.file()), 0o644, func(w io.Writer) error { return encode(w, l) }); err != nil {
				return c, missing, err
			}
		}
		return c, missing, writeClass(out, c)
	}
	for _, g := range c.Students {
		r.Students = append(r.Students, Student{Name: g.Student})
	}
	return c, nil, errors.Join(r.writeList(), writeClass(out, c))
}

// gather reads the results and the lists in all folders.
func gather(ctx context.Context, dirs []string) ([]part, []list, error) {
	var all []list
	found := map[string]part{}
	for _, dir := range dirs {
		some, err := lists(dir)
		if err != nil {
			return nil, nil, err
		}
		if len(some) == 0 {
			return nil, nil, fmt.Errorf("%s: no results of lab grade: %w", dir, fs.ErrNotExist)
		}
		for _, l := range some {
			if len(all) > 0 && (l.Lab != all[0].Lab || l.Of != all[0].Of) {
				return nil, nil, fmt.Errorf("%s: shard %d/%d of %s cannot be merged with shard %d/%d of %s", dir, l.Index, l.Of, l.Lab, all[0].Index, all[0].Of, all[0].Lab)
			}
			all = append(all, l)
			for _, student := range l.Students {
				if ctx.Err() != nil {
					return nil, nil, context.Cause(ctx)
				}
				if err := add(found, read(dir, l, student)); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	var parts []part
	for _, p := range found {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.Student, b.Student) })
	return parts, all, nil
}

// read reads one student's result. If that fails the result has the verdict error.
func read(dir string, l list, student string) part {
	rec, g, err := readFolder(filepath.Join(dir, Folder(student)))
	if err == nil && rec.Lab != l.Lab {
		err = fmt.Errorf("it is a result of %s", rec.Lab)
	}
	if err == nil {
		return part{dir: dir, rec: rec, Graded: g}
	}
	why := fmt.Sprintf("there is no result: %v", err)
	if errors.Is(err, fs.ErrNotExist) {
		why = "there is no result: its shard has not finished"
	}
	return part{Graded: report.Graded{Student: student, Document: verdict.NewDocument(verdict.Result{
		Lab: l.Lab, Verdict: verdict.Error, Error: why, Steps: []verdict.Step{}, Checks: []verdict.Check{}, Findings: []verdict.Finding{},
	})}}
}

// add adds a student's result to found. Of two results it keeps the one without the
// verdict error.
func add(found map[string]part, p part) error {
	before, twice := found[p.Student]
	same := before.rec.Identity.Submission == p.rec.Identity.Submission
	switch {
	case !twice || before.Verdict() == verdict.Error:
		found[p.Student] = p
	case p.Verdict() != verdict.Error && !same:
		return fmt.Errorf("%s has results in %s and in %s, of different submissions: leave one out", p.Student, before.dir, p.dir)
	}
	return nil
}

// copyParts copies the students' folders to out.
func copyParts(ctx context.Context, parts []part, out string) error {
	s, err := open(out, Shard{})
	if err != nil {
		return err
	}
	defer s.close()
	there, err := os.Stat(out)
	if err != nil {
		return err
	}
	for _, p := range parts {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		from, err := os.Stat(p.dir)
		if p.dir == "" || err == nil && os.SameFile(from, there) {
			continue
		}
		dir, release, err := s.temp()
		if err != nil {
			return err
		}
		err = os.CopyFS(dir, os.DirFS(filepath.Join(p.dir, Folder(p.Student))))
		if err == nil {
			err = s.put(Student{Name: p.Student}, dir)
		}
		release()
		if err != nil {
			return err
		}
	}
	return nil
}

// writeClass writes the files of a class.
func writeClass(dir string, c report.Class) error {
	for name, format := range map[string]string{
		GradesFile: report.FormatCSV, SummaryFile: report.FormatJSON, TextFile: report.FormatText, JUnitFile: report.FormatJUnit,
	} {
		err := atomicfile.Write(filepath.Join(dir, name), 0o644, func(w io.Writer) error {
			return report.WriteClass(w, format, c, report.Style{Width: 100})
		})
		if err != nil {
			return fmt.Errorf("write the class's results: %w", err)
		}
	}
	return nil
}
