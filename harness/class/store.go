package class

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/internal/flock"
	"kernellab/internal/regular"
)

// The files in a student's folder, in addition to the evidence that grading writes.
const (
	VerdictFile  = "verdict.json"
	FeedbackFile = "feedback.md"
	RecordFile   = "record.json"
)

// The files of the class.
const (
	GradesFile  = "grades.csv"
	SummaryFile = "summary.json"
	TextFile    = "summary.txt"
	JUnitFile   = "junit.xml"
)

// workDir has unfinished results. It is in the folder of results so that they can be
// renamed.
const workDir = ".work"

// maxRecord bounds a record or a list that is read, in bytes.
const maxRecord = 16 << 20

// RecordSchema names the record of a graded submission and its version.
const RecordSchema = "lab.graded/1"

// Identity is everything that a student's result depends on. A result with the zero
// value is never reused.
type Identity struct {
	Submission string   `json:"submission"` // hash of the submission
	Tool       string   `json:"tool"`       // hash of lab, which includes the labs
	Kernels    []string `json:"kernels"`    // "x86_64 6.1.0-56-cloud-amd64 SHA256"
	Machines   []string `json:"machines"`   // of each kernel: "QEMU 10.0.13, seed 1, 1 processor(s)"
	Limits     string   `json:"limits"`     // the program's time limit, if one was given
	// Variant has the values of the student's task, "exit_status 7"; "" is the lab's own.
	Variant string `json:"variant,omitempty"`
}

func (id Identity) equal(other Identity) bool {
	a, err1 := json.Marshal(id)
	b, err2 := json.Marshal(other)
	return err1 == nil && err2 == nil && id.Submission != "" && string(a) == string(b)
}

// record says how a result was made.
type record struct {
	Schema   string        `json:"schema"`
	Lab      string        `json:"lab"`
	Student  string        `json:"student"`
	Identity Identity      `json:"identity"`
	Attempts int           `json:"attempts"`
	Took     time.Duration `json:"took_ns"`
}

// store is the folder of a class's results.
type store struct {
	dir  string
	work string // of this process
	lock *os.File
}

// BusyError says that another process is grading the same shard into the folder.
type BusyError struct{ Dir string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("another lab grade is running in %s: wait for it, or give --out another folder", e.Dir)
}

// open creates and locks the folder of results. Different shards may share a folder.
func open(dir string, shard Shard) (_ *store, err error) {
	s := &store{dir: dir}
	all := filepath.Join(dir, workDir)
	if err := os.MkdirAll(all, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of results: %w", err)
	}
	name := strings.ReplaceAll(shard.String(), "/", "-of-")
	if s.lock, err = lock(filepath.Join(all, name+".lock")); err != nil {
		if errors.Is(err, flock.ErrHeld) {
			return nil, &BusyError{Dir: dir}
		}
		return nil, fmt.Errorf("lock the folder of results: %w", err)
	}
	// Remove the remains of a killed call for this shard.
	s.work = filepath.Join(all, name)
	if err := errors.Join(os.RemoveAll(s.work), os.Mkdir(s.work, 0o755)); err != nil {
		s.lock.Close()
		return nil, fmt.Errorf("make the folder of results: %w", err)
	}
	return s, nil
}

// lock locks a file. As close removes the file, lock checks that the locked file still
// exists.
func lock(path string) (*os.File, error) {
	for {
		f, err := flock.Try(path)
		if err != nil {
			return nil, err
		}
		ours, err1 := f.Stat()
		there, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(ours, there) {
			return f, nil
		}
		f.Close()
	}
}

func (s *store) close() {
	os.RemoveAll(s.work)
	os.Remove(s.lock.Name())
	os.Remove(filepath.Dir(s.work)) // if no other shard is at work
	s.lock.Close()
}

// temp makes a folder for an unfinished result.
func (s *store) temp() (dir string, release func(), err error) {
	dir, err = os.MkdirTemp(s.work, "")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for a result: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// put renames a finished folder to the student's folder.
func (s *store) put(student Student, dir string) error {
	to := filepath.Join(s.dir, Folder(student.Name))
	old := filepath.Join(s.work, "old-"+rand.Text())
	if err := os.Rename(to, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer os.RemoveAll(old)
	return os.Rename(dir, to)
}

// find returns a student's result, if there is one with this identity.
func (s *store) find(student Student, id Identity) (report.Graded, bool) {
	rec, g, err := readFolder(filepath.Join(s.dir, Folder(student.Name)))
	ok := err == nil && rec.Student == student.Name && rec.Identity.equal(id) && g.Verdict() != verdict.Error
	return g, ok
}

// readFolder reads a student's folder.
func readFolder(dir string) (record, report.Graded, error) {
	data, err := regular.ReadFile(filepath.Join(dir, RecordFile), maxRecord)
	if err != nil {
		return record{}, report.Graded{}, err
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return record{}, report.Graded{}, fmt.Errorf("%s: %w", filepath.Join(dir, RecordFile), err)
	}
	if rec.Schema != RecordSchema {
		return record{}, report.Graded{}, fmt.Errorf("%s: schema %q, want %q", filepath.Join(dir, RecordFile), rec.Schema, RecordSchema)
	}
	doc, err := readDocument(dir)
	if err != nil {
		return record{}, report.Graded{}, err
	}
	g := report.Graded{Student: rec.Student, Document: doc, Attempts: rec.Attempts, Took: rec.Took}
	g.Trim()
	return rec, g, nil
}

// readDocument reads the verdict in a student's folder.
func readDocument(dir string) (verdict.Document, error) {
	f, err := regular.Open(filepath.Join(dir, VerdictFile))
	if err != nil {
		return verdict.Document{}, err
	}
	defer f.Close()
	doc, err := verdict.Decode(f)
	if err != nil {
		return verdict.Document{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return doc, nil
}

func writeRecord(dir string, r record) error {
	r.Schema = RecordSchema
	return writeTo(filepath.Join(dir, RecordFile), func(w io.Writer) error { return encode(w, r) })
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeTo creates a file. It need not be atomic, as the whole folder is.
func writeTo(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func checksum(s string) uint32 { return crc32.ChecksumIEEE([]byte(s)) }
